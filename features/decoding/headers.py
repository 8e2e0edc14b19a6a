"""The headers of WAV and AU files, read before libsndfile does: is what they say plausible, and is it all there?

WAV: Microsoft and IBM, Multimedia Programming Interface and Data Specifications 1.0 (1991); RF64: EBU Tech 3306.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .. import InputError
from .pieces import Piece

RATES = (1_000, 1_000_000)  # Hz
MOST_CHANNELS = 64
TAIL_S = 0.1  # bytes behind the samples that last no longer are junk, not lost audio
MOST_CHUNKS = 1_000
# Chunks that follow the samples in healthy files; a last one that is cut off is still no audio.
METADATA = (
    *(b"LIST", b"list", b"id3 ", b"ID3 ", b"cue ", b"fact", b"bext", b"iXML", b"PEAK", b"smpl", b"JUNK", b"junk"),
    *(b"FLLR", b"wamd", b"guan", b"afsp", b"PAD ", b"_PMX", b"minf", b"elm1", b"regn", b"umid", b"DISP", b"plst"),
    *(b"inst", b"cart", b"axml", b"aXML", b"acid", b"labl", b"note", b"adtl", b"levl", b"ltxt", b"strc", b"chna"),
)
MORE = "more behind the first stream"


def check_plausible(path: Path, rate: float, channels: int) -> None:
    """Refuse what no recorder writes, before anything is allocated for it.

    InputError: a rate outside 1 kHz to 1 MHz, no channel or more than 64.
    """
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(
            f"{path}: its header says {rate:,} Hz, expected {RATES[0]:,} to {RATES[1]:,} Hz. Is the header damaged?"
        )
    if not 1 <= channels <= MOST_CHANNELS:
        raise InputError(
            f"{path}: its header says {channels:,} channels, expected 1 to {MOST_CHANNELS}. Is the header damaged?"
        )


def check_au(path: Path, head: bytes) -> None:
    """Refuse an AU file whose header is implausible; other heads pass."""
    if head[:4] in (b".snd", b"dns.") and len(head) >= 24:
        order = ">" if head[:4] == b".snd" else "<"
        check_plausible(path, *struct.unpack(f"{order}2I", head[16:24]))


@dataclass(frozen=True)
class _Wav:
    """fmt: the chunk's content. data, size: where the samples begin, and how many bytes the header gives them."""

    fmt: bytes
    data: int
    size: int

    @property
    def bytes_per_s(self) -> int:
        _, channels, rate, _, block = struct.unpack("<HHIIH", self.fmt[:14])
        bits = struct.unpack("<H", self.fmt[14:16])[0]
        return rate * max(1, block or channels * bits // 8)


def wav_source(path: Path, offset: int) -> tuple[Piece | None, str | None]:
    """A WAV whose header leaves out part of the samples, with a header that does not, and a warning; else (None, None).

    A size field of 32 bits wraps above 4 GiB, and stays 0 when a recorder loses power. offset: where the WAV begins in
    the file, in bytes. InputError: an implausible rate or channel count; another WAV behind the samples.
    """
    total = path.stat().st_size
    with path.open("rb") as file:
        wav = _find_samples(path, file, offset, total)
        if wav is None or not (end := _unclaimed(path, file, wav, total)):
            return None, None
    size = total - wav.data
    size -= size % (struct.unpack("<H", wav.fmt[12:14])[0] or 1)
    fmt = b"fmt " + struct.pack("<I", len(wav.fmt)) + wav.fmt + b"\0" * (len(wav.fmt) % 2)
    if size < 0xFFFFFF00:
        body = b"WAVE" + fmt + b"data" + struct.pack("<I", size)
        head = b"RIFF" + struct.pack("<I", len(body) + size) + body
    else:
        ds64 = b"ds64" + struct.pack("<I3QI", 28, len(fmt) + size + 48, size, 0, 0)
        head = b"RF64\xff\xff\xff\xffWAVE" + ds64 + fmt + b"data\xff\xff\xff\xff"
    cause = "A recorder that lost power?" if wav.size == 0 else "A size field that wrapped above 4 GiB?"
    warning = (
        f"{path}: its header gives {wav.size:,} bytes of samples, {total - end + wav.size:,} are there and are read. "
        f"{cause}"
    )
    return Piece(path, wav.data, wav.data + size, head), warning


def _find_samples(path: Path, file: BinaryIO, offset: int, total: int) -> _Wav | None:
    """The format and the samples of a WAV; None where libsndfile has to say what is wrong with it."""
    at, fmt = offset + 12, b""
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        header = file.read(8)
        if len(header) < 8:
            return None
        name, size = header[:4], struct.unpack("<I", header[4:])[0]
        if name == b"fmt ":
            fmt = file.read(min(size, 64))
            if len(fmt) < 16:
                return None
            channels, rate = struct.unpack("<HI", fmt[2:8])
            check_plausible(path, rate, channels)
        elif name == b"data":
            return _Wav(fmt, at + 8, size) if fmt else None
        at += 8 + size + size % 2
        if at >= total:
            return None
    return None


def _unclaimed(path: Path, file: BinaryIO, wav: _Wav, total: int) -> int:
    """Where samples begin that the header leaves out, in bytes; 0 where there are none."""
    end = wav.data + wav.size
    if total <= end or (wav.size and total - end <= TAIL_S * wav.bytes_per_s):
        return 0
    file.seek(end)
    tail = file.read(4096)
    for pad in (0, 1):  # a data chunk of an odd size has a byte behind it, or ought to have
        if tail[pad : pad + 4] in (b"RIFF", b"RF64", b"RIFX") and tail[pad + 8 : pad + 12] == b"WAVE":
            raise InputError(f"{path}: {MORE}, another WAV. Were two files joined?")
        if tail[pad : pad + 4] in METADATA or _chunks_to_the_end(file, end + pad, total):
            return 0
    if wav.size and not any(tail):  # padding
        return 0
    return end


def _chunks_to_the_end(file: BinaryIO, at: int, total: int) -> bool:
    """Whether nothing but whole chunks follows."""
    for _ in range(MOST_CHUNKS):
        if at >= total:
            return at <= total + 1
        file.seek(at)
        header = file.read(8)
        if len(header) < 8 or not all(32 <= byte < 127 for byte in header[:4]):
            return False
        size = struct.unpack("<I", header[4:])[0]
        at += 8 + size + size % 2
    return False
