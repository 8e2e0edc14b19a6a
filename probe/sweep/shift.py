"""The same read-outs on other recordings: fitted on all of AUDIO, scored on TEST, such as soundscapes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...analysis import readouts, wording
from ...analysis.readout_ranking import Cell, ReadoutRanking, rank_readouts
from .conclusion import Conclusion, conclude
from .items import Items, score_cells
from .published_answer import plain

SHIFTED = ("score", "lo", "hi", "vs_last", "vs_last_lo", "vs_last_hi", "vs_last_p", "vs_last_p_adjusted")


@dataclass(frozen=True, eq=False)
class Shift:
    """The ranking on the test recordings, and what choosing on the others costs there.

    readouts: taps x read-outs, scored on TEST. conclusion: which tap to read there. chosen: the best cell in domain,
    over all read-outs; chosen_score: its score on TEST; best, best_score: the best cell on TEST. back_score, own_score:
    the scores in domain of the cell that is best on TEST, and of the one chosen there.
    """

    readouts: ReadoutRanking
    conclusion: Conclusion
    chosen: Cell
    chosen_score: float
    best: Cell
    best_score: float
    back_score: float
    own_score: float
    n_classes: int

    @property
    def regret(self) -> float:
        """What the cell chosen in domain gives away on the test recordings."""
        return self.best_score - self.chosen_score

    @property
    def sentence(self) -> str:
        """The test recordings in words."""
        (tap, readout), (other, other_readout) = self.best, self.chosen
        words, metric = self.conclusion.words, wording.SCORES[self.readouts.metric]
        told = (
            f"On the test recordings ({self.readouts.n} rows of {self.readouts.n_groups} groups, {self.n_classes} "
            f"classes) {plain(tap)} by {words(readout)} is best: {metric} {self.best_score:.3f}."
        )
        if self.chosen == self.best:
            return f"{told} It is the best in domain too."
        there = f"{self.chosen_score:.3f} there, {wording.number(self.regret)} less"
        return f"{told} Best in domain was {plain(other)} by {words(other_readout)}: {there}."

    def columns(self) -> pd.DataFrame:
        """`shifted_*` columns for readouts.csv, in the order of its rows."""
        return self.readouts.table[list(SHIFTED)].add_prefix("shifted_")

    def to_json(self) -> dict:
        """For `answer.json`."""
        return {
            **self.conclusion.to_json(),
            "chosen_in_domain": {"tap": self.chosen[0], "readout": self.chosen[1], "shifted": self.chosen_score},
            "best": {"tap": self.best[0], "readout": self.best[1], "score": self.best_score},
            "regret": self.regret,
            "regret_in_domain": self.own_score - self.back_score,
            "n_classes": self.n_classes,
            "sentence": self.sentence,
        }


def score_shift(items: Items, tested: Items, names: Sequence[str], k: int) -> dict[Cell, np.ndarray]:
    """Class scores of the tested items by read-outs fitted on all others: (tap, read-out) -> float64 [m, K]."""

    def score(tap: str) -> dict[str, np.ndarray]:
        found, vectors = {}, (items.vectors(tap), tested.vectors(tap))
        for name in names:
            train, test = (items.maps(tap), tested.maps(tap)) if name == readouts.ATTENTIVE else vectors
            found[name] = readouts.transfer(name, train, items.targets, test, k)
        return found

    return score_cells(items.taps, score)


def rank_shift(
    scores: dict[Cell, np.ndarray],
    targets: np.ndarray,
    groups: np.ndarray,
    domain: ReadoutRanking,
    k: int,
    metric: str,
    seed: int = 0,
) -> Shift:
    """Rank the cells on the test items (targets bool [m, K], groups [m]); domain: the same cells ranked in domain."""
    ranked = rank_readouts(scores, targets, groups, domain.reference, metric, seed=seed)
    tables = (part.table.set_index(["tap", "readout"])["score"] for part in (domain, ranked))
    inside, outside = (scores.to_dict() for scores in tables)
    chosen, best = (part.cells[part.best_row(np.arange(len(part.cells)))] for part in (domain, ranked))
    return Shift(
        readouts=ranked,
        conclusion=conclude(ranked, k),
        chosen=chosen,
        chosen_score=float(outside[chosen]),
        best=best,
        best_score=float(outside[best]),
        back_score=float(inside[best]),
        own_score=float(inside[chosen]),
        n_classes=int((targets.any(axis=0) & ~targets.all(axis=0)).sum()),
    )
