"""Folds of heads over time that are done, kept until the run is whole: the same command goes on where it was killed.

RUN/.folds/DIGEST/HEAD-foldK: a checkpoint each. The digest covers all that a fold depends on, so another training never
takes them up. Heads that read single windows train in seconds and are not kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...features import InputError
from ...finetune.checkpoint import files, save
from ..sequences.windows import Windows
from .checkpoint import Description, load
from .loop import Fitted

FOLDER = ".folds"


@dataclass(frozen=True, eq=False)
class FinishedFolds:
    """Those of one head. folder: it need not exist. name: of their files. labels: their classes. describe: (fold, its
    model) -> what the checkpoint says of itself."""

    folder: Path
    name: str
    labels: tuple[str, ...]
    describe: Callable[[int, Fitted], Description]

    def get(self, fold: int, windows: Windows, recordings: np.ndarray, rows: np.ndarray) -> Fitted | None:
        """The fold, with the logits of the rows that it holds out and their recordings; None: it has to be trained."""
        path = self._path(fold)
        if not all(file.is_file() for file in files(path)):
            return None
        try:
            head, about = load(path, labels=self.labels)
        except InputError:  # damaged: it is trained again
            return None
        logits = windows.said(head, len(self.labels), recordings)[rows]
        said = about.metrics
        scores = tuple(np.nan if score is None else score for score in said["scores"])
        return Fitted(head, logits, scores[said["epoch"] - 1], said["epoch"], tuple(said["losses"]), scores)

    def keep(self, fold: int, fitted: Fitted) -> None:
        about = self.describe(fold, fitted)
        scores = [None if np.isnan(score) else float(score) for score in fitted.scores]
        about = replace(about, metrics=about.metrics | {"scores": scores})
        save(self._path(fold), fitted.module, about, overwrite=True)

    def _path(self, fold: int) -> Path:
        return self.folder / f"{self.name}-fold{fold}"
