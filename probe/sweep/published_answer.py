"""The answer of a sweep, as a record and a sentence: which tap to read, its gain, how sure that is, what it costs."""

from dataclasses import asdict, dataclass

from ...analysis import wording
from ...analysis.ranking import Ranking


@dataclass(frozen=True)
class Answer:
    """What a sweep found.

    Accuracies and differences are shares (0.905, 0.093), p-values two-sided. `p` is the paired test of `best` against
    `reference`; `p_adjusted` is the same corrected for having picked the best of all taps (max-T over taps), and it is
    the one that the sentence speaks of. `tied` lists the taps that no family-wise paired test separates from `best`.
    `cost_share` = multiply-accumulates up to `best` over those up to `reference`: counted, not measured.
    """

    best: str
    knn: float
    knn_lo: float
    knn_hi: float
    reference: str
    reference_knn: float
    difference: float
    lo: float
    hi: float
    p: float
    p_adjusted: float
    cost_share: float
    tied: tuple[str, ...]
    chance: float
    linear_best: str
    linear_best_score: float
    linear_at_best: float
    linear_reference: float

    @property
    def remark(self) -> str:
        """What the linear probe says to it: trained weights can undo what a plain distance cannot."""
        if self.linear_best == self.best == self.reference:
            return f"A linear probe agrees: {self.linear_best_score:.3f} there, the most of all taps."
        if self.linear_best == self.best:
            return (
                f"A linear probe agrees: {self.linear_at_best:.3f} there, {self.linear_reference:.3f} at "
                f"{plain(self.reference)}."
            )
        scores = {self.best: self.linear_at_best, self.reference: self.linear_reference}
        most = wording.number(self.linear_best_score)
        level = [plain(tap) for tap, score in scores.items() if wording.number(score) == most]
        if len(level) == len(scores):
            return f"A linear probe reads {' and '.join(level)} equally well: {most}, and no tap better."
        others = " and ".join(
            f"{score:.3f} at {plain(tap)}" for tap, score in scores.items() if plain(tap) not in level
        )
        if level:
            return f"A linear probe puts {level[0]} first, level with others: {most}, against {others}."
        return f"A linear probe puts {plain(self.linear_best)} first: {most}, against {others}."

    @property
    def sentence(self) -> str:
        reference = plain(self.reference)
        if self.best == self.reference:
            return f"Keep reading {reference}: {self.knn:.3f}; no other tap of this model does better on these clips."
        points = wording.in_points(self.difference)
        gain = f"{points:.1f} {'point' if f'{points:.1f}' == '1.0' else 'points'} above {reference}"
        if self.p_adjusted >= 0.05:
            return (
                f"No tap beats {reference} ({self.reference_knn:.3f}) beyond chance here: {self.best} ranks first with "
                f"{self.knn:.3f}, {gain}, {wording.p_value(self.p_adjusted)}."
            )
        sure, cost = wording.p_value(self.p_adjusted), f"at {100 * self.cost_share:.0f} % of the cost"
        return f"Read {self.best}: {self.knn:.3f}, {gain}, {sure}, {cost}."

    def to_json(self) -> dict:
        return asdict(self) | {"tied": list(self.tied), "sentence": self.sentence, "remark": self.remark}


def plain(tap: str) -> str:
    """A tap's name inside a sentence."""
    return tap if tap.startswith("block_") else wording.tap_name(tap)


def answer(ranking: Ranking, reference: str, cost: dict[str, float], linear: dict[str, float], chance: float) -> Answer:
    """The answer that a ranking gives. `cost` and `linear` map each tap to the multiply-accumulates up to it and to its
    linear probe's accuracy; `chance` is the accuracy of always naming the largest class."""
    linear_best = max(linear, key=linear.__getitem__)
    best = {name: float(values.loc[ranking.best]) for name, values in ranking.table.items()}
    return Answer(
        best=ranking.best,
        **{name: best[name] for name in ("knn", "knn_lo", "knn_hi")},
        reference=reference,
        reference_knn=float(ranking.table["knn"].loc[reference]),
        **{part: best[f"vs_last_{part}"] for part in ("lo", "hi", "p")},
        difference=best["vs_last"],
        p_adjusted=float(ranking.best_p_adjusted),
        cost_share=cost[ranking.best] / cost[reference],
        tied=tuple(ranking.tied),
        chance=chance,
        linear_best=linear_best,
        linear_best_score=linear[linear_best],
        linear_at_best=linear[ranking.best],
        linear_reference=linear[reference],
    )
