"""A perch-hoplite database (google-research/perch-hoplite 1.0): SQLite for the table, USearch for the vectors.

Written and read by perch-hoplite itself. It keeps vectors as float16. A group becomes a deployment, a label a positive
annotation of its window.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ... import InputError

PROJECT, PROVENANCE = "birdprobe", "birdprobe"


def write_hoplite(folder: Path, table: pd.DataFrame, vectors: np.ndarray) -> Path:
    """The database in a new folder. InputError: perch-hoplite is missing, or the folder holds something."""
    SQLiteUSearchDB, default_config, datatypes = _hoplite()
    if folder.exists() and (folder.is_file() or any(folder.iterdir())):
        raise InputError(f"{folder}: a new folder is needed for a perch-hoplite database, this one is not empty.")
    flat = vectors.reshape(len(vectors), -1).astype(np.float32)
    db = SQLiteUSearchDB.create(str(folder), default_config(flat.shape[1]))
    deployments: dict[str, int] = {}
    recordings: dict[str, int] = {}
    windows = []
    row: Any  # a named tuple of the table's columns
    for row in table.itertuples():
        if row.group and row.group not in deployments:
            deployments[row.group] = db.insert_deployment(row.group, PROJECT)
        if row.file not in recordings:
            recordings[row.file] = db.insert_recording(row.file, deployment_id=deployments.get(row.group))
        place = {"recording_id": recordings[row.file], "offsets": [row.start_s, row.end_s]}
        windows.append(place)
        for label in filter(None, (row.labels or "").split(";")):
            db.insert_annotation(
                **place,
                label=label,
                label_type=datatypes.LabelType.POSITIVE,
                provenance=PROVENANCE,
                handle_duplicates="allow",
            )
    db.insert_windows_batch(windows, flat, handle_duplicates="allow")
    db.commit()
    db.db.close()
    return folder


def read_hoplite(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """(file, start_s, end_s, labels, group of every window; float32 [n, d]).

    Labels are the positive annotations that share more than half of themselves, or of the window, with it. InputError:
    perch-hoplite is missing, or the folder is no database.
    """
    SQLiteUSearchDB, _, datatypes = _hoplite()
    try:
        db = SQLiteUSearchDB.create(str(folder), readonly=True)
    except Exception as error:  # SQLite, USearch and its own
        raise InputError(f"{folder}: no readable perch-hoplite database ({error}).") from None
    deployments = {one.id: one.name for one in db.get_all_deployments()}
    recordings = {one.id: one for one in db.get_all_recordings()}
    said: dict[int, list[tuple[float, float, str]]] = {}
    for note in db.get_all_annotations():
        if note.label_type == datatypes.LabelType.POSITIVE:
            said.setdefault(note.recording_id, []).append((*map(float, note.offsets[:2]), note.label))
    windows = db.get_all_windows()
    rows = []
    for window in windows:
        start, end = map(float, window.offsets[:2])
        labels = [
            label
            for a, b, label in said.get(window.recording_id, ())
            if min(b, end) - max(a, start) > 0.5 * min(b - a, end - start)
        ]
        recording = recordings[window.recording_id]
        group = deployments.get(recording.deployment_id, "")
        rows.append((recording.filename, start, end, ";".join(dict.fromkeys(labels)), group))
    vectors = np.asarray(db.get_embeddings_batch([window.id for window in windows]), np.float32)
    db.db.close()
    return pd.DataFrame(rows, columns=["file", "start_s", "end_s", "labels", "group"]), vectors


def _hoplite():
    try:
        from perch_hoplite.db import datatypes
        from perch_hoplite.db.sqlite_usearch_impl import SQLiteUSearchDB, get_default_usearch_config
    except ImportError as error:
        raise InputError(f"a perch-hoplite database needs perch-hoplite: pip install perch-hoplite ({error})") from None
    return SQLiteUSearchDB, get_default_usearch_config, datatypes
