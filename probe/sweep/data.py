"""What a sweep is scored on: which clips, in which folds and groups, with which targets."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ...analysis.knn import check_k
from ...features import InputError
from ...features.recordings import Recordings, assign_folds, choose, drop_rare, read_recordings
from ...features.recordings.sources import SOUNDSCAPE_LABELS
from ...features.spelling import agree, counted, some
from .settings import Settings


@dataclass(frozen=True, eq=False)
class FoldedClips:
    """The clips that could be read, and the folds they are in.

    table: indexed by clip number, columns label, group, fold. labels: clip number -> all its labels. description: how
    the folds were made, in words.
    """

    table: pd.DataFrame
    labels: dict[int, tuple[str, ...]]
    description: str
    warnings: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that are scored: every primary label."""
        return tuple(sorted(set(self.table["label"])))


@dataclass(frozen=True, eq=False)
class Data:
    """What a sweep is asked to rank on, read and checked before the model is opened.

    recordings: the clips of AUDIO; folded: them in folds; held_out: the clips of TEST, or None. score: the metric.
    """

    recordings: Recordings
    folded: FoldedClips
    held_out: Recordings | None
    score: str


def read_data(audio: Path | str, test: Path | str | None, settings: Settings) -> Data:
    """The recordings; too few clips or groups, or a test without a known class, is said before the model is opened."""
    recordings = training_clips(audio, settings)
    folded = fold_clips(recordings, settings)
    counts = folded.table["fold"].value_counts()
    if settings.unit == "clip":
        check_k(settings.k, int(counts.sum() - counts.max()))
    held_out = None if test is None else held_out_clips(test, settings, folded.classes)
    return Data(recordings, folded, held_out, metric_of(settings.score, recordings, held_out))


def metric_of(score: str, recordings: Recordings, held_out: Recordings | None) -> str:
    """What read-outs are ranked by: top-1 where every clip has one label and nothing else is tested, else macro AUC."""
    if score != "auto":
        return score
    several = any(len(clip.labels) > 1 for part in (recordings, held_out) if part for clip in part.clips)
    return "auc" if several or held_out is not None else "top1"


def training_clips(audio: Path | str, settings: Settings) -> Recordings:
    """The clips of AUDIO that a sweep ranks on; classes too rare for the folds, and no clip's first, are told."""
    recordings = settings.read(audio)
    if never := sorted({label for clip in recordings.clips for label in clip.labels} - set(recordings.labels)):
        them = f"{counted(len(never), 'class')} {agree(len(never), 'is', 'are')} never the first label of a clip"
        told = f"{audio}: {them}, and not ranked: {some(never)}."
        recordings = replace(recordings, warnings=(*recordings.warnings, told))
    least = settings.min_per_class or (2 if recordings.folding != "none" else settings.folds)
    return choose(drop_rare(recordings, least, audio), settings.classes, settings.per_class, settings.seed)


def held_out_clips(audio: Path | str, settings: Settings, classes: Collection[str]) -> Recordings:
    """The clips that a sweep is tested on, grouped by file or by site; of a BirdCLEF folder its labelled soundscapes.

    InputError: none of them carries a class of the training clips, or no sites are known.
    """
    soundscapes = Path(audio) / SOUNDSCAPE_LABELS
    recordings = read_recordings(soundscapes if soundscapes.is_file() else audio, column=settings.test_column)
    if settings.test_groups == "file":
        clips = tuple(replace(clip, group=str(clip.path)) for clip in recordings.clips)
        recordings = replace(recordings, clips=clips, grouping="file")
    elif recordings.grouping in ("none", "file"):
        raise InputError(f"{audio}: `--test-groups site` needs sites, found none. Use `--test-groups file`?")
    if not any(set(clip.labels) & set(classes) for clip in recordings.clips):
        raise InputError(
            f"{audio}: no clip carries one of the {len(classes)} classes that AUDIO teaches. "
            "Are the labels spelled alike?"
        )
    return recordings


def fold_clips(recordings: Recordings, settings: Settings, skipped: Collection[int] = ()) -> FoldedClips:
    """Folds of the clips that could be read; `skipped` are the numbers of the others."""
    clips = group_clips(recordings, skipped)
    given = [recordings.clips[i].fold for i in clips.table.index]
    folds, said, warnings = assign_folds(
        clips.table["label"].tolist(),
        None if recordings.grouping == "none" else clips.table["group"].tolist(),
        None if None in given else given,
        settings.folds,
        settings.seed,
        grouping=recordings.grouping,
        folding=recordings.folding,
    )
    return FoldedClips(clips.table.assign(fold=folds), clips.labels, said, warnings)


def group_clips(recordings: Recordings, skipped: Collection[int] = ()) -> FoldedClips:
    """Clips that are only tested on: groups, one fold. A clip without a known group is a group of its own."""
    kept = {i: clip for i, clip in enumerate(recordings.clips) if i not in skipped}
    about = [(clip.label, clip.name if clip.group is None else clip.group, 0) for clip in kept.values()]
    table = pd.DataFrame(about, columns=["label", "group", "fold"], index=pd.Index(kept, name="clip"))
    return FoldedClips(table, {i: clip.labels for i, clip in kept.items()}, recordings.grouping, ())
