"""The files to predict, and the rows that a submission has for each: one every row_s seconds, named by its end."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...analysis.predictions.row_ids import row_id
from ...features import InputError
from ...features.audio import SUFFIXES, info
from ...features.files import check_file
from ...features.recordings.folders import AudioFiles, audio_files
from ...features.spelling import printable
from ...features.windows import grid

MOST_SAMPLES_A_BYTE = 4096  # silence in FLAC has about 300: a header that says more is damaged


@dataclass(frozen=True)
class Soundscape:
    """One recording. duration_s: as its header tells, None where it does not (or where there is no readable one)."""

    stem: str
    path: Path
    duration_s: float | None
    size: int  # bytes
    changed_ns: int = 0  # time of the last change


@dataclass(frozen=True)
class Skipped:
    """A file that cannot be used."""

    file: str
    reason: str


def find(
    soundscapes: Path | str | Sequence[Path | str], say: Callable[[str], None] = lambda line: None
) -> tuple[Soundscape, ...]:
    """Every audio file below a folder (of hidden ones it is told), one file, or the files of a list; sorted by stem.

    Where files of two folders share a stem, as every recorder's first one does, all stems are paths: `MOTH01/0900`.
    InputError: nothing there, none found, or two files that differ by their suffix alone, or are one file listed twice.
    """
    if isinstance(soundscapes, (str, Path)):
        place = Path(soundscapes)
        below = audio_files(place) if place.is_dir() else AudioFiles((place,), ())
        paths = [path for path in below.files if path.is_file() or path == place]
        for folder in below.hidden:
            say(f"warning: {printable(str(folder))}: a hidden folder that holds audio is left out")
    else:
        place, paths = "soundscapes", [Path(path) for path in soundscapes]
    if not paths:
        raise InputError(f"{place}: no audio files found, soundscapes wanted ({', '.join(sorted(SUFFIXES))}).")
    if missing := [path for path in paths if not path.is_file()]:
        check_file(missing[0], "soundscapes")
    stems = _stems(paths)
    if doubled := [stem for stem, n in Counter(stems).items() if n > 1]:
        both = " and ".join(str(path) for path, stem in sorted(zip(paths, stems)) if stem == min(doubled))
        raise InputError(f"{both}: one stem, so their rows would have the same ids. Rename one of them?")
    found = ((stem, path, path.stat()) for stem, path in sorted(zip(stems, paths)))
    return tuple(Soundscape(s, p, duration(p), about.st_size, about.st_mtime_ns) for s, p, about in found)


def _stems(paths: Sequence[Path]) -> list[str]:
    """Names without suffixes; with the folders below the common one where names alone are not different."""
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems):
        root = os.path.commonpath([path.absolute().parent for path in paths])
        stems = [path.absolute().relative_to(root).with_suffix("").as_posix() for path in paths]
    return list(map(printable, stems))


def duration(path: Path) -> float | None:
    """Seconds, from the header alone; None where it promises more than any codec can pack into the file."""
    about = info(path)
    if not about or not about.frames or about.frames > MOST_SAMPLES_A_BYTE * path.stat().st_size:
        return None
    return about.frames / about.sample_rate


def count(n_samples: int, row_samples: int) -> int:
    """Rows of a recording, by features.windows.grid: a short last row counts, a tail under 1 % of one does not."""
    return len(grid(n_samples, row_samples))


def expected(file: Soundscape, row_s: float, sample_rate: float) -> int | None:
    """Rows by the header's duration."""
    if file.duration_s is None:
        return None
    return count(round(file.duration_s * sample_rate), round(row_s * sample_rate))


def ids(stem: str, n_rows: int, row_s: float) -> list[str]:
    """`STEM_5`, `STEM_10`, ...: the end of each row in seconds."""
    return [row_id(stem, row_s * row) for row in range(1, n_rows + 1)]


def most_common(counts: Iterable[int]) -> int | None:
    """The largest of the most frequent; None of none."""
    found = Counter(counts)
    return max(found, key=lambda n: (found[n], n)) if found else None
