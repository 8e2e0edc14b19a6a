"""Rows of one recording, in which order, where and when it was recorded; columns of one family."""

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta

import numpy as np

from ...features.recordings import SoundscapeName
from ..predictions.row_ids import files


def ends(row_ids: Iterable[str]) -> np.ndarray:
    """End second of each window, float64 [n]; 0 for a row id without one, which is a recording of its own."""
    names = list(map(str, row_ids))
    tails = (name[len(recording) + 1 :] for name, recording in zip(names, files(names).tolist()))
    return np.array([float(tail or 0) for tail in tails], dtype=np.float64)


def by_file(row_ids: Iterable[str]) -> list[np.ndarray]:
    """Positions of each recording's rows, by end second, then by id: the table's order never counts."""
    names = list(map(str, row_ids))
    if not names:
        return []
    recordings = np.unique(files(names), return_inverse=True)[1]
    order = np.lexsort((np.array(names, dtype=str), ends(names), recordings))
    return np.split(order, np.cumsum(np.bincount(recordings))[:-1])


def families(columns: Iterable[str], names: Mapping[str, str]) -> list[list[int]]:
    """Positions of the columns that share a name, where they are two or more."""
    found: dict[str, list[int]] = {}
    for i, column in enumerate(columns):
        if column in names:
            found.setdefault(names[column], []).append(i)
    return [at for at in found.values() if len(at) > 1]


def places(row_ids: Collection[str]) -> tuple[np.ndarray, np.ndarray]:
    """(site of each row, object [n], None where the name is not that of a BirdCLEF+ soundscape; hour int64 [n] or -1).

    The hour of the day, UTC, is that in which the window ends: the recording's start plus the end second.
    """
    recordings = files(row_ids)
    names = {recording: SoundscapeName.parse(recording) for recording in set(recordings.tolist())}
    sites, hours = np.full(len(recordings), None, dtype=object), np.full(len(recordings), -1, dtype=np.int64)
    for i, (recording, end) in enumerate(zip(recordings.tolist(), ends(row_ids))):
        if (name := names[recording]) is not None:
            sites[i] = name.site
            hours[i] = (name.begun + timedelta(seconds=float(end))).hour
    return sites, hours
