"""A number that a run measured, two tables of predictions compared, and the name of the backbone."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ...analysis import metrics, predictions
from ..runs.discovery import Sources
from ..runs.readers import MODELS, PERCH_V2

N_BOOT, SEED = 2000, 0


@dataclass(frozen=True)
class Measure:
    """run: its name. on: model and data. value with low, high (nan where there is none), in the unit that the function
    tells. n: what was counted. at: what was compared, in words. perch: whether of Perch v2 on the competition."""

    run: str
    on: str
    value: float
    low: float
    high: float
    n: str
    at: str
    perch: bool = False

    @property
    def ends(self) -> tuple[float, float, float]:
        """value, low, high."""
        return self.value, self.low, self.high

    def said(self, form: str = "{:+.3f}") -> str:
        """ "+0.050 [+0.017, +0.085]", or without brackets where there is no interval. form: of all three numbers; what
        follows its brace, a unit, stands once."""
        value = form.format(self.value)
        if math.isnan(self.low) or math.isnan(self.high):
            return value
        bare = form.partition("}")[0] + "}"
        return f"{value} [{bare.format(self.low)}, {bare.format(self.high)}]"


def paired(metric: Callable, truth: Path, one: Path, other: Path) -> tuple[float, float, float]:
    """metric of a table of predictions less that of another on the truth's rows, drawn by recordings."""
    y = predictions.read(truth)
    ours, theirs = (predictions.aligned(predictions.read(path), y, str(path)).to_numpy() for path in (one, other))
    return metrics.paired(metric, y.to_numpy(dtype=bool), ours, theirs, predictions.files(y.index), seed=SEED)


def model_name(sources: Sources, sha256: str, path: str = "") -> str:
    """The backbone's name by its file: as its sweeps call it, or one that we know; else the file's stem."""
    if sha256 in PERCH_V2:
        return "Perch v2"
    for sweep in sources.sweeps:
        if sweep.config["model"]["sha256"] == sha256:
            return sweep.model
    for run in sources.experiments:
        if run.config.get("model", {}).get("sha256") == sha256:
            path = path or run.config["model"]["path"]
    stem = Path(path).stem
    return MODELS.get(stem, stem) or f"model {sha256[:8]}"


def caveat(names: Iterable[str]) -> str:
    """A sentence for a caption, with a space before it, where one of these begins with the bundled miniature's name."""
    name = MODELS["wren"]
    if not any(one.startswith(name) for one in names):
        return ""
    return f" {name} is a miniature network that learned made-up species; it says nothing of birds."
