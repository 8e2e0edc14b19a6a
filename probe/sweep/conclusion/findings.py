"""What a ranking of taps and read-outs says, as numbers: advice for each use, the published protocol, sure leads."""

from dataclasses import dataclass

from ....analysis import wording
from ....analysis.readout_ranking import ALPHA, Choice
from ....analysis.readouts import LINEAR, TRAINING_FREE

USES = {"training_free": TRAINING_FREE, "linear": LINEAR}  # use -> the read-outs that serve it
USE_WORDS = {"training_free": "Without training", "linear": "With a linear head"}


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
class Findings:
    """What a ranking of taps and read-outs gives, before it is put in words.

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
