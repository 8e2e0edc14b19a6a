"""Which streams a file holds: one, or several joined one behind the other, behind a tag or not."""

import io
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import soundfile

from .headers import check_au, wav_source
from .mpeg import Stream, is_frame, mpeg_streams
from .pieces import Piece, find_all

HEAD_BYTES = 4096
TOLERANCE_S = 0.01  # some writers are off by a header's size: sloppy, but nothing is lost
STREAMED_BYTES = 0x7FFFF000  # wav written to a pipe: the size is a placeholder from here up
OGG_BEGINS = b"OggS\x00\x02"  # a page that begins a stream (RFC 3533, section 6)
FLAC_BEGINS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")  # the marker and a STREAMINFO block (RFC 9639, 8.2)


@dataclass(frozen=True)
class Source:
    """Streams of a file in their order, and what the user ought to know about them."""

    streams: tuple[Stream, ...]
    warnings: tuple[str, ...] = ()

    def close(self) -> None:
        for stream, _ in self.streams:
            if isinstance(stream, io.IOBase):
                stream.close()


def open_source(path: Path, head: bytes, whole: bool) -> Source:
    """Look at a file's first HEAD_BYTES bytes and say what libsndfile has to open. whole: it is wanted up to its end.

    InputError: an implausible header, a truncated mp3, streams that do not belong together.
    """
    offset = _tag_bytes(path, head)
    if offset:
        with path.open("rb") as file:
            file.seek(offset)
            head = file.read(HEAD_BYTES)
    kind = head[:4]
    if kind == b"RIFF" and head[8:12] == b"WAVE":
        repaired, warning = wav_source(path, offset)
        if repaired is not None and warning is not None:
            return Source(((repaired, 0),), (warning,))
    elif kind in (b"OggS", b"fLaC"):
        status = path.stat()
        begins = _begins(path, offset, kind == b"OggS", status.st_size, status.st_mtime_ns)
        if len(begins) > 1:
            ends = (*begins[1:], status.st_size)
            return Source(tuple((Piece(path, start, stop), 0) for start, stop in zip(begins, ends)))
    elif kind in (b".snd", b"dns."):
        check_au(path, head)
    elif kind not in (b"RIFF", b"RF64", b"FORM") and head[4:8] != b"ftyp":
        named = path.suffix.lower() == ".mp3"
        if named or offset or is_frame(head):
            return Source(tuple(mpeg_streams(path, offset, named, whole)))
    return Source(((Piece(path, offset) if offset else path, 0),))


def _tag_bytes(path: Path, head: bytes) -> int:
    """Bytes of the ID3v2 tags that a file begins with (ID3v2.4.0, 3.1)."""
    offset, total = 0, None
    while head[:3] == b"ID3" and len(head) >= 10:
        total = path.stat().st_size if total is None else total
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))
        offset += 10 + size + (10 if head[5] & 0x10 else 0)
        if offset >= total:
            return offset
        with path.open("rb") as file:
            file.seek(offset)
            head = file.read(10)
    return offset


@lru_cache(maxsize=4096)
def _begins(path: Path, offset: int, ogg: bool, size: int, changed_ns: int) -> tuple[int, ...]:
    """Where streams begin that are joined one behind the other; remembered, for many pieces of one long file."""
    if not ogg:
        return tuple(sorted({offset, *(at for mark in FLAC_BEGINS for at in find_all(path, mark, offset))}))
    begins, page_ends = [offset], -1
    for at in find_all(path, OGG_BEGINS, offset):
        if at not in (offset, page_ends):  # streams side by side begin with pages right behind each other
            begins.append(at)
        page_ends = _page_end(path, at)
    return tuple(begins)


def _page_end(path: Path, at: int) -> int:
    with path.open("rb") as file:
        file.seek(at)
        header = file.read(27)
        return at + 27 + len(lacing := file.read(header[26] if len(header) == 27 else 0)) + sum(lacing)


def cut_short(path: Path, file: soundfile.SoundFile) -> str | None:
    """Why this file ends too early, judged from its container; None when nothing speaks for it."""
    if file.format == "OGG":
        return _ogg_cut_short(path)
    # libsndfile shortens a too long data chunk silently and says so only in its log. (An outer RIFF or FORM size is
    # wrong in many healthy files and is not asked.)
    for kind, told, real in re.findall(
        r"^\s*(data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", file.extra_info, flags=re.MULTILINE
    ):
        told, real = int(told), int(real)
        lost_s = (told - real) / max(real, 1) * max(file.frames, 1) / file.samplerate
        if lost_s > TOLERANCE_S and told < STREAMED_BYTES:
            return f"its {kind.strip()} chunk promises {told:,} bytes and {real:,} are there"
    return None


def _ogg_cut_short(path: Path) -> str | None:
    """Why an Ogg file ends too early: its last page carries the end-of-stream flag (RFC 3533, section 6)."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 70_000))  # a page has at most 65,307 bytes; a tag may follow
        tail = file.read()
    page = tail.rfind(b"OggS\x00")
    if page < 0 or len(tail) < page + 27:
        return "its last Ogg page is incomplete"
    lacing = tail[page + 27 : page + 27 + tail[page + 26]]
    if len(tail) < page + 27 + tail[page + 26] + sum(lacing):
        return "its last Ogg page is incomplete"
    return None if tail[page + 5] & 4 else "its last Ogg page is not marked as the end"
