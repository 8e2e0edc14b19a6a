"""What was written against the best single member: the last word of a blend, where the truth is known."""

from collections.abc import Mapping, Sequence

import pandas as pd

from .. import wording
from ..postprocess.effects import Effect
from . import comparison


def verdict(
    expected: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    written: pd.DataFrame,
    effects: Sequence[Effect],
    seed: int = 0,
    ignore: Sequence[str] = (),
) -> str:
    """One sentence on what was written against the best single member as it came, and one on steps that did harm.

    expected: the truth, bool. tables: the members', by name. effects: what the steps did, in order. ignore: columns of
    the tables that are no classes. The members are ranked on the same rows, so the best one's score is a little too
    good.
    """
    raw = comparison.compare(
        expected, {name: [(comparison.RAW, table)] for name, table in tables.items()}, seed=seed, ignore=ignore
    )
    best = raw.iloc[int(raw["macro_auc"].to_numpy().argmax())]
    both = {"best": [(comparison.RAW, tables[best.member])], "written": [(comparison.RAW, written)]}
    row = comparison.compare(expected, both, "best", seed=seed, ignore=ignore).iloc[-1]
    gain = wording.interval(row.vs_baseline, row.vs_baseline_lo, row.vs_baseline_hi, signed=True)
    who = f"the best single member, {best.member}" if len(tables) > 1 else f"{best.member} as it came"
    told = f"Written: macro AUC {row.macro_auc:.3f}, against {who} ({best.macro_auc:.3f}): "
    if f"{row.vs_baseline:.3f}" in ("0.000", "-0.000"):
        told += "no difference."
    elif not (row.vs_baseline_lo > 0 or row.vs_baseline_hi < 0):
        told += f"{gain}, no difference beyond chance."
    elif row.vs_baseline > 0:
        told += f"{gain}, better."
    else:
        told += f"{gain}, worse. Write {best.member} alone?"
    harm = [effect for effect in effects if effect.gain_hi is not None and effect.gain_hi < 0]
    if harm:
        each = ", ".join(f"{e.step} ({_gain(e)})" for e in harm)
        told += f" Made worse by {each}: leave {'it' if len(harm) == 1 else 'them'} out?"
    return told


def _gain(effect: Effect) -> str:
    lo, hi = effect.gain_lo, effect.gain_hi
    assert effect.gain is not None and lo is not None and hi is not None
    return wording.interval(effect.gain, lo, hi, signed=True)
