"""The same clips under other labels: a manifest for a second question about recordings that were labelled once.

A sweep over the manifest needs no other option, since groups and folds stand in it; with `write`, ESC-10 becomes the
question "is it alive?":

    classes = {"001 - Dog bark": "alive", "002 - Rain": "not alive", ...}
    write(Path("esc10"), classes, Path("alive.csv"), group_regex=r"^\\d-(\\d+)-", fold_regex=r"^(\\d)-")

    birdprobe sweep MODEL.onnx alive.csv -o RUN --classes 2 --per-class 160
"""

import csv
import os
from collections.abc import Mapping
from pathlib import Path

from ..features import InputError
from ..features.recordings import read_recordings
from ..features.recordings.clips import some

COLUMNS = ("path", "label", "group", "fold", "start_s", "end_s")


def write(
    audio: Path | str,
    classes: Mapping[str, str],
    out: Path | str,
    *,
    group_regex: str | None = None,
    groups_column: str | None = None,
    fold_regex: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the CSV manifest `out` of the clips of `audio`, each class renamed by `classes`; returns its path.

    classes: every old label -> its new one, or "" to leave its clips out. Paths are written relative to the manifest,
    so both must stay where they are to one another. Groups and folds are those that a sweep of `audio` would use; a
    clip whose several labels become one keeps it once.
    InputError: an old label without a new one, a name that is no label of `audio`, fewer than two new labels, and an
    existing file unless `overwrite`.
    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise InputError(f"{out}: a file found, a new name wanted. Use overwrite to replace it.")
    recordings = read_recordings(
        Path(audio), group_regex=group_regex, groups_column=groups_column, fold_regex=fold_regex
    )
    known = {label for clip in recordings.clips for label in clip.labels}
    if unmapped := sorted(known - set(classes)):
        raise InputError(f"classes: no new label for {some(unmapped)}, wanted one for every class, or ''.")
    if strangers := sorted(set(classes) - known):
        raise InputError(f"classes: {some(strangers)} found, which {audio} does not have. A different spelling?")
    if len({classes[label] for label in known} - {""}) < 2:
        raise InputError(f"classes: {some(sorted(set(classes.values())))} found, at least two new labels wanted.")
    if bad := sorted(label for label in classes.values() if ";" in label):
        raise InputError(f"classes: the new label {some(bad)} found, a ';' parts labels and may not stand in one.")
    rows = []
    for clip in recordings.clips:
        labels = [classes[label] for label in clip.labels if classes[label]]
        if not classes[clip.label]:
            continue  # what the clip is mainly about was left out
        path = Path(os.path.relpath(clip.path, out.parent)).as_posix()
        span = ("" if at is None else f"{at:g}" for at in (clip.start_s, clip.end_s))
        rows.append((path, ";".join(dict.fromkeys(labels)), clip.group or "", clip.fold or "", *span))
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return out
