"""The tables of a paper of one's own runs, each narrow enough for the page; all values are in the CSV beside it."""

import pandas as pd

from ...analysis import wording
from ...analysis.tables import Column, Table
from ..runs.readers import Heads, Sweep
from . import text


def readouts(one: Sweep) -> Table:
    """A row a read-out: its best tap, against the final embedding."""
    rows = []
    if one.run.has_readouts:
        table = one.run.readouts
        for name, part in table.groupby("readout", sort=False):
            best = part.iloc[int(part["score"].to_numpy().argmax())]
            last = part[part["tap"] == one.run.reference].iloc[0]
            rows.append((text.readout_name(one, str(name)), *_row(best, last)))
    else:
        table = one.ranking.rename(columns={"knn": "score", "knn_lo": "lo", "knn_hi": "hi"})
        best, last = (table[table["tap"] == tap].iloc[0] for tap in (one.run.best, one.run.reference))
        rows.append((one.run.neighbours, *_row(best, last)))
    fields = ["readout", "tap", "score", "lo", "hi", "last", "last_lo", "last_hi", "gain", "gain_lo", "gain_hi", "p"]
    columns = [
        Column("read-out", "{readout}", "left"),
        Column("best tap", "{tap}", "left"),
        Column(text.score_name(one), "{score:.3f} [{lo:.3f}, {hi:.3f}]"),
        Column(wording.tap_label(one.run.reference), "{last:.3f} [{last_lo:.3f}, {last_hi:.3f}]"),
        Column("points", "{gain:+.1f} [{gain_lo:+.1f}, {gain_hi:+.1f}]"),
        Column("p", "{p:p}"),
    ]
    words = (
        f"{one.model} on {one.data}, {text.counted(one)}: the best tap of each read-out against the final embedding. "
        "Points: paired difference; p is family-wise."
    )
    return Table.from_frame(pd.DataFrame(rows, columns=fields), columns, words)


def _row(best: pd.Series, last: pd.Series) -> tuple:
    p = best.get("vs_last_p_adjusted", best["vs_last_p"])
    gains = (100 * best[f"vs_last{end}"] for end in ("", "_lo", "_hi"))
    if best["tap"] == last["tap"]:
        gains, p = (None, None, None), None  # type: ignore[assignment]
    return (best["tap"], best["score"], best["lo"], best["hi"], last["score"], last["lo"], last["hi"], *gains, p)


def taps(one: Sweep) -> Table:
    """A row a tap: the published read-out, the linear probe, the cost."""
    table = one.ranking.reset_index(drop=True)
    fields = ["tap", "dim", "knn", "knn_lo", "knn_hi", "linear", "ms_per_window"]
    columns = [
        Column("tap", "{tap}", "left"),
        Column("dim", "{dim}"),
        Column(f"{one.run.neighbours} accuracy", "{knn:.3f} [{knn_lo:.3f}, {knn_hi:.3f}]"),
        Column("linear", "{linear:.3f}"),
        Column("ms/window", "{ms_per_window:.1f}"),
    ]
    best = [list(table["tap"]).index(one.run.best)]
    words = f"{one.model} on {one.data}: every tap under the published read-out ({one.run.counted})."
    return Table.from_frame(table[fields], columns, words, best)


def heads(one: Heads) -> Table:
    """A row a head, over all folds."""
    fields = ["head", "n", "accuracy", "acc_lo", "acc_hi", "macro_auc", "auc_lo", "auc_hi", "cmap", "parameters"]
    columns = [
        Column("head", "{head}", "left"),
        Column("accuracy", "{accuracy:.3f} [{acc_lo:.3f}, {acc_hi:.3f}]"),
        Column("macro AUC", "{macro_auc:.3f} [{auc_lo:.3f}, {auc_hi:.3f}]"),
        Column("cmAP", "{cmap:.3f}"),
        Column("parameters", "{parameters:,}"),
    ]
    return Table.from_frame(one.scored[fields], columns, f"Heads of {one.name}, out of fold, {one.counted}.")
