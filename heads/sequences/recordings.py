"""Rows of a store as sequences: the windows of one recording in the order of their time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import pandas as pd

from ...features.recordings.names import SoundscapeName, place_of

PADDING = -1


@dataclass(frozen=True, eq=False)
class Recordings:
    """S sequences of at most T windows.

    index: int64 [S, T], row numbers, windows first and then PADDING. site: int64 [S], numbers of `sites` from 1, 0
    unknown. hour: int64 [S], the hour of day (UTC) in which the recording begins, from 1, 0 unknown. sites: names in
    their order.
    """

    index: np.ndarray
    site: np.ndarray
    hour: np.ndarray
    sites: tuple[str, ...]

    @property
    def mask(self) -> np.ndarray:
        """bool [S, T], True for windows."""
        return self.index != PADDING


def find_places(names: Sequence[str], sites: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray, tuple]:
    """(site int64 [n], hour int64 [n], site names) as the file names say, 0 unknown; hours of the day from 1.

    names: files or stems, spelled as those of BirdCLEF+ soundscapes; any other says nothing. sites: the known ones, in
    order; None: all that occur, sorted.
    """
    files = [PurePath(name).name for name in names]
    if sites is None:
        sites = sorted({said.site for said in map(SoundscapeName.parse, files) if said})
    places = np.array([place_of(name, sites) for name in files], dtype=np.int64).reshape(-1, 2)
    return places[:, 0], places[:, 1], tuple(sites)


def make_recordings(
    rows: pd.DataFrame, length: int, sites: Sequence[str] | None = None, apart: np.ndarray | None = None
) -> Recordings:
    """Rows grouped by source and file, in the order of their time, longer recordings cut into pieces of `length`.

    rows: the table of `heads.dataset.Data`. apart: int64 [n], a number per row (its fold); rows of other numbers are
    never in one sequence.
    """
    keys = pd.DataFrame(
        {
            "source": rows["source"].to_numpy(),
            "file": rows["file"].to_numpy(),
            "apart": np.zeros(len(rows), dtype=np.int64) if apart is None else apart,
        }
    )
    recording = keys.groupby(["source", "file", "apart"], sort=False).ngroup().to_numpy()
    order = np.lexsort((rows["start_s"].to_numpy(), recording))  # stable: windows of one start stay as they are
    pieces, names = [], []
    for members in np.split(order, np.flatnonzero(np.diff(recording[order])) + 1):
        for begin in range(0, len(members), length):
            pieces.append(members[begin : begin + length])
            names.append(str(keys["file"].iat[members[0]]))
    index = np.full((len(pieces), length), PADDING, dtype=np.int64)
    for row, piece in zip(index, pieces):
        row[: len(piece)] = piece
    return Recordings(index, *find_places(names, sites))
