"""The conclusion across models: which model, tap and read-out comes first for each use, and whether it beats the rest.

A model is said to beat another only where its best tap beats the other's best tap beyond chance. Both are picked from
the data, so p is family-wise over all pairs of cells of different models within a use, over both uses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations

import numpy as np

from ....analysis import wording
from ....analysis.readout_ranking import ALPHA, Cell, ReadoutRanking, compare_pairs
from ....analysis.readouts import USES
from ..conclusion import PUBLISHED, Advice, advise, few_groups

LEVEL = 1e-9  # scores that differ by less are equal
Names = Mapping[str, tuple[str, str]]  # the ranking's name of a tap -> (model, tap)


@dataclass(frozen=True)
class Rival:
    """The best cell of another model, for the same use.

    difference, lo, hi: the winner's score less this one's, with its 95 % interval. p_adjusted: family-wise.
    """

    model: str
    tap: str
    readout: str
    score: float
    difference: float
    lo: float
    hi: float
    p_adjusted: float

    @property
    def beaten(self) -> bool:
        """Whether the winner is better beyond chance."""
        return self.difference > 0 and self.p_adjusted < ALPHA

    @property
    def level(self) -> bool:
        """Whether the winner's score is no higher at all: it is named first by the order of the runs alone."""
        return abs(self.difference) < LEVEL


@dataclass(frozen=True)
class ModelAdvice:
    """What to read for one use: the advice about the winning model's taps, and how the other models stand against it.

    advice: as a sweep's, with family-wise p over all models. rivals: the other models, the nearest first.
    """

    model: str
    advice: Advice
    rivals: tuple[Rival, ...]

    @property
    def beats_others(self) -> bool:
        """Whether it beats the best tap of every other model beyond chance."""
        return all(rival.beaten for rival in self.rivals)

    @property
    def leaders(self) -> tuple[str, ...]:
        """The model and those that are level with it."""
        return (self.model, *(rival.model for rival in self.rivals if rival.level))

    def to_json(self) -> dict:
        """One part of `answer.json`."""
        rivals = [asdict(rival) | {"beaten": rival.beaten} for rival in self.rivals]
        return {"model": self.model, **asdict(self.advice), "beats_others": self.beats_others, "others": rivals}


@dataclass(frozen=True)
class ModelConclusion:
    """The conclusion of a comparison, `answer.json`; fields as a sweep's conclusion has them.

    references: each model's own last tap before the classifier. resampled: what stands for one in intervals and p:
    "groups", or the items where no groups are known.
    """

    training_free: ModelAdvice | None
    linear: ModelAdvice | None
    published: ModelAdvice | None
    references: dict[str, str]
    metric: str
    k: int
    n: int
    n_groups: int
    smallest_p: float
    readouts: tuple[str, ...]
    resampled: str = "groups"

    @property
    def uses(self) -> dict[str, ModelAdvice]:
        """The uses that have an advice."""
        found = {use: getattr(self, use) for use in USES}
        return {use: part for use, part in found.items() if part is not None}

    @property
    def agree(self) -> bool:
        """Whether every use and the published protocol have the same model and tap first."""
        every = [part for part in (self.training_free, self.linear, self.published) if part]
        return len({(part.model, part.advice.tap) for part in every}) == 1

    @property
    def lines(self) -> list[str]:
        """The sentence, one line a part."""
        uses = [f"{wording.USES[use]}: {self._use(part)}." for use, part in self.uses.items()]
        return [line for line in (self._headline(), *uses, few_groups(self.n_groups, self.smallest_p)) if line]

    @property
    def sentence(self) -> str:
        """The conclusion in words."""
        return " ".join(self.lines)

    @property
    def note(self) -> str:
        """What scores, intervals and p-values are: an interval may leave out 0 where p is large."""
        over = f"{self.n_groups} {self.resampled}"
        return (
            f"Scores: {wording.SCORES[self.metric]}; brackets: 95 % intervals over {over}, of one score or difference "
            "alone; p: family-wise, over all pairs of cells that could have been picked."
        )

    def to_json(self) -> dict:
        """`answer.json`."""
        parts = {name: part and part.to_json() for name in (*USES, "published") for part in [getattr(self, name)]}
        said = ("sentence", "lines", "note", "agree", "references", "metric", "n", "n_groups", "smallest_p")
        return parts | {name: getattr(self, name) for name in said} | {"readouts": list(self.readouts)}

    def _headline(self) -> str:
        parts = list(self.uses.values())
        if not parts:
            return ""
        everywhere = [model for model in self.references if all(model in part.leaders for part in parts)]
        if len(everywhere) > 1:
            return f"{' and '.join(everywhere)} are not told apart: for each use their best taps have equal scores."
        firsts = everywhere or list(dict.fromkeys(part.model for part in parts))
        if len(firsts) > 1:
            return f"It depends on the use: {firsts[0]} without training, {firsts[1]} with a linear head."
        others = "the other model" if len(self.references) == 2 else "every other model"
        if all(part.beats_others for part in parts):
            return f"Use {firsts[0]}: its best tap beats that of {others} beyond chance."
        if any(part.beats_others for part in parts):
            return f"{firsts[0]} comes first, beyond chance in one use, not in the other."
        return f"{firsts[0]} comes first, not beyond chance."

    def _use(self, part: ModelAdvice) -> str:
        advice = part.advice
        score = wording.interval(advice.score, advice.lo, advice.hi)
        told = f"{part.model} {advice.tap} by {self._words(advice.readout)}, {score}"
        near = next((rival for rival in part.rivals if not rival.beaten), part.rivals[0])
        gain = wording.points(near.difference, near.lo, near.hi)
        which = f"{near.model} ({near.tap} by {self._words(near.readout)}, {near.score:.3f})"
        p = wording.p_value(near.p_adjusted)
        if near.beaten:
            rest = f" and those of the other {len(part.rivals) - 1}" if len(part.rivals) > 1 else ""
            told += f"; it beats the best tap of {which} by {gain} ({p}){rest}"
        elif near.level:
            told += f", level with the best tap of {which}, {gain}"
        else:
            told += f"; {gain} against the best tap of {which}, not beyond chance ({p})"
        last = self.references[part.model]
        if advice.tap == last:
            return f"{told}; no inner tap of {part.model} does better"
        gain = wording.points(advice.vs_last, advice.vs_last_lo, advice.vs_last_hi)
        beyond = "" if advice.beats_last else "not beyond chance, "
        return (
            f"{told}; {gain} against its own {wording.tap_title(last)} ({beyond}{wording.p_value(advice.p_adjusted)})"
        )

    def _words(self, readout: str) -> str:
        return wording.readout_name(readout, self.k)


def conclude_models(ranking: ReadoutRanking, names: Names, k: int, resampled: str = "groups") -> ModelConclusion:
    """The conclusion of a ranking over several models, each tap against its own model's last one.

    names: the ranking's name of a tap -> (model, tap). k: neighbours of the k-NN read-outs, resampled: what the groups
    are, both for the words.
    """
    known = tuple(dict.fromkeys(ranking.table["readout"]))
    uses = {use: [name for name in every if name in known] for use, every in USES.items()}
    uses["published"] = [name for name in (PUBLISHED,) if name in known]
    family = [pair for use in USES for pair in cross_pairs(ranking, names, uses[use])]
    found = {use: _advise(ranking, names, readouts, family) for use, readouts in uses.items()}
    return ModelConclusion(
        training_free=found["training_free"],
        linear=found["linear"],
        published=found["published"],
        references={names[tap][0]: names[last][1] for tap, last in ranking.references.items()},
        metric=ranking.metric,
        k=k,
        n=ranking.n,
        n_groups=ranking.n_groups,
        smallest_p=ranking.smallest_p,
        readouts=known,
        resampled=resampled,
    )


def cross_pairs(ranking: ReadoutRanking, names: Names, readouts: Sequence[str]) -> list[tuple[Cell, Cell]]:
    """All pairs of cells of different models under some read-outs."""
    cells = [cell for cell in ranking.cells if cell[1] in readouts]
    return [(one, other) for one, other in combinations(cells, 2) if names[one[0]][0] != names[other[0]][0]]


def _advise(
    ranking: ReadoutRanking, names: Names, readouts: Sequence[str], family: Sequence[tuple[Cell, Cell]]
) -> ModelAdvice | None:
    found = advise(ranking, readouts)
    if found is None:
        return None
    model, tap = names[found.tap]
    best = best_cells(ranking, names, readouts)
    others = [cell for name, cell in best.items() if name != model]
    tests = compare_pairs(ranking, [((found.tap, found.readout), cell) for cell in others], family)
    rivals = [
        Rival(
            *names[cell[0]],
            cell[1],
            float(ranking.jackknife.value[ranking.cells.index(cell)]),
            *(float(getattr(test, name)) for name in ("difference", "lo", "hi", "p_adjusted")),
        )
        for cell, test in zip(others, tests.itertuples())
    ]
    rivals.sort(key=lambda rival: rival.difference)
    return ModelAdvice(model, replace(found, tap=tap, read=names[found.read][1]), tuple(rivals))


def best_cells(ranking: ReadoutRanking, names: Names, readouts: Sequence[str]) -> dict[str, Cell]:
    """Each model's best cell under some read-outs."""
    rows: dict[str, list[int]] = {}
    for i, (tap, readout) in enumerate(ranking.cells):
        if readout in readouts:
            rows.setdefault(names[tap][0], []).append(i)
    return {model: ranking.cells[ranking.best_row(np.array(own))] for model, own in rows.items()}
