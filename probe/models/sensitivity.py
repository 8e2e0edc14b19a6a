"""How far an embedding moves when the audio is fed otherwise."""

from dataclasses import dataclass

import numpy as np

from ...features.windows import normalise_file, normalise_windows
from ..runtime.backbone import Backbone

LARGE = 0.1  # of the distance between windows: enough to change neighbours
OFFSET = 0.01  # of full scale


@dataclass(frozen=True)
class Moved:
    """change: what was done to the audio. by: mean distance that the embedding moves, over the mean distance between
    the embeddings of different windows."""

    change: str
    by: float

    def __str__(self) -> str:
        return f"  {self.change:<38} {self.by:8.3f}{'  it matters' if self.by > LARGE else ''}"


def measure(backbone: Backbone, windows: np.ndarray, tap: str) -> tuple[Moved, ...]:
    """The usual ways to get it wrong: another normalisation, gain, an offset.

    windows: float32 [n, samples] as decoded, n at least 2.
    """
    rule = backbone.normalise

    def embed(x: np.ndarray, rule: str) -> np.ndarray:
        if rule == "file-peak":
            x = np.stack([normalise_file(row, rule) for row in x])
        rows = backbone(normalise_windows(x.astype(np.float32), rule))[tap]
        return rows.reshape(len(rows), -1).astype(np.float64)

    usual = embed(windows, rule)
    apart = np.mean([np.linalg.norm(a - b) for i, a in enumerate(usual) for b in usual[:i]]) or 1.0
    others = [other for other in ("none", "peak", "file-peak") if other != rule]
    changed: dict[str, tuple[np.ndarray, str]] = {
        **{f"normalise {other} instead of {rule}": (windows, other) for other in others},
        "gain +6 dB": (windows * 2, rule),
        "gain -6 dB": (windows / 2, rule),
        f"offset of {OFFSET:g}": (windows + np.float32(OFFSET), rule),
        "16-bit integers instead of floats": (windows * 32768, rule),
    }
    return tuple(
        Moved(name, float(np.linalg.norm(embed(*fed) - usual, axis=1).mean() / apart)) for name, fed in changed.items()
    )
