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
import pandas as pd

from ...analysis import wording
from ...analysis.readout_ranking import Choice, ReadoutRanking
from ...analysis.readouts import LINEAR, TRAINING_FREE

PUBLISHED = "knn"
READOUT_WORDS = {
    "knn": "Euclidean {k}-NN",
    "knn-cosine": "cosine {k}-NN",
    "knn-standard": "standardised cosine {k}-NN",
    "centroid": "nearest class mean",
    "linear": "ridge",
    "logistic": "logistic regression",
    "attentive": "attentive pooling",
}
SCORE_WORDS = {"top1": "accuracy", "auc": "macro ROC-AUC", "cmap": "cmAP"}
USES = {"training_free": "Without training", "linear": "With a linear head"}
MANY = 100  # groups from which on the least possible p is no news


@dataclass(frozen=True)
class Advice:
    """What to read for one use.

    tap, readout, score, lo, hi: the best cell of the use's read-outs. corrected: its selection-corrected score.
    vs_last, vs_last_lo, vs_last_hi, p_adjusted: against the reference under the same read-out, family-wise. beats_last:
    better than the reference beyond chance. read: the tap to read: the best one where it beats the reference, else the
    reference; read_readout, read_score: under which read-out of this use, and what that gives.
    """

    readout: str
    tap: str
    score: float
    corrected: float
    vs_last: float
    p_adjusted: float
    lo: float
    hi: float
    vs_last_lo: float
    vs_last_hi: float
    last_score: float
    beats_last: bool
    read: str
    read_readout: str
    read_score: float


@dataclass(frozen=True)
class Conclusion:
    """The conclusion of a sweep, `answer.json`.

    training_free, linear: advice for either use (None where none of its read-outs was asked for). published: the best
    tap of the published protocol. agree: all three name the same tap as the best. misled: the published tap is not the
    one to read without training, and scores significantly less than the reference there. reference: the last tap before
    the classifier. n, n_groups: rows and groups. smallest_p: the least p that the groups allow. leading: how many
    read-outs have another tap than the reference first, of how many.
    """

    training_free: Advice | None
    linear: Advice | None
    published: Advice | None
    reference: str
    metric: str
    k: int
    n: int
    n_groups: int
    smallest_p: float
    inner_first: tuple[str, ...]
    readouts: tuple[str, ...]
    published_elsewhere: float | None
    published_elsewhere_hi: float | None

    @property
    def named(self) -> list[Advice]:
        """Every advice that there is."""
        return [advice for advice in (self.training_free, self.linear, self.published) if advice is not None]

    @property
    def agree(self) -> bool:
        """Whether every use and the published protocol have the same tap first."""
        return len({advice.tap for advice in self.named}) == 1

    @property
    def misled(self) -> bool:
        """Whether the published protocol names a tap that is clearly worse than the reference read the best way."""
        return self.published_elsewhere_hi is not None and self.published_elsewhere_hi < 0

    @property
    def sentence(self) -> str:
        """The conclusion in words: where read-outs disagree that comes first."""
        return " ".join(filter(None, (self._headline(), *map(self._use, USES), self._published(), self._limit())))

    @property
    def lines(self) -> list[str]:
        """The sentence, one line a part."""
        return [part for part in (self._headline(), *map(self._use, USES), self._published(), self._limit()) if part]

    def to_json(self) -> dict:
        """`answer.json`."""
        parts = {name: asdict(part) if (part := getattr(self, name)) else None for name in (*USES, "published")}
        more = {
            "reference": self.reference,
            "metric": self.metric,
            "n": self.n,
            "n_groups": self.n_groups,
            "smallest_p": self.smallest_p,
            "inner_first": list(self.inner_first),
            "readouts": list(self.readouts),
            "misled": self.misled,
        }
        return {**parts, "sentence": self.sentence, "lines": self.lines, "agree": self.agree, **more}

    def _headline(self) -> str:
        last = wording.tap_name(self.reference)
        advised = [advice for advice in (self.training_free, self.linear) if advice is not None]
        if not advised:
            return ""
        beaten = [advice for advice in advised if advice.beats_last]
        if len(beaten) == len(advised):
            taps = " or ".join(dict.fromkeys(advice.tap for advice in beaten))
            return f"Read {taps}: better than {last} however it is read here."
        if beaten:
            return f"It depends on how you read it: {beaten[0].tap} beats {last} in one use, not in the other."
        if len(self.readouts) > 1 and len(self.inner_first) == len(self.readouts):
            inner = [advice.tap for advice in self.named]
            span = sorted(set(inner))
            where = span[0] if len(span) == 1 else f"inner taps ({', '.join(span)})"
            return (
                f"Under every read-out {where} come{'s' if len(span) == 1 else ''} before {last}, none beyond chance."
            )
        if all(advice.tap == self.reference for advice in advised):
            return f"Read {last}."
        return f"No tap beats {last} beyond chance, read the best way: no difference worth having here."

    def _use(self, use: str) -> str:
        advice: Advice | None = getattr(self, use)
        if advice is None:
            return ""
        last, how = wording.tap_name(self.reference), self.words(advice.readout)
        score = wording.interval(advice.score, advice.lo, advice.hi)
        if advice.tap == self.reference:
            return f"{USES[use]}: {last} by {how}, {score}; no inner tap does better."
        gain = wording.points(advice.vs_last, advice.vs_last_lo, advice.vs_last_hi)
        p = wording.p_value(advice.p_adjusted)
        if advice.beats_last:
            return f"{USES[use]}: {advice.tap} by {how}, {score}, {gain} against {last} ({p})."
        best = f"{advice.tap} by {how} comes first with {score}, {gain} against {last}, not beyond chance ({p})"
        kept = (
            ""
            if advice.read_readout == advice.readout
            else f"; {last} gives {advice.read_score:.3f} by {self.words(advice.read_readout)}"
        )
        return f"{USES[use]}: {best}{kept}."

    def _published(self) -> str:
        if self.published is None:
            return ""
        tap, last = self.published.tap, wording.tap_name(self.reference)
        told = f"The published protocol ({self.words(PUBLISHED)}, the best tap as it comes) says {tap} ({self.published.score:.3f})"
        others = {advice.read for advice in (self.training_free, self.linear) if advice is not None}
        if tap in others or self.training_free is None:
            return f"{told}."
        lost = self.published_elsewhere
        if lost is None:
            return f"{told}."
        against = f"{abs(wording.in_points(lost)):.1f} points {'below' if lost < 0 else 'above'} {last}"
        effect = "it would have misled you" if self.misled else "that does not survive the read-out"
        return f"{told}; by {self.words(self.training_free.read_readout)} that tap is {against}: {effect}."

    def _limit(self) -> str:
        if self.n_groups >= MANY or self.smallest_p < wording.SMALLEST_P:
            return ""
        return f"{self.n_groups} groups: p cannot fall below {self.smallest_p:.2g}."

    def words(self, readout: str) -> str:
        """A read-out in a sentence."""
        return READOUT_WORDS[readout].format(k=self.k)


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
    firsts = {name: ranking.best([name]).tap for name in known}
    free = advise(ranking, [name for name in TRAINING_FREE if name in known])
    published = advise(ranking, [PUBLISHED]) if PUBLISHED in known else None
    elsewhere = None
    if free is not None and published is not None and published.tap != ranking.reference:
        elsewhere = _cell(table, published.tap, free.read_readout)
    return Conclusion(
        training_free=free,
        linear=advise(ranking, [name for name in LINEAR if name in known]),
        published=published,
        reference=ranking.reference,
        metric=ranking.metric,
        k=k,
        n=ranking.n,
        n_groups=ranking.n_groups,
        smallest_p=ranking.smallest_p,
        inner_first=tuple(name for name, tap in firsts.items() if tap != ranking.reference),
        readouts=known,
        published_elsewhere=None if elsewhere is None else float(elsewhere["vs_last"]),
        published_elsewhere_hi=None if elsewhere is None else float(elsewhere["vs_last_hi"]),
    )


def advise(ranking: ReadoutRanking, readouts: Sequence[str]) -> Advice | None:
    """The advice for a use, given its read-outs that were ranked; None where there are none."""
    if not readouts:
        return None
    best: Choice = ranking.best(readouts)
    read, readout, score = best.tap, best.readout, best.score
    if not best.beats_reference:
        last = ranking.references[best.tap]
        at_last = ranking.table[(ranking.table["tap"] == last) & ranking.table["readout"].isin(readouts)]
        place = int(np.argmax(at_last["score"].to_numpy()))
        read, readout = last, str(at_last["readout"].iloc[place])
        score = float(at_last["score"].iloc[place])
    return Advice(
        readout=best.readout,
        tap=best.tap,
        score=best.score,
        corrected=best.corrected,
        vs_last=best.vs_last,
        p_adjusted=best.p_adjusted,
        lo=best.lo,
        hi=best.hi,
        vs_last_lo=best.vs_last_lo,
        vs_last_hi=best.vs_last_hi,
        last_score=best.reference_score,
        beats_last=best.beats_reference,
        read=read,
        read_readout=readout,
        read_score=score,
    )


def _cell(table: pd.DataFrame, tap: str, readout: str) -> pd.Series:
    return table[(table["tap"] == tap) & (table["readout"] == readout)].iloc[0]
