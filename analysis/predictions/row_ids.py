"""Row ids of predictions: a recording's name (its stem), `_`, and the second in which the row's window ends."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np

from ...features import InputError

_WINDOW = re.compile(r"(.+)_\d+(?:\.\d+)?")


def files(row_ids: Iterable[str]) -> np.ndarray:
    """The recording of each row, str [n]: the row id less its `_` and end second; the whole id where it has none."""
    matches = ((name, _WINDOW.fullmatch(name)) for name in map(str, row_ids))
    return np.array([match[1] if match else name for name, match in matches], dtype=str)


def row_id(stem: str, end_s: float) -> str:
    """`stem_5`, `stem_2.5`: to the microsecond, without trailing zeros. InputError: an end that is not above 0."""
    return f"{stem}_{_seconds(_microseconds(stem, end_s))}"


def window_ids(files: Iterable[str], ends_s: Iterable[float]) -> list[str]:
    """The row id of each window: its file's stem, or where two files share one, their paths, and its end in seconds."""
    paths = [PurePosixPath(file) for file in files]
    unique = len({path.stem for path in paths}) == len(set(paths))
    return [row_id(p.stem if unique else str(p.with_suffix("")), end) for p, end in zip(paths, ends_s)]


def _microseconds(place: str, seconds: float) -> int:
    """Whole microseconds: steps of a tenth of a second add up to no 0.30000000000000004."""
    if not (np.isfinite(seconds) and round(seconds * 1e6) > 0):
        raise InputError(f"{place}: expected more than 0, got {seconds:g} s.")
    return round(seconds * 1e6)


def _seconds(microseconds: int) -> str:
    """5, 60, 2.5: no exponent and no zeros behind the point."""
    whole, rest = divmod(microseconds, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".") if rest else str(whole)
