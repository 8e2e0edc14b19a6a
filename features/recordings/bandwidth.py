"""Recordings sampled so slowly that most of what a model reads is empty."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from .. import InputError
from ..decoding.headers import check_plausible
from ..decoding.pieces import openable
from ..playback import AS_RECORDED, Playback
from ..spelling import agree, counted

LOOKED_AT = 1000  # headers, spread over all recordings
FAR_BELOW = 0.5  # of the rate that the model is fed with
OGG_HEADERS = (b"\x01vorbis", b"OpusHead")
BEHIND = 12  # bytes from there to the rate, in both; of Opus it is the rate before coding (RFC 7845, section 5.1)


def narrow_band(paths: Sequence[Path], sample_rate: int, playback: Playback = AS_RECORDED) -> str | None:
    """A line that counts the recordings whose own rate is at most half of what the model is fed with; else None.

    Of many a spread of LOOKED_AT is looked at. playback: slower recordings need a higher rate of their own.
    """
    files = sorted(set(paths))
    looked = ""
    if len(files) > LOOKED_AT:
        looked = " looked at"
        files = [files[i] for i in np.linspace(0, len(files) - 1, LOOKED_AT).astype(int)]
    wanted = playback.rate(sample_rate)
    rates = [rate for file in files if (rate := header_rate(file))]  # the others cannot be read, and are skipped
    low = [rate for rate in rates if rate <= FAR_BELOW * wanted]
    if not low:
        return None
    hold = f"{counted(len(rates), 'recording')}{looked} {agree(len(low), 'holds', 'hold')}"
    return (
        f"{len(low):,} of {hold} nothing above {max(low) / 2000:g} kHz; the model reads up "
        f"to {wanted / 2000:g} kHz: it hears silence there. A model made for their rate may suit them better, and "
        "where classes differ in rate, the rate alone tells them apart."
    )


def header_rate(path: Path) -> int:
    """Samples a second by the first bytes of a file; 0 where they do not tell, are implausible, or there is no file."""
    try:
        if not path.is_file():
            return 0
        with path.open("rb") as file:
            head = file.read(64)
        rate = _ogg_rate(head) or soundfile.info(openable(path)).samplerate
        check_plausible(path, rate, 1)
    except (OSError, RuntimeError, InputError):
        return 0
    return rate


def _ogg_rate(head: bytes) -> int:
    """libsndfile would read through all pages to count the frames."""
    places = [head.find(name) for name in OGG_HEADERS if head[:4] == b"OggS" and name in head]
    return int.from_bytes(head[places[0] + BEHIND :][:4], "little") if places else 0
