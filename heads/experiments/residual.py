"""Residual tokens: h25 - h24 in place of h25, in heads that all have free weights for every token.

Yadav 2026: 0.8961 with the residual against 0.8998 without, out of fold: with a free Linear per token the difference
carries the same signal as the activation.
"""

from collections.abc import Sequence

import pandas as pd

from ...analysis import runs
from ...features import InputError
from .comparison import Arm, score
from .outcome import Finding, moved, signed
from .training import Training

HEADS = ("attention", "concat", "scalarmix")
PARTS = ("oof_gain", "heldout_gain")


def find(trainings: Sequence[Training]) -> Finding:
    """Each head on the taps, and on the taps with the last one as its difference from the one before, paired.

    InputError: a single tap; two last taps of unequal width.
    """
    tokens = trainings[0].material.tokens
    if len(tokens) < 2:
        raise InputError(f"`--taps` must be two or more for a difference, got {', '.join(tokens)}.")
    before, last = tokens[-2:]
    residual = ",".join([*tokens[:-1], f"{last}-{before}"])
    repeats: list[list[Arm]] = []
    for training in trainings:
        raw = training.run("raw", ",".join(tokens), ",".join(HEADS))
        changed = training.run("residual", residual, ",".join(HEADS))
        repeats.append([])
        for head in HEADS:
            repeats[-1].append(training.arm(head, raw, head))
            repeats[-1].append(training.arm(f"{head}, residual", changed, head, head, runs.RESIDUAL))
    frame = score(repeats, trainings[0].truths(), trainings[0].settings.seed)
    notes = (f"Raw tokens: {', '.join(tokens)}; residual: {residual.replace(',', ', ')}.",)
    return Finding(frame, _sentence(frame, f"{last} - {before}"), notes)


def _sentence(frame: pd.DataFrame, token: str) -> str:
    rows = frame[frame["against"] != ""]
    told = "; ".join(
        f"{row['against']} {signed(row, 'oof_gain')} out of fold, {signed(row, 'heldout_gain')} held out"
        for _, row in rows.iterrows()
    )
    verdict = moved([row for _, row in rows.iterrows()], PARTS)
    return f"The residual token {token} in place of the tap: {told}: {verdict}."
