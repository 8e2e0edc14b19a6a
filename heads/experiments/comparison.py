"""Arms of an experiment, scored twice: out of fold on the labelled soundscapes, and on the held-out ones.

Both scores and their differences come from bootstrap draws of recordings. Gains are paired (the same draws for the arm
and what it is compared with); inflation is the out-of-fold gain less the held-out gain, and as the two are measured on
different recordings, their draws are independent.

Draws of recordings know nothing of chance in the training, which on few recordings moves a score as much as an arm
does. So an experiment may be repeated with other seeds: scores and gains are means over the repeats, and the standard
deviation of the gains between them stands beside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...analysis import metrics
from ...analysis.predictions.table import aligned, files

N_BOOT = 2000
VALUES = ("oof", "heldout", "oof_gain", "heldout_gain", "inflation")
SPREADS = ("oof_gain_sd", "heldout_gain_sd")
COLUMNS = (
    "arm",
    "against",
    *(f"{name}{end}" for name in VALUES for end in ("", "_lo", "_hi")),
    *SPREADS,
    "repeats",
    "role",
)


@dataclass(frozen=True, eq=False)
class Arm:
    """Predictions of one arm: tables out of fold and for the held-out recordings. against: name of the arm that it is
    compared with, None for none. role: what it is for, one of those of `analysis.runs`, or "". Rows beyond those of the
    truth are let go."""

    name: str
    oof: pd.DataFrame
    heldout: pd.DataFrame
    against: str | None = None
    role: str = ""


@dataclass(frozen=True, eq=False)
class Truths:
    """bool tables: labelled windows (out of fold) and the test windows (held out)."""

    oof: pd.DataFrame
    heldout: pd.DataFrame

    def about(self) -> dict[str, dict]:
        """Per part: windows, recordings, classes scored of classes."""
        return {
            part: {
                "windows": len(truth),
                "recordings": len(np.unique(files(truth.index))),
                "classes_scored": int((truth.any() & ~truth.all()).sum()),
                "classes": truth.shape[1],
            }
            for part, truth in (("oof", self.oof), ("heldout", self.heldout))
        }


def score(repeats: Sequence[Sequence[Arm]], truths: Truths, seed: int = 0, n_boot: int = N_BOOT) -> pd.DataFrame:
    """One row an arm, columns COLUMNS: macro AUC, gains over `against`, inflation, each with its 95 % interval.

    repeats: the same arms, in the same order, once per training seed.
    """
    rows = []
    found = [_values(arms, truths, seed, n_boot) for arms in repeats]
    mean = {
        key: (float(np.mean([one[key][0] for one in found])), np.mean([one[key][1] for one in found], axis=0))
        for key in found[0]
    }
    for arm in repeats[0]:
        row = _row(arm, mean) | {"repeats": len(found), "role": arm.role}
        if arm.against is not None and len(found) > 1:
            for part, name in zip(("oof", "heldout"), SPREADS):
                row[name] = float(np.std([one[arm.name, part][0] - one[arm.against, part][0] for one in found], ddof=1))
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _values(arms, truths: Truths, seed: int, n_boot: int) -> dict[tuple[str, str], tuple[float, np.ndarray]]:
    """(arm, part) -> (macro AUC, its bootstrap draws)."""
    values: dict[tuple[str, str], tuple[float, np.ndarray]] = {}
    for part, truth, offset in (("oof", truths.oof, 0), ("heldout", truths.heldout, 1)):
        groups = files(truth.index)
        for arm in arms:
            table = getattr(arm, part)
            scores = aligned(table[table.index.isin(truth.index)], truth, f"{arm.name}, {part}").to_numpy()
            some = metrics.draws(metrics.macro_auc, truth.to_numpy(), scores, groups, n_boot, 2 * seed + offset)
            values[arm.name, part] = metrics.macro_auc(truth.to_numpy(), scores), some
    return values


def _row(arm: Arm, values: Mapping[tuple[str, str], Any]) -> dict:
    row: dict[str, str | float] = {"arm": arm.name, "against": arm.against or ""}
    for part in ("oof", "heldout"):
        row |= _interval(part, *values[arm.name, part])
        if arm.against is not None:
            row |= _interval(f"{part}_gain", *_less(values[arm.name, part], values[arm.against, part]))
    if arm.against is not None:
        gains = [_less(values[arm.name, part], values[arm.against, part]) for part in ("oof", "heldout")]
        row |= _interval("inflation", *_less(*gains))
    return row


def _less(a: tuple[float, np.ndarray], b: tuple[float, np.ndarray]) -> tuple[float, np.ndarray]:
    return a[0] - b[0], a[1] - b[1]


def _interval(name: str, value: float, draws: np.ndarray) -> dict[str, float]:
    low, high = metrics.interval(metrics.macro_auc, value, draws)
    return {name: value, f"{name}_lo": low, f"{name}_hi": high}
