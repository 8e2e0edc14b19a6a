"""Single-pass pseudo-labels, naive and gated: does the held-out score follow the out-of-fold score?

Yadav 2026, negative results: 333 unlabelled files labelled by the five folds of the head gave +0.134 out of fold and
-0.009 on the leaderboard. Here the unlabelled files are few; the truth of the test soundscapes is known.
"""

from collections.abc import Sequence

import pandas as pd

from ...analysis import metrics, runs
from ...analysis.predictions.table import aligned, read_truth
from ..training.pseudo_labels import Gate
from .comparison import score
from .competition_stores import predict
from .outcome import Finding, signed, verdict
from .training import Training

HEAD = "attention"
TEACHER, NAIVE = "teacher", "naive student"
GATE = Gate(0.5, 1.5, "unseen")
GATED = "gated student"


def find(trainings: Sequence[Training]) -> Finding:
    """A teacher; a student of all its probabilities and one of what the gate lets through, against the teacher."""
    repeats, notes = [], []
    for training in trainings:
        taps = ",".join(training.material.tokens)
        teacher = training.run("teacher", taps, HEAD)
        naive, gated = (
            training.run(name, taps, HEAD, teacher, gate) for name, gate in (("naive", None), ("gated", GATE))
        )
        arms = [training.arm(TEACHER, teacher, HEAD)]
        arms += [
            training.arm(NAIVE, naive, HEAD, TEACHER, runs.NAIVE),
            training.arm(GATED, gated, HEAD, TEACHER, runs.GATED),
        ]
        repeats.append(arms)
        if training is trainings[0]:
            notes += [f"Gate, in the first training: {warning}" for warning in gated.warnings if str(GATE) in warning]
            notes += _said_of_teacher(training, teacher)
    frame = score(repeats, trainings[0].truths(), trainings[0].settings.seed)
    return Finding(frame, _sentence(frame), tuple(notes))


def _sentence(frame: pd.DataFrame) -> str:
    rows = {row["arm"]: row for _, row in frame.iterrows()}
    said = []
    for name in (NAIVE, GATED):
        row = rows[name]
        told = verdict(
            row,
            "inflation",
            "the out-of-fold gain promises more than the held-out recordings give",
            "the held-out recordings gain more than out of fold",
            "these recordings cannot tell the two gains apart",
        )
        said.append(
            f"{name}: {signed(row, 'oof_gain')} out of fold, {signed(row, 'heldout_gain')} held out, inflation "
            f"{signed(row, 'inflation')}: {told}"
        )
    return f"Against the teacher, {'; '.join(said)}."


def _said_of_teacher(training: Training, teacher) -> list[str]:
    """How right the teacher is about the windows that it labels, where their truth is known."""
    path = training.material.competition / "truth" / "unlabelled.csv"
    if not path.is_file():
        return []
    truth = read_truth(path)
    table = aligned(predict(teacher.run, HEAD, training.material.unlabelled()), truth, "teacher").to_numpy()
    right, sure = truth.to_numpy(), table >= GATE.keep
    auc = metrics.macro_auc(right, table)
    precision = f"{right[sure].mean():.0%} of them right" if sure.any() else "none"
    return [
        f"The teacher on the {len(truth)} windows that it pseudo-labels: macro AUC {auc:.3f}; {int(sure.sum())} "
        f"labels at p >= {GATE.keep:g}, {precision}; {right[sure].sum()} of {right.sum()} true labels among them."
    ]
