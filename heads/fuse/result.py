"""What fusing a run gives: one file on disk, and how it compares with what it was made of."""

from dataclasses import dataclass
from pathlib import Path

from ...features.spelling import counted


@dataclass(frozen=True)
class Fused:
    """What fuse() wrote.

    size, full_size: bytes of the file and of the model it came from. max_abs: largest difference of a probability to
    the two-step path. cut_after: the deepest tap that is read, behind which nothing of the backbone is left.
    frontend, inputs: what the model was opened with, and what is part of the file now. cost: a line on what fusing
    saves, or of heads over time on what they cost beside the backbone; "" where it was not measured.
    """

    path: Path
    model: Path
    head: str
    folds: tuple[int | None, ...]
    taps: tuple[str, ...]
    labels: tuple[str, ...]
    activation: str
    window_samples: int
    normalise: str  # what the caller still has to do to a window
    size: int
    full_size: int
    max_abs: float
    cut_after: str
    opset: int
    frontend: str | None = None
    inputs: tuple[str, ...] = ()
    recording: int = 0  # windows that go in together, at most; 0: windows are read one by one
    cost: str = ""

    def __repr__(self) -> str:
        share = 100 * self.size / self.full_size
        together = f"recordings of up to {self.recording} windows; " if self.recording else ""
        folds = counted(len(self.folds), "fold")
        return (
            f"{self.path}: {self.head} over {', '.join(self.taps)}, {folds} averaged; {together}"
            f"{self.size / 1e6:.1f} MB ({share:.0f} % of the model's {self.full_size / 1e6:.1f}); "
            f"within {self.max_abs:.0e} of backbone and head in two steps" + (f"\n{self.cost}" if self.cost else "")
        )
