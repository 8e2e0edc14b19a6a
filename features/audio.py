"""Decode one recording: any format, rate and channel count in; float32 mono at the backbone's rate out.

soundfile (libsndfile) decodes, channels are averaged, soxr resamples (HQ). What libsndfile cannot open goes to librosa,
which uses ffmpeg where that is installed. libsndfile and soxr release the GIL while they work and nothing here is
shared, so any number of threads may read at once.

A damaged file often decodes without complaint, only shorter or silent, and would then be a wrong row in the store. So
every promise that a file makes about its own length is compared with what decodes.
"""

import io
import re
import struct
import warnings
from pathlib import Path

import numpy as np
import soundfile
import soxr

from . import InputError

# What a class folder is searched for; the last three need ffmpeg.
SUFFIXES = frozenset(
    {".wav", ".wave", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".au", ".caf"}
    | {".flac", ".ogg", ".oga", ".opus", ".mp3"}
    | {".m4a", ".aac", ".wma"}
)
BLOCK = 1 << 21  # frames decoded at a time: the header's promise never decides how much memory is taken
UNKNOWN_FRAMES = 1 << 62  # libsndfile's count is above this when a streamed flac does not say
TOLERANCE_S = 0.01  # some writers are off by a header's size: sloppy, but nothing is lost
STREAMED_BYTES = 0x7FFFF000  # wav written to a pipe: the size is a placeholder from here up


def read(path: Path | str, sample_rate: int, *, start_s: float | None = None, end_s: float | None = None) -> np.ndarray:
    """The recording, or its piece from start_s to end_s (seconds, sought, not decoded up to).

    Returns float32 [samples], mono, at sample_rate (Hz). A piece that runs past the end of the file ends with the file.
    Raises InputError with the file and the reason: missing, zero-length, no samples, undecodable, truncated, NaN or
    infinite samples, silent (all samples equal). A piece that decodes in full is accepted from a truncated file.
    """
    path = Path(path)
    start_s = 0.0 if start_s is None else float(start_s)
    if not (0 <= start_s < (end_s if end_s is not None else np.inf)):
        raise InputError(f"{path}: piece from {start_s:g} to {end_s} s, expected 0 <= start < end.")
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    if not head:
        raise InputError(f"{path}: zero-length file (0 bytes). Was a download or a copy cut off?")
    samples, rate = _decode(path, head, start_s, end_s)
    if not np.isfinite(samples).all():
        bad = np.flatnonzero(~np.isfinite(samples))
        raise InputError(f"{path}: {bad.size:,} NaN or infinite samples, the first at {bad[0] / rate + start_s:.3f} s.")
    if samples.min() == samples.max():
        where = f"{path}, {start_s:g} s to {'its end' if end_s is None else f'{end_s:g} s'}"
        raise InputError(f"{where}: silent, all {samples.size:,} samples are {samples[0]:g}.")
    if rate != sample_rate:
        samples = soxr.resample(samples, rate, sample_rate, quality="HQ")
    if samples.size == 0:
        raise InputError(f"{path}: no samples left at {sample_rate} Hz, the piece is too short.")
    return np.ascontiguousarray(samples, dtype=np.float32)


class _Stream(soundfile.SoundFile):
    """A file that is read forwards.

    soundfile follows every read with a seek to where it already is. That makes mp3 decoders lose a few frames at each
    seam between blocks, and fails at the end of a flac of unknown length.
    """

    def seekable(self) -> bool:
        return False


def _decode(path: Path, head: bytes, start_s: float, end_s: float | None) -> tuple[np.ndarray, int]:
    """float32 [frames], the channels' mean, and the file's own rate in Hz."""
    source, slack = _mpeg_source(path, head, whole=end_s is None)
    try:
        file = _Stream(source)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: headerless .raw
        return _decode_elsewhere(path, start_s, end_s, getattr(error, "error_string", str(error)))
    with file:
        rate, frames = file.samplerate, file.frames
        first = round(start_s * rate)
        last = frames if end_s is None else min(round(end_s * rate), frames)
        if last == frames and (fault := _cut_short(path, file)):
            raise InputError(f"{path}: truncated, {fault}. Was a download or a recorder cut off?")
        _check_span(path, first, last, frames, rate)
        blocks, got = [], 0
        try:
            file.seek(first)
            while got < last - first:
                wanted = min(BLOCK, last - first - got)
                block = file.read(wanted, dtype="float32", always_2d=True)
                blocks.append(block.mean(axis=1) if block.shape[1] > 1 else block[:, 0])
                got += len(block)
                if len(block) < wanted:  # reading on past a damaged Ogg page would go on at another time
                    break
        except soundfile.LibsndfileError as error:
            reason = error.error_string.removeprefix("Error : ").strip(" .")
            raise InputError(f"{path}: truncated or damaged ({reason}). Was a download cut off?") from error
        if frames < UNKNOWN_FRAMES and last - first - got > max(slack, 0.01 * frames if slack else 0):
            raise InputError(
                f"{path}: truncated or damaged, its header promises {frames / rate:.2f} s and "
                f"{(first + got) / rate:.2f} s decode. Was a download cut off?"
            )
        if not got:
            raise InputError(f"{path}: no samples between {start_s:g} s and the end.")
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks), rate


def _check_span(path: Path, first: int, last: int, frames: int, rate: float) -> None:
    if frames <= 0:
        raise InputError(f"{path}: no samples, only a header.")
    if first >= last:
        raise InputError(f"{path}: piece starts at {first / rate:g} s, but the file is {frames / rate:.2f} s long.")


def _decode_elsewhere(path: Path, start_s: float, end_s: float | None, reason: str) -> tuple[np.ndarray, int]:
    """What libsndfile cannot open, through librosa (and behind it audioread, which finds ffmpeg), decoded in full."""
    reason = re.sub(r"^Error opening .*?: ", "", str(reason)).strip(" .")
    try:
        import librosa  # seconds to import, and seldom needed
        from audioread import DecodeError, NoBackendError
    except ImportError as error:  # as on Kaggle without internet
        raise InputError(f"{path}: undecodable ({reason}). Another format, for which librosa is missing?") from error
    try:
        with warnings.catch_warnings():  # librosa warns that soundfile failed, which is why we are here
            warnings.simplefilter("ignore")
            samples, rate = librosa.load(path, sr=None, mono=True)
    except (DecodeError, EOFError, OSError, TypeError, soundfile.LibsndfileError) as error:  # TypeError: .raw again
        hint = " Not audio, or a format that needs ffmpeg?" if isinstance(error, NoBackendError) else ""
        raise InputError(f"{path}: undecodable ({reason or type(error).__name__}).{hint}") from error
    first, last = round(start_s * rate), len(samples) if end_s is None else min(round(end_s * rate), len(samples))
    _check_span(path, first, last, len(samples), rate)
    return samples[first:last], int(rate)


def _cut_short(path: Path, file: soundfile.SoundFile) -> str | None:
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
    """The last page of an Ogg stream carries the end-of-stream flag (RFC 3533, section 6)."""
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


def _mpeg_source(path: Path, head: bytes, whole: bool) -> tuple[Path | io.BytesIO, int]:
    """What to hand to libsndfile for an mp3, and by how many samples it may fall short; other formats pass through.

    Files are looked at before libmpg123 sees them, because it prints its complaints on stderr, and because without a
    Xing header it takes the length from the first frame's bit rate and silently drops the rest of a variable-rate file.
    """
    other = head[:4] in (b"RIFF", b"OggS", b"fLaC", b"FORM") or head[4:8] == b"ftyp"
    named, tagged = path.suffix.lower() == ".mp3" and not other, head[:3] == b"ID3"
    if not (named or tagged or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2)):
        return path, 0
    data = path.read_bytes()
    tag = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0))) if tagged else 0
    start = _next_mpeg_frame(data, tag)
    first = None if start is None else _mpeg_frame(data, start)
    if start is None or first is None:
        if named and data[tag : tag + 4] != b"fLaC":
            raise InputError(f"{path}: undecodable (no MPEG audio frames in it). Not an mp3, or cut off?")
        return path, 0
    size, samples = first
    slack = 2 * samples  # encoders count their delay and padding differently
    if marker := re.search(rb"Xing|Info", data[start : start + 44]):
        flags, _, promised = struct.unpack(">3I", data[start + marker.end() :][:12].ljust(12, b"\0"))
        if whole and flags & 3 == 3 and len(data) - start < 0.99 * promised:  # both counts, frames and bytes, are given
            raise InputError(
                f"{path}: truncated, its Xing header promises {promised:,} bytes and {len(data) - start:,} are there. "
                "Was a download cut off?"
            )
        return path, slack
    count, constant = 0, True
    at: int | None = start
    while at is not None and (frame := _mpeg_frame(data, at)):
        count, constant, at = count + 1, constant and abs(frame[0] - size) <= 1, at + frame[0]
        at = at if _mpeg_frame(data, at) else _next_mpeg_frame(data, at)
    return (path if constant else io.BytesIO(_xing_frame(data[start : start + 4], count) + data[start:])), slack


def _xing_frame(header: bytes, count: int) -> bytes:
    """A silent frame like the one with this header, that tells the decoder how many follow."""
    frame = bytearray(header).ljust(2880, b"\0")  # the longest there is
    frame[2] = frame[2] & 0x0D | 0xE0  # highest bit rate, unpadded: room for the count in any version
    side = {(True, False): 36, (True, True): 21, (False, False): 21, (False, True): 13}  # (MPEG-1, mono): its offset
    at = side[bool(header[1] & 8), header[3] >> 6 == 3]
    frame[at : at + 12] = b"Xing" + struct.pack(">2I", 1, count)
    whole = _mpeg_frame(bytes(frame), 0)
    assert whole is not None  # the header of a frame that was found
    return bytes(frame[: whole[0]])


_KBIT_S = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _mpeg_frame(data: bytes, at: int) -> tuple[int, int] | None:
    """(bytes, samples) of the layer III frame that starts here, from its four header bytes (ISO 11172-3, 2.4.1.3)."""
    header = data[at : at + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:  # sync, layer III
        return None
    version, kbit_index, rate_index = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or kbit_index in (0, 15) or rate_index == 3:
        return None
    rate = (44100, 48000, 32000)[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 1152 if version == 3 else 576
    return samples // 8 * _KBIT_S[version == 3][kbit_index] * 1000 // rate + (header[2] >> 1 & 1), samples


def _next_mpeg_frame(data: bytes, at: int) -> int | None:
    """Where the next frame starts that another one (or the end of the data) follows directly."""
    while (at := data.find(b"\xff", at)) >= 0:
        frame = _mpeg_frame(data, at)
        if frame and (at + frame[0] == len(data) or _mpeg_frame(data, at + frame[0])):
            return at
        at += 1
    return None
