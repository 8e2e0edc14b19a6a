"""The recordings behind the points of the plane: where each lies beside the page, and excerpts inside the page.

A page plays a recording from its place on the disk. Where the points are few it also holds an excerpt of each, which is
played when the page was sent to somebody or the recordings were moved.
"""

import base64
import io
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import soundfile

from ....analysis.runs import Run
from ....features import InputError
from ....features.audio import read
from ....features.playback import AS_RECORDED, Playback
from ....features.spelling import is_there, on_disk
from ...runtime.cores import cores

RATE = 24_000  # Hz of an excerpt: keeps what is below 12 kHz
MOST_S, LEAST_S = 10.0, 2.0  # of an excerpt
TOTAL_S = 500.0  # of all excerpts together: at most 4 MB of the page


@dataclass(frozen=True)
class Sounds:
    """One link and one excerpt a point, either "" where there is none, and a sentence on where they come from.

    speed: how fast the model heard the recordings; links are played as fast.
    """

    links: tuple[str, ...]
    excerpts: tuple[str, ...]
    said: str
    speed: float = 1.0


def sounds(data: Run, rows: pd.DataFrame) -> Sounds:
    """The sounds of some rows of `predictions.csv`: file, and start_s and end_s as text, "" where unknown.

    Links relative to the run folder (`file:` where it is on another drive) with the seconds to be played, and MP3
    excerpts as base64. The audio is looked for where the command named it.
    """
    audio = Path(data.config["audio"]["path"])
    root = audio if audio.is_dir() else audio.parent
    playback = _playback(data.config["settings"])
    spans = [_span(start, end) for start, end in zip(rows["start_s"], rows["end_s"])]
    files = {name: _found(root, name) for name in dict.fromkeys(rows["file"])}
    length = min(MOST_S, TOTAL_S / max(len(rows), 1))
    inlined = "MP3" in soundfile.available_formats() and length >= LEAST_S  # libsndfile 1.1 and newer
    places = [(files[name], *span) for name, span in zip(rows["file"], spans)]
    links = ["" if path is None else _link(path, data.folder, start, end) for path, start, end in places]

    def excerpt(place: tuple[Path | None, float, float | None]) -> str:
        path, start, end = place
        mp3 = _excerpt(path, start, end, length, playback) if inlined and path is not None else b""
        return base64.b64encode(mp3).decode()

    with ThreadPoolExecutor(cores()) as pool:  # decoding and encoding let other threads run
        found = tuple(pool.map(excerpt, places))
    return Sounds(tuple(links), found, _said(files, audio, found, length), playback.speed)


def _playback(settings: dict) -> Playback:
    try:
        return Playback.parse(float(settings.get("speed") or 1), settings.get("bandpass"))
    except (InputError, TypeError, ValueError):  # a run of another edition, or edited
        return AS_RECORDED


def _span(start: str, end: str) -> tuple[float, float | None]:
    try:
        first, last = float(start or 0), float(end) if end else None
    except ValueError:
        return 0.0, None
    return (first, last) if first >= 0 and (last is None or first < last) else (0.0, None)


def _found(root: Path, name: str) -> Path | None:
    path = on_disk(root, name)
    return path if is_there(path) and path.is_file() else None


def _link(path: Path, folder: Path, start: float, end: float | None) -> str:
    """With the seconds of the file that are meant, as a media fragment."""
    try:
        place = quote(os.fsencode(os.path.relpath(path, folder).replace(os.sep, "/")), safe="/")
    except ValueError:  # another drive of Windows
        place = path.resolve().as_uri()
    if start == 0 and end is None:
        return place
    return f"{place}#t={start:g}" + ("" if end is None else f",{end:g}")


def _excerpt(path: Path, start: float, end: float | None, length: float, playback: Playback) -> bytes:
    """As MP3, the one compressed format that every browser plays."""
    last = min(start + length * playback.speed, end or math.inf)  # seconds of the file
    try:
        samples = read(path, RATE, start_s=start, end_s=last, playback=playback, partial=True)
        file = io.BytesIO()
        soundfile.write(file, np.clip(samples, -1, 1), RATE, format="MP3")
        return file.getvalue()
    except Exception:  # damaged since, say: its point has no excerpt
        return b""


def _said(files: dict[str, Path | None], audio: Path, found: Sequence[str], length: float) -> str:
    gone = sum(path is None for path in files.values())
    if gone == len(files):
        return (
            f"The recordings were not at {audio} when this page was made, so points can be named but not played; run "
            "the sweep again where they are."
        )
    words = "Recordings are played from where they lie"
    if any(found):
        size = f"{sum(map(len, found)) / 1e6:.1f} MB"
        words = f"The first {length:.2g} s of each are in this page ({size}); whole ones are played from where they lie"
    elif len(found) * LEAST_S > TOTAL_S:
        words += f"; {len(found):,} are too many to be kept in this page (at most {TOTAL_S // LEAST_S:.0f})"
    return f"{words}; {gone:,} of {len(files):,} were not found." if gone else f"{words}."
