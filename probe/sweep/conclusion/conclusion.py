"""The conclusion of a sweep: which tap to read for each use, and whether that survives the way it is read.

Two uses. *Without training*: recordings are compared by distances between vectors, so the best training-free read-out
speaks. *A linear head*: weights are trained, so the best linear read-out speaks. A tap is named in place of the
reference (the final embedding) only where it beats it under the same read-out beyond chance, family-wise over all taps
and read-outs. Beside both stands what the published protocol says (Euclidean 5-NN, the best tap as it comes: Table 1 of
Yadav 2026), and whether following it would have misled.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ....analysis import wording
from ....analysis.readout_ranking import ALPHA, Choice, ReadoutRanking
from ....analysis.readouts import USES
from . import text

PUBLISHED = "knn"


@dataclass(frozen=True)
class Advice(Choice):
    """What to read for one use: the best cell of its read-outs, and the tap to read.

    read: the best tap where it beats the reference, else the reference; read_readout, read_score: under which read-out
    of this use, and what that gives.
    """

    read: str
    read_readout: str
    read_score: float


@dataclass(frozen=True)
class ScoredCell:
    """A tap under a read-out, against the reference under the same read-out; p_adjusted is family-wise over all cells.

    beats_last: better than the reference beyond chance. hi: the upper end of the 95 % interval of the difference.
    """

    readout: str
    tap: str
    score: float
    vs_last: float
    vs_last_hi: float
    p_adjusted: float

    @property
    def beats_last(self) -> bool:
        """Better than the reference beyond chance."""
        return self.vs_last > 0 and self.p_adjusted < ALPHA


@dataclass(frozen=True)
class Conclusion:
    """The conclusion of a sweep, `answer.json`.

    training_free, linear: advice for either use (None where none of its read-outs was asked for). published: the best
    tap of the published protocol; published_elsewhere: that tap under the read-out to use without training.
    reference: the last tap before the classifier. k: neighbours. n, n_groups: rows and groups. smallest_p: the least p
    that the groups allow. winners: the best tap of every read-out; beating: every cell that beats the reference beyond
    chance, the best first. taps: all of them, in graph order.
    """

    training_free: Advice | None
    linear: Advice | None
    published: Advice | None
    published_elsewhere: ScoredCell | None
    reference: str
    metric: str
    k: int
    n: int
    n_groups: int
    smallest_p: float
    winners: tuple[ScoredCell, ...]
    beating: tuple[ScoredCell, ...]
    taps: tuple[str, ...]

    @property
    def uses(self) -> dict[str, Advice]:
        """The advice for each use that has one."""
        found = {use: getattr(self, use) for use in USES}
        return {use: advice for use, advice in found.items() if advice is not None}

    @property
    def readouts(self) -> tuple[str, ...]:
        """Every read-out that was ranked."""
        return tuple(cell.readout for cell in self.winners)

    @property
    def inner_first(self) -> tuple[str, ...]:
        """The read-outs that have an inner tap first: neither the reference nor the logits."""
        return tuple(cell.readout for cell in self.winners if self.is_inner(cell.tap))

    @property
    def agree(self) -> bool:
        """Whether either use and the published protocol have the same tap first."""
        named = [*self.uses.values(), *([self.published] if self.published else [])]
        return len({advice.tap for advice in named}) == 1

    @property
    def misled(self) -> bool:
        """Whether the published tap is clearly worse than the reference, read as it should be without training."""
        return self.published_elsewhere is not None and self.published_elsewhere.vs_last_hi < 0

    def is_inner(self, tap: str) -> bool:
        """Whether a tap lies before the reference; the logits come after it."""
        return tap != self.reference and tap.split("/")[0] != "logits"

    def words(self, readout: str) -> str:
        """A read-out in a sentence."""
        return wording.readout_name(readout, self.k)

    @property
    def parts(self) -> dict[str, str]:
        """The conclusion in words by part: headline, training_free, linear, published, limit; without empty ones."""
        return text.parts(self)

    @property
    def lines(self) -> list[str]:
        """The parts in order, one line each: where read-outs disagree that comes first."""
        return list(self.parts.values())

    @property
    def sentence(self) -> str:
        """The lines as one paragraph."""
        return " ".join(self.lines)

    def to_json(self) -> dict:
        """`answer.json`."""
        said = ("sentence", "lines", "agree", "reference", "metric", "n", "n_groups", "smallest_p", "misled", "parts")
        named = {use: getattr(self, use) for use in (*USES, "published")}
        uses = {name: asdict(advice) if advice else None for name, advice in named.items()}
        lists = {name: list(getattr(self, name)) for name in ("inner_first", "readouts")}
        return uses | {name: getattr(self, name) for name in said} | lists


def conclude(ranking: ReadoutRanking, k: int) -> Conclusion:
    """The conclusion of a ranking of taps and read-outs; it claims only what the table supports. k: for the words."""
    table = ranking.table
    known = tuple(dict.fromkeys(table["readout"]))
    free = advise(ranking, [name for name in USES["training_free"] if name in known])
    published = advise(ranking, [PUBLISHED]) if PUBLISHED in known else None
    elsewhere = None
    if free is not None and published is not None and published.tap != ranking.reference:
        elsewhere = _cell(ranking, published.tap, free.read_readout)
    firsts = [ranking.best([name]) for name in known]
    cells = [_cell(ranking, tap, readout) for tap, readout in ranking.cells]
    return Conclusion(
        training_free=free,
        linear=advise(ranking, [name for name in USES["linear"] if name in known]),
        published=published,
        published_elsewhere=elsewhere,
        reference=ranking.reference,
        metric=ranking.metric,
        k=k,
        n=ranking.n,
        n_groups=ranking.n_groups,
        smallest_p=ranking.smallest_p,
        winners=tuple(_cell(ranking, best.tap, best.readout) for best in firsts),
        beating=tuple(sorted((cell for cell in cells if cell.beats_last), key=lambda cell: -cell.score)),
        taps=tuple(dict.fromkeys(table["tap"])),
    )


def advise(ranking: ReadoutRanking, readouts: Sequence[str]) -> Advice | None:
    """The advice for a use, given its read-outs that were ranked; None where there are none."""
    if not readouts:
        return None
    best = ranking.best(readouts)
    read, readout, score = best.tap, best.readout, best.score
    if not best.beats_last:
        last = ranking.references[best.tap]
        at_last = ranking.table[(ranking.table["tap"] == last) & ranking.table["readout"].isin(readouts)]
        place = int(np.argmax(at_last["score"].to_numpy()))
        read, readout = last, str(at_last["readout"].iloc[place])
        score = float(at_last["score"].iloc[place])
    return Advice(**vars(best), read=read, read_readout=readout, read_score=score)


def _cell(ranking: ReadoutRanking, tap: str, readout: str) -> ScoredCell:
    row = ranking.table.iloc[ranking.cells.index((tap, readout))]
    numbers = {name: float(row[name]) for name in ("score", "vs_last", "vs_last_hi")}
    return ScoredCell(readout, tap, **numbers, p_adjusted=float(row["vs_last_p_adjusted"]))
