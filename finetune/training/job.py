"""What is trained on what: member, settings, folds and classes of one training, and how config.json tells them."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from accelerate import Accelerator

from ...features import InputError
from ...features.audio import SUFFIXES
from ...features.recordings import Clip, Recordings, read_recordings
from ...features.spelling import counted, some
from .. import checkpoint
from ..data.folds import NO_CALL, Folds, label_order, make_folds, without_birds
from ..data.teacher import Teacher, read_teacher
from ..models.members import Member
from .recipe import Settings

CACHE = {"auto": 2 << 30, "on": 1 << 50, "off": 0}  # bytes of decoded audio


@dataclass(frozen=True, eq=False)
class Job:
    """Everything that does not change while a fold is trained. background: clips without birds. root: where the
    recordings are. unlabelled: recordings that are trained on by what the teacher says alone."""

    member: Member
    settings: Settings
    folds: Folds
    fold: int
    labels: tuple[str, ...]
    background: tuple[Clip, ...]
    accelerator: Accelerator
    root: Path = Path()
    teacher: Teacher | None = None
    unlabelled: tuple[Clip, ...] = ()

    @classmethod
    def of(cls, member, recordings, settings, fold, background, labels, accelerator) -> "Job":
        folds = make_folds(recordings, settings.folds, settings.seed)
        quiet = (*without_birds(folds.train(fold)), *(_birdless(background) if background else ()))
        labels = tuple(labels or label_order(recordings))
        return cls(member, settings, folds, fold, labels, quiet, accelerator, Path(recordings.root))

    def taught(
        self,
        teacher: Path | None = None,
        unlabelled: Path | None = None,
        teacher_labels: Path | None = None,
        renames: Path | None = None,
        taxonomy: Path | None = None,
        distill_weight: float = 1.0,
        temperature: float = 2.0,
    ) -> "Job":
        """With a teacher's soft labels, if there is one; see `finetune.api.fine_tune`.

        InputError: it knows none of the clips; what belongs to a teacher, without one.
        """
        if teacher is None:
            if not (unlabelled is teacher_labels is renames is None):
                raise InputError("--unlabelled, --teacher-labels and --renames: expected a --teacher, got none.")
            return self
        said = read_teacher(
            *(Path(teacher), self.labels, self.member.window_s),
            labels=teacher_labels,
            taxonomy=taxonomy,
            renames=renames,
            weight=distill_weight,
            temperature=temperature,
        )
        said.require(self.folds.train(self.fold))
        more: tuple[Clip, ...] = ()
        if unlabelled is not None:
            known = {clip.path.resolve() for clip in self.folds.clips}
            found = read_recordings(unlabelled, labelled=False).clips
            more = tuple(clip for clip in found if clip.path.resolve() not in known and len(said.of_clip(clip)[0]))
            if not more:
                raise InputError(
                    f"--unlabelled {unlabelled}: expected recordings with rows in {teacher}, got {len(found)} without."
                )
        return replace(self, teacher=said, unlabelled=more)

    @property
    def seen(self) -> tuple[Clip, ...]:
        """What the fold trains on."""
        return (*self.folds.train(self.fold), *self.unlabelled)

    def said(self) -> tuple[str, ...]:
        """What is trained on, as lines for the user."""
        clips, classes = counted(len(self.folds.clips), "clip"), counted(len(self.labels), "class")
        about = f"{clips}, {classes}, {self.folds.said}"
        return (about, f"teacher: {self.teacher.how}") if self.teacher else (about,)

    def notes(self) -> tuple[str, ...]:
        """What a teacher does not know, as sentences for the user."""
        if self.teacher is None:
            return ()
        lost = self.teacher.missing
        told = (
            f"--teacher: no column for {len(lost)} of {len(self.labels)} classes, left out of its loss: {some(lost)}."
        )
        return tuple(
            note for note in (told if lost else None, self.teacher.require(self.folds.train(self.fold))) if note
        )

    @property
    def share(self) -> tuple[int, int]:
        return self.accelerator.process_index, self.accelerator.num_processes

    @property
    def options(self) -> dict:
        return {"drop_path": self.settings.recipe.drop_path} | self.settings.options

    @property
    def reading(self) -> dict:
        """How audio is read, for `Clips`."""
        return {
            "sample_rate": self.member.sample_rate,
            "window_s": self.member.window_s,
            "cache_bytes": CACHE[self.settings.cache],
            "workers": self.settings.threads,
        }

    def idle(self) -> tuple[str, ...]:
        there = bool(self.background)
        return self.settings.recipe.augment.idle(background=there, nocall=there)

    def config(self, recordings: Recordings, asked: dict, smoke: bool) -> dict:
        table = [(c.name, c.labels, c.start_s, c.end_s, int(f)) for c, f in zip(self.folds.clips, self.folds.of_clip)]
        return {
            "member": self.member.name,
            "source": self.member.source,
            "licence": self.member.licence,
            "labels": list(self.labels),
            "activation": self.settings.activation,
            "asked": {
                name: value if value is None or value is True or value is False else str(value)
                for name, value in asked.items()
            },
            "smoke": smoke,
            "settings": self.settings.to_json(),
            "data": {
                "root": str(recordings.root),
                "clips": len(table),
                "without_birds": len(self.background),
                "folds": {"n": self.folds.count, "description": self.folds.said},
                "grouping": recordings.grouping,
                "sha256": hashlib.sha256(json.dumps(table).encode()).hexdigest(),
            },
            **({"teacher": self.teacher.to_json() | {"unlabelled": len(self.unlabelled)}} if self.teacher else {}),
            "warnings": [*recordings.warnings, *self.folds.warnings],
            "versions": checkpoint.versions(),
        }


def _birdless(path: Path) -> tuple[Clip, ...]:
    """Every recording under a folder, as clips without a bird. InputError: there is none."""
    path = Path(path)
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"--background {path}: expected a folder of recordings without birds, got no audio.")
    return tuple(Clip(file, file.relative_to(path).as_posix(), (NO_CALL,)) for file in found)
