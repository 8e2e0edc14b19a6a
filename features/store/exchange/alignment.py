"""Which windows of one table are the audio of another's rows, whatever the lengths of both and the folders of files."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ... import InputError
from ...audio import SUFFIXES
from ..store import FeatureStore

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LEAST_S = 1e-3  # shared by less, two pieces only touch


@dataclass(frozen=True, eq=False)
class Alignment:
    """shared_s: sparse [n, m], the seconds that each of n pieces shares with each of m windows."""

    shared_s: "csr_matrix"

    @property
    def found(self) -> np.ndarray:
        """bool [n]: pieces that share time with a window."""
        return np.diff(self.shared_s.indptr) > 0

    @property
    def turned(self) -> "Alignment":
        """The windows as pieces, the pieces as windows."""
        return Alignment(self.shared_s.T.tocsr())

    @property
    def unused(self) -> int:
        """How many windows share time with no piece."""
        return self.shared_s.shape[1] - len(np.unique(self.shared_s.indices))

    def means(self, x: np.ndarray) -> np.ndarray:
        """[m, *dims] of the windows -> float32 [n, d] of the pieces: the mean, weighted by shared seconds, else 0."""
        sums = self.shared_s @ x.reshape(len(x), -1).astype(np.float64)
        total = np.asarray(self.shared_s.sum(axis=1))
        return np.divide(sums, total, out=np.zeros_like(sums), where=total > 0).astype(np.float32)

    def windows(self, piece: int) -> np.ndarray:
        """int64, the windows that a piece shares time with, the one that it shares most with first."""
        ends = slice(*self.shared_s.indptr[piece : piece + 2])
        return self.shared_s.indices[ends][np.argsort(-self.shared_s.data[ends], kind="stable")]


def align(pieces: pd.DataFrame, windows: pd.DataFrame) -> Alignment:
    """Pieces and windows of the same recordings, by their times; files are matched as `match_files` does.

    pieces, windows: file, start_s, end_s; an end may be infinite. InputError: files that cannot be told apart.
    """
    from scipy.sparse import csr_matrix  # opening a store needs none of it

    matched = match_files(list(dict.fromkeys(windows["file"])), list(dict.fromkeys(pieces["file"])))
    of_file = windows.groupby(windows["file"].map(matched), sort=False).indices
    starts, ends = (windows[name].to_numpy(float) for name in ("start_s", "end_s"))
    rows, columns, shared = [], [], []
    for row, piece in enumerate(zip(pieces["file"], pieces["start_s"], pieces["end_s"])):
        there = of_file.get(piece[0], np.empty(0, np.int64))
        both = np.minimum(ends[there], piece[2]) - np.maximum(starts[there], piece[1])
        kept = both > LEAST_S
        columns.append(there[kept])
        shared.append(np.where(np.isfinite(both[kept]), both[kept], 1.0))
        rows.append(np.full(int(kept.sum()), row))
    places = (np.concatenate([*rows, np.empty(0, int)]), np.concatenate([*columns, np.empty(0, int)]))
    data = np.concatenate([*shared, np.empty(0)])
    return Alignment(csr_matrix((data, places), shape=(len(pieces), len(windows))))


def align_store(store: FeatureStore, pieces: pd.DataFrame, what: str) -> Alignment:
    """Pieces of recordings (file, start_s, end_s) and the windows of a store. what: a piece, in words.

    InputError: no piece shares time with a window; files that cannot be told apart.
    """
    rows = store.rows()
    if store.meta.get("untimed"):
        rows["end_s"] = np.inf
    try:
        aligned = align(pieces, rows)
    except InputError as error:
        raise InputError(f"{store.path}: {error}") from None
    if not aligned.found.any():
        raise InputError(
            f"{store.path}: none of its {len(rows)} windows lies in {what}, by file name and time "
            f"({_example(rows)} here, {_example(pieces)} there). Other recordings, or times of another unit?"
        )
    return aligned


def _example(table: pd.DataFrame) -> str:
    file, start_s, end_s = table[["file", "start_s", "end_s"]].iloc[0]
    return f"{file!r} {start_s:g}-{end_s:g} s"


def match_files(names: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Which of the known files each name is: by the end of the path; endings of audio files count between equals only.

    names: of another program's files, with forward slashes. Names of no known file are left out. InputError: a name
    that may be several files, or several names that may be one file.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for file in known:
        alike[_parts(file)[-1]].append(file)
    best = {name: _nearest(name, alike[_parts(name)[-1]]) for name in names if _parts(name)[-1] in alike}
    rivals: dict[str, list[str]] = defaultdict(list)
    for name, file in best.items():
        rivals[file].append(name)
    return {_nearest(file, several): file for file, several in rivals.items()}


def _nearest(name: str, files: Sequence[str]) -> str:
    """The one of some files, all of one name, whose path is most like that of `name`."""
    likeness = [(_common_end(name, file), PurePosixPath(name).name == PurePosixPath(file).name) for file in files]
    best = [file for file, alike in zip(files, likeness) if alike == max(likeness)]
    if len(best) > 1:
        raise InputError(f"{name!r} may be {best[0]!r} or {best[1]!r}: names with more of their folders are wanted.")
    return best[0]


def _parts(name: str) -> tuple[str, ...]:
    path = PurePosixPath(name)
    return (path.with_suffix("") if path.suffix.lower() in SUFFIXES else path).parts or ("",)


def _common_end(one: str, other: str) -> int:
    """How many parts of two paths agree, from the end."""
    pairs = zip(reversed(_parts(one)), reversed(_parts(other)))
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(_parts(one)), len(_parts(other))))
