"""Folds of heads over time that are done, kept until the run is whole: the same command goes on where it was killed.

RUN/.folds/DIGEST/HEAD-foldK: a checkpoint each. The digest covers all that a fold depends on, so another training never
takes them up. Heads that read single windows train in seconds and are not kept.
"""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ...features import InputError
from ...finetune.checkpoint import files, save, versions
from ..sequences.head import SequenceHead
from ..sequences.training import Windows, predict_rows
from .checkpoint import load
from .loop import Fitted
from .specs import HeadSpec

if TYPE_CHECKING:
    from .job import Job

FOLDER = ".folds"


@dataclass(frozen=True)
class FinishedFolds:
    """Those of one run; `folder` need not exist."""

    folder: Path
    job: "Job"

    @classmethod
    def of(cls, run: Path, job: "Job") -> "FinishedFolds":
        return cls(run / FOLDER / _digest(job), job)

    def of_head(self, spec: HeadSpec, windows: Windows) -> "FinishedHead":
        return FinishedHead(self.folder, self.job, spec, windows)

    def remove(self) -> None:
        """All of this run, those of other settings too."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)


@dataclass(frozen=True, eq=False)
class FinishedHead:
    """The folds of one head."""

    folder: Path
    job: "Job"
    spec: HeadSpec
    windows: Windows

    def get(self, fold: int, recordings: np.ndarray, rows: np.ndarray) -> Fitted | None:
        """The fold, with the logits of the rows that it holds out and their recordings; None: it has to be trained."""
        path = self._path(fold)
        if not all(file.is_file() for file in files(path)):
            return None
        try:
            head, about = load(path, labels=self.job.data.labels)
        except InputError:  # damaged: it is trained again
            return None
        logits = predict_rows(cast(SequenceHead, head), self.windows, recordings, rows)
        said = about.metrics
        scores = tuple(np.nan if score is None else score for score in said["scores"])
        return Fitted(head, logits, scores[said["epoch"] - 1], said["epoch"], tuple(said["losses"]), scores)

    def keep(self, fold: int, fitted: Fitted) -> None:
        about = self.job.describe(self.spec, fold, fitted)
        scores = [None if np.isnan(score) else float(score) for score in fitted.scores]
        self.folder.mkdir(parents=True, exist_ok=True)
        save(
            self._path(fold), fitted.module, replace(about, metrics=about.metrics | {"scores": scores}), overwrite=True
        )

    def _path(self, fold: int) -> Path:
        return self.folder / f"{self.spec.name}-fold{fold}"


def _digest(job: "Job") -> str:
    data = job.data
    about = [asdict(job.settings), asdict(data.key), data.labels, job.groups, job.origin, versions()]
    digest = hashlib.sha256(json.dumps(about).encode())
    digest.update(data.rows[["source", "file", "start_s", "end_s", "sha256"]].to_csv(index=False).encode())
    for values in (job.folds.of_row, data.targets.numpy(), data.first_pass):
        if values is not None:
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]
