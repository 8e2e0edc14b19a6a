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

from ....analysis.readout_ranking import ReadoutRanking
from . import text
from .findings import USES, Advice, Findings, ScoredCell

PUBLISHED = "knn"


@dataclass(frozen=True)
class Conclusion(Findings):
    """The conclusion of a sweep, `answer.json`: the findings and what they come to in words."""

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
    """The conclusion that a ranking of taps and read-outs gives.

    Args:
        ranking: every tap under every read-out, `analysis.readout_ranking`.
        k: neighbours of the k-NN read-outs, for the words.

    Returns:
        The conclusion; its `sentence` claims only what the table supports.
    """
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
