"""MPEG audio, layer III: its frames, counted before libmpg123 sees them.

libmpg123 prints its complaints on stderr, takes the length of a file without a Xing header from the first frame's bit
rate, so that it drops the rest of a variable-rate file silently, and stops where a Xing header says so.
"""

import io
import re
import struct
from pathlib import Path

from .. import InputError
from .headers import MORE, check_plausible

# What libsndfile opens, and by how many samples it may fall short.
Stream = tuple[Path | io.RawIOBase | io.BytesIO, int]
FEW_FRAMES = 3  # what follows the end of a stream is a tag unless so many frames follow each other
_KBIT_S = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def is_frame(head: bytes) -> bool:
    """Whether these first bytes may be those of an MPEG frame."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2


def mpeg_streams(path: Path, offset: int, named: bool, whole: bool) -> list[Stream]:
    """The MPEG streams of a file, one behind the other.

    offset: bytes of tags that come first. named: the file's name says that it is an mp3. whole: refuse a file that is
    shorter than its header says. InputError: no MPEG frames in an mp3, truncated, another rate behind the first stream.
    """
    data = path.read_bytes()
    start = _next_frame(data, offset)
    if start is None:
        if named:
            raise InputError(f"{path}: undecodable (no MPEG audio frames in it). Not an mp3, or cut off?")
        return [(path, 0)]
    check_plausible(path, _rate(data[start : start + 4]), 1)
    streams: list[Stream] = []
    while True:
        size, samples = frame(data, start) or (0, 0)
        slack = 2 * samples  # encoders count their delay and padding differently
        promised = _promised(data, start)
        if promised is None:
            streams.append(_counted(path, data, start, slack))
            return streams
        left = len(data) - start
        if whole and promised and left < 0.99 * promised:
            raise InputError(
                f"{path}: truncated, its Xing header promises {promised:,} bytes and {left:,} are there. "
                "Was a download cut off?"
            )
        behind = _stream_behind(data, start + promised, promised) if promised else None
        if behind is None:
            streams.append((io.BytesIO(data[start:]), slack) if streams else (path, slack))
            return streams
        if _promised(data, behind) is None:  # no header of its own: all of the frames are counted
            streams.append(_counted(path, data, start + size, slack, rewrite=True))
            return streams
        streams.append((io.BytesIO(data[start:behind]), slack))
        start = behind


def _promised(data: bytes, start: int) -> int | None:
    """Bytes that the Xing header in the frame at `start` gives, 0 where it does not tell; None without one."""
    marker = re.search(rb"Xing|Info", data[start : start + 44])
    if not marker:
        return None
    flags, _, promised = struct.unpack(">3I", data[start + marker.end() :][:12].ljust(12, b"\0"))
    return promised if flags & 3 == 3 else 0  # both counts, frames and bytes, are given


def _stream_behind(data: bytes, end: int, promised: int) -> int | None:
    """Where another stream begins behind the first; a tag, or a few frames that the header miscounted, is none."""
    at = _next_frame(data, end)
    if at is None or len(data) - at < 0.01 * promised:
        return None
    place: int = at
    for _ in range(FEW_FRAMES):
        found = frame(data, place)
        if found is None:
            return None
        place += found[0]
    return at


def _counted(path: Path, data: bytes, start: int, slack: int, rewrite: bool = False) -> Stream:
    """A stream without a header that counts its frames; it gets one where the first frame would mislead."""
    first = frame(data, start)
    if first is None:
        return path, slack
    rate, count, constant, at = _rate(data[start : start + 4]), 0, not rewrite, start
    place: int | None = at
    while place is not None and (found := frame(data, place)):
        if _rate(data[place : place + 4]) != rate:
            raise InputError(f"{path}: {MORE}, at another sample rate. Were two files joined?")
        count, constant, place = count + 1, constant and abs(found[0] - first[0]) <= 1, place + found[0]
        place = place if frame(data, place) else _next_frame(data, place)
    return (path if constant else io.BytesIO(_xing_frame(data[start : start + 4], count) + data[start:])), slack


def _xing_frame(header: bytes, count: int) -> bytes:
    """A silent frame like the one with this header, that tells the decoder how many follow."""
    made = bytearray(header).ljust(2880, b"\0")  # the longest there is
    made[2] = made[2] & 0x0D | 0xE0  # highest bit rate, unpadded: room for the count in any version
    side = {(True, False): 36, (True, True): 21, (False, False): 21, (False, True): 13}  # (MPEG-1, mono): its offset
    at = side[bool(header[1] & 8), header[3] >> 6 == 3]
    made[at : at + 12] = b"Xing" + struct.pack(">2I", 1, count)
    whole = frame(bytes(made), 0)
    assert whole is not None  # the header of a frame that was found
    return bytes(made[: whole[0]])


def _rate(header: bytes) -> int:
    version, rate_index = header[1] >> 3 & 3, header[2] >> 2 & 3
    return (44100, 48000, 32000)[rate_index] >> {3: 0, 2: 1, 0: 2}[version]


def frame(data: bytes, at: int) -> tuple[int, int] | None:
    """(bytes, samples) of the layer III frame that starts here, from its four header bytes (ISO 11172-3, 2.4.1.3)."""
    header = data[at : at + 4]
    if len(header) < 4 or not is_frame(header):  # sync, layer III
        return None
    version, kbit_index, rate_index = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or kbit_index in (0, 15) or rate_index == 3:
        return None
    samples = 1152 if version == 3 else 576
    return samples // 8 * _KBIT_S[version == 3][kbit_index] * 1000 // _rate(header) + (header[2] >> 1 & 1), samples


def _next_frame(data: bytes, at: int) -> int | None:
    """Where the next frame starts that another one (or the end of the data) follows directly."""
    while (at := data.find(b"\xff", at)) >= 0:
        found = frame(data, at)
        if found and (at + found[0] == len(data) or frame(data, at + found[0])):
            return at
        at += 1
    return None
