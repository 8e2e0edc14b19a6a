"""Few labels: a read-out's accuracy against training clips a class, per tap, and where two taps change places.

A draw orders the groups at random and takes the first `shots` clips of every class in that order; every clip of a
group that was touched is left out of the test. All taps and read-outs see the same draws, and within a draw fewer shots
are part of more.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from ...features import InputError
from ..runs import SHOT_COLUMNS

SHOTS = (1, 2, 4, 8, 16, 32)
_TRIES = 50  # to draw a training set that leaves every class something to be tested on

Transfer = Callable[[str, np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]


@dataclass(frozen=True, eq=False)
class FewShot:
    """Accuracy against shots.

    table: one row a tap, read-out and number of shots, columns `runs.SHOT_COLUMNS`. score: mean top-1 over the draws;
        lo, hi: 95 % of the draws; n_test: mean number of tested clips.
    classes_left_out: class -> why, those that can never be trained and tested.
    shots_left_out: number of shots -> why.
    """

    table: pd.DataFrame
    classes_left_out: dict[str, str]
    shots_left_out: dict[int, str]

    @property
    def told(self) -> str:
        """What was left out, in words; empty when nothing was."""
        parts = [f"class {name} ({why})" for name, why in self.classes_left_out.items()]
        parts += [f"{shots} clips a class ({why})" for shots, why in self.shots_left_out.items()]
        return f"Left out: {'; '.join(parts)}." if parts else ""


def few_shot(
    features: Mapping[str, np.ndarray],
    labels,
    groups,
    readouts: Sequence[str],
    shots: Sequence[int] = SHOTS,
    *,
    transfer: Transfer,
    k: int = 5,
    n_draws: int = 20,
    seed: int = 0,
) -> FewShot:
    """Top-1 accuracy of every tap and read-out when it is trained on a few clips a class.

    features: tap -> [n, d_tap], the same rows; labels, groups [n]. transfer: (read-out, x [n, d], targets bool [n, K],
    x_test [m, d], k) -> scores [m, K], larger is likelier. k: neighbours; no more than the shots, so that one clip a
    class is 1-NN. The interval is the draws' own spread (which clips were annotated), on recordings that overlap.
    InputError: fewer than two classes with two groups, no number of shots that can be drawn.
    """
    names, groups = np.asarray(labels), np.unique(np.asarray(groups), return_inverse=True)[1]
    classes, codes = np.unique(names, return_inverse=True)
    lone = [c for c in range(len(classes)) if len(np.unique(groups[codes == c])) < 2]
    left_out = {str(classes[c]): f"one group, {(codes == c).sum()} clips" for c in lone}
    rows = np.flatnonzero(~np.isin(codes, lone))
    kept, codes = np.unique(codes[rows], return_inverse=True)
    if len(kept) < 2:
        raise InputError(f"few shots: expected at least two classes with two groups, got {len(kept)}. No grouping?")
    groups, classes, missing, table = groups[rows], classes[kept], {}, []
    for size in sorted(set(shots)):
        drawn = [_draw(codes, groups, size, np.random.default_rng((seed, draw))) for draw in range(n_draws)]
        if any(one is None for one in drawn):
            missing[size] = _why(codes, groups, classes, size)
            continue
        for tap, x in features.items():
            x = np.asarray(x)[rows]
            for readout in readouts:
                scores = [_score(x, codes, train, test, readout, transfer, min(k, size)) for train, test in drawn]
                lo, hi = np.percentile(scores, (2.5, 97.5))
                n_test = float(np.mean([len(test) for _, test in drawn]))
                table.append((tap, readout, size, np.mean(scores), lo, hi, n_draws, n_test, len(classes)))
    if not table:
        raise InputError(
            f"few shots: none of {list(shots)} clips a class can be drawn: {next(iter(missing.values()))}."
        )
    return FewShot(pd.DataFrame(table, columns=list(SHOT_COLUMNS)), left_out, missing)


def crossings(table: pd.DataFrame, reference: str) -> tuple[list[dict], str]:
    """Where the mean curve of a tap crosses that of the reference tap under the same read-out: records, and a sentence.

    Records, in order of read-out, tap and shots: readout, tap, reference, before and after (the numbers of shots
    between which they change places), at (where straight lines over log2 of the shots meet), leads_after (the tap that
    leads from there on). Curves that only touch do not cross.
    """
    if reference not in set(table["tap"]):
        raise InputError(f"few shots: expected one of {', '.join(pd.unique(table['tap']))}, got {reference!r}.")
    records = []
    for readout, rows in table.groupby("readout", sort=False):
        curves = rows.pivot(index="shots", columns="tap", values="score").sort_index()
        for tap in (name for name in pd.unique(rows["tap"]) if name != reference):
            gap = (curves[tap] - curves[reference]).dropna()
            gap = gap[gap != 0]
            for (before, first), (after, then) in pairwise(gap.items()):
                if first * then < 0:
                    at = 2 ** (np.log2(before) + first / (first - then) * np.log2(after / before))
                    leader = tap if then > 0 else reference
                    record = {"readout": readout, "tap": tap, "reference": reference, "before": int(before)}
                    records.append(record | {"after": int(after), "at": float(at), "leads_after": leader})
    return records, _sentence(records, table, reference)


def _draw(codes: np.ndarray, groups: np.ndarray, size: int, rng: np.random.Generator):
    """(training rows, test rows) that share no group, `size` a class to train and one or more a class to test; None
    where that was not met in _TRIES orders of the groups."""
    n_classes = int(codes.max()) + 1
    for _ in range(_TRIES):
        order = np.lexsort((rng.random(len(groups)), rng.permutation(int(groups.max()) + 1)[groups], codes))
        start = np.searchsorted(codes[order], np.arange(n_classes))
        train = np.sort(order[np.arange(len(order)) - start[codes[order]] < size])
        test = np.flatnonzero(~np.isin(groups, groups[train]))
        enough = np.bincount(codes[train], minlength=n_classes).min() == size
        if enough and np.bincount(codes[test], minlength=n_classes).min() > 0:
            return train, test
    return None


def _why(codes: np.ndarray, groups: np.ndarray, classes: np.ndarray, size: int) -> str:
    """The class that stands in the way: the one that has fewest clips outside its smallest group."""
    most = []
    for c in range(len(classes)):
        sizes = np.bincount(groups[codes == c])
        most.append(int(sizes.sum() - sizes[sizes > 0].min()))
    c = int(np.argmin(most))
    if most[c] < size:
        return f"class {classes[c]} has {most[c]} at most when one of its groups is kept to test on"
    return f"too few groups a class for whole groups to be kept to test on; class {classes[c]} is the smallest"


def _score(x, codes, train, test, readout: str, transfer: Transfer, k: int) -> float:
    targets = codes[train, None] == np.arange(int(codes.max()) + 1)
    return float(np.mean(transfer(readout, x[train], targets, x[test], k).argmax(axis=1) == codes[test]))


def _sentence(records: list[dict], table: pd.DataFrame, reference: str) -> str:
    least, most = table["shots"].min(), table["shots"].max()
    if not records:
        return f"No tap's curve crosses that of {reference} between {least} and {most} clips a class."
    parts = []
    for readout in dict.fromkeys(record["readout"] for record in records):
        each = [
            f"{row['leads_after']} overtakes "
            f"{row['tap'] if row['leads_after'] == row['reference'] else row['reference']} between "
            f"{row['before']} and {row['after']}"
            for row in records
            if row["readout"] == readout
        ]
        parts.append(f"under {readout}, {', '.join(each)}")
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]} clips a class."
