"""Numbers as text: intervals, differences in points, p-values and names of taps, the same in every room.

    interval(0.905, 0.874, 0.933)        "0.905 [0.874, 0.933]"
    points(0.0925, 0.046, 0.139)         "+9.2 [+4.6, +13.9] points"
    p_value(0.0004)                      "p < 0.001"
    tap_name("embedding")                "the final embedding"
    readout_name("knn-cosine", 5)        "cosine 5-NN"

A hyphen stands for a minus; `minus_sign` replaces it where the type allows for a real one.
"""

import math

SMALLEST_P = 0.001  # smaller ones are only told to be smaller
ENDS = {"stem": "stem", "embedding": "final embedding", "logits": "logits"}
READOUTS = {
    "knn": "Euclidean {k}-NN",
    "knn-cosine": "cosine {k}-NN",
    "knn-standard": "standardised cosine {k}-NN",
    "centroid": "nearest class mean",
    "linear": "ridge",
    "logistic": "logistic regression",
    "attentive": "attentive pooling",
}
USES = {"training_free": "Without training", "linear": "With a linear head"}  # of read-outs
SCORES = {"top1": "accuracy", "auc": "macro ROC-AUC", "cmap": "cmAP"}  # what read-outs are ranked by


def number(value: float, digits: int = 3, *, signed: bool = False) -> str:
    """A number with fixed decimals, never "-0.000"; signed: also "+0.020"."""
    rounded = round(float(value), digits) + 0.0  # adding 0.0 turns -0.0 into 0.0
    return f"{rounded:{'+' if signed else ''}.{digits}f}"


def interval(value: float, lo: float, hi: float, digits: int = 3, *, signed: bool = False) -> str:
    """ "0.905 [0.874, 0.933]", or "0.905" where lo or hi is nan; signed: as for a difference."""
    text = number(value, digits, signed=signed)
    if math.isnan(lo) or math.isnan(hi):
        return text
    return f"{text} [{number(lo, digits, signed=signed)}, {number(hi, digits, signed=signed)}]"


def in_points(share: float) -> float:
    """A difference of shares in percentage points.

    Rounded to four decimals first, so that 0.0925 reads the same wherever it was computed.
    """
    return round(100 * float(share), 4)


def points(value: float, lo: float, hi: float) -> str:
    """A difference of shares (0..1) with its interval, in percentage points: "+9.2 [+4.6, +13.9] points"."""
    return interval(in_points(value), in_points(lo), in_points(hi), 1, signed=True) + " points"


def p_value(p: float) -> str:
    """A p-value for a sentence: "p < 0.001", "p = 0.030", "p = 0.40"."""
    return f"p {number_of_p(p)}" if p < SMALLEST_P else f"p = {number_of_p(p)}"


def number_of_p(p: float) -> str:
    """A p-value for a table: "< 0.001", "0.030", "0.40"."""
    if p < SMALLEST_P:
        return f"< {SMALLEST_P}"
    return f"{p:.3f}" if p < 0.095 else f"{p:.2f}"


def tap_label(tap: str) -> str:
    """A tap's name where room is short, as on an axis: "7" for block_07, "7 max" for block_07/max; others stay."""
    name, _, pooling = tap.partition("/")
    return f"{int(name.removeprefix('block_'))} {pooling}".strip() if tap.startswith("block_") else tap


def tap_title(tap: str) -> str:
    """A tap's name without an article: "block 7", "final embedding", "logits"; names that others gave stay."""
    if tap.startswith("block_"):
        return f"block {tap_label(tap)}"
    name, slash, pooling = tap.partition("/")
    return f"{ENDS[name]}{slash}{pooling}" if name in ENDS else tap


def tap_name(tap: str) -> str:
    """A tap's name in a sentence: "block 7", "the final embedding", "the logits", "yamnet"."""
    return f"the {tap_title(tap)}" if tap.partition("/")[0] in ENDS else tap_title(tap)


def readout_name(readout: str, k: int) -> str:
    """A read-out in a sentence: "cosine 5-NN" for "knn-cosine"."""
    return READOUTS.get(readout, readout).format(k=k)


def minus_sign(text: str) -> str:
    """The text with every hyphen as a minus sign; only for text that holds numbers alone."""
    return text.replace("-", "−")
