"""Decode one recording: any format, rate and channel count in; float32 mono at the backbone's rate out.

soundfile (libsndfile) decodes, channels are averaged, soxr resamples (HQ). What libsndfile cannot open goes to ffmpeg
where that is installed. libsndfile and soxr release the GIL while they work and nothing here is shared, so any number
of threads may read at once.

A damaged file often decodes without complaint, only shorter or silent, and would then be a wrong row in the store. So
every promise that a file makes about its own length is compared with what decodes; `decoding` looks at headers and
joined streams first. Decoding goes block by block, 8 MiB at a time: beside the samples themselves no memory is taken
that a header could ask for.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from . import InputError
from .decoding.elsewhere import decode_elsewhere
from .decoding.headers import MORE, check_plausible
from .decoding.mpeg import Stream
from .decoding.pieces import openable
from .decoding.streams import HEAD_BYTES, Source, cut_short, open_source
from .files import check_regular
from .playback import AS_RECORDED, Playback

# What a class folder is searched for; the last three need ffmpeg.
SUFFIXES = frozenset(
    {".wav", ".wave", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".au", ".caf"}
    | {".flac", ".ogg", ".oga", ".opus", ".mp3"}
    | {".m4a", ".aac", ".wma"}
)
BLOCK = 1 << 21  # samples decoded at a time: the header's promise never decides how much memory is taken
UNKNOWN_FRAMES = 1 << 62  # libsndfile's count is above this when a streamed flac does not say
CANCELLED = 1e-3  # power of the mean of the channels, of what independent channels would leave: 30 dB below


@dataclass(frozen=True)
class Info:
    """What a file's header says. format: libsndfile's name, JOINED for several streams. sample_rate: Hz."""

    format: str
    sample_rate: int
    frames: int | None


def read(
    path: Path | str,
    sample_rate: int,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    warn: Callable[[str], None] | None = None,
    partial: bool = False,
    playback: Playback = AS_RECORDED,
) -> np.ndarray:
    """Read a recording, or its piece from start_s to end_s (sought, not decoded up to).

    Args:
        path: the audio file.
        sample_rate: wanted, in Hz.
        start_s, end_s: seconds of the recording. A piece that runs past the end of the file ends with the file.
        partial: of a truncated or damaged file take what decodes, with a warning. For predictions, which owe a row to
            every second that is there; features that are kept are of whole files.
        playback: slower, and filtered; of a piece, the piece alone is filtered.
        warn: called with a line on what was read otherwise than the header or the mean of the channels would have it.

    Returns:
        float32 [samples], mono, at sample_rate.

    Raises:
        InputError: with the file and the reason: missing, zero-length, an implausible header, no samples, undecodable,
            truncated, NaN or infinite samples, silent (all samples equal). A piece that decodes in full is accepted
            from a truncated file.
    """
    path = Path(path)
    start_s = 0.0 if start_s is None else float(start_s)
    if not (0 <= start_s < (end_s if end_s is not None else np.inf)):
        raise InputError(f"{path}: piece from {start_s:g} to {end_s} s, expected 0 <= start < end.")
    head = _head(path)
    if not head:
        raise InputError(f"{path}: zero-length file (0 bytes). Was a download or a copy cut off?")
    try:
        with np.errstate(over="ignore"):  # of damaged float samples, which are refused below
            samples, rate = _decode(path, head, start_s, end_s, warn or (lambda line: None), partial)
    except InputError:
        raise
    except Exception as error:  # whatever a decoder makes of a damaged file: one bad file never stops the rest
        raise InputError(f"{path}: undecodable ({str(error) or type(error).__name__}). Is it damaged?") from error
    least, most = samples.min(), samples.max()
    if not np.isfinite((least, most)).all():
        bad = np.flatnonzero(~np.isfinite(samples))
        raise InputError(f"{path}: {bad.size:,} NaN or infinite samples, the first at {bad[0] / rate + start_s:.3f} s.")
    if least == most:
        where = f"{path}, {start_s:g} s to {'its end' if end_s is None else f'{end_s:g} s'}"
        raise InputError(f"{where}: silent, all {samples.size:,} samples are {samples[0]:g}.")
    if playback != AS_RECORDED:
        try:
            samples = playback.filtered(samples, rate)
        except InputError as error:
            raise InputError(f"{path}: {error}.") from None
    if (played := rate * playback.speed) != sample_rate:
        samples = soxr.resample(samples, played, sample_rate, quality="HQ")
        if not np.isfinite(samples).all():
            raise InputError(f"{path}: samples too large to resample. Is it damaged, or no audio?")
    if samples.size == 0:
        raise InputError(f"{path}: no samples left at {sample_rate} Hz, the piece is too short.")
    return np.ascontiguousarray(samples, dtype=np.float32)


def info(path: Path | str) -> Info | None:
    """What a recording's header says, corrected where `read` corrects it.

    Returns:
        Format, rate and frames (None where the header does not tell); None for a file that libsndfile cannot open, or
        whose header is implausible.
    """
    path, source = Path(path), None
    try:
        source = open_source(path, _head(path), whole=False)
        about = []
        for stream, _ in source.streams:
            with soundfile.SoundFile(openable(stream)) as file:
                check_plausible(path, file.samplerate, file.channels)
                about.append((file.format, file.samplerate, file.frames))
    except Exception:  # `read` says why
        return None
    finally:
        if source is not None:
            source.close()
    formats, rates, frames = zip(*about)
    known = all(0 < n < UNKNOWN_FRAMES for n in frames)
    return Info(formats[0] if len(about) == 1 else "JOINED", rates[0], sum(frames) if known else None)


def _head(path: Path) -> bytes:
    check_regular(path)
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error


class _Stream(soundfile.SoundFile):
    """A file that is read forwards.

    soundfile follows every read with a seek to where it already is. That makes mp3 decoders lose a few frames at each
    seam between blocks, and fails at the end of a flac of unknown length.
    """

    def seekable(self) -> bool:
        return False


def _decode(
    path: Path, head: bytes, start_s: float, end_s: float | None, warn: Callable[[str], None], partial: bool
) -> tuple[np.ndarray, int]:
    """float32 [frames], the channels' mean, and the file's own rate in Hz."""
    source = open_source(path, head, whole=end_s is None and not partial)
    try:
        for line in source.warnings:
            warn(line)
        if len(source.streams) > 1:
            return _decode_joined(path, source, start_s, end_s, warn, partial)
        return _decode_stream(path, source.streams[0], start_s, end_s, warn, partial)
    finally:
        source.close()


def _decode_joined(
    path: Path, source: Source, start_s: float, end_s: float | None, warn: Callable[[str], None], partial: bool
) -> tuple[np.ndarray, int]:
    """All streams one behind the other, and of them the piece."""
    parts = [_decode_stream(path, stream, 0.0, None, warn, partial) for stream in source.streams]
    if len(rates := {rate for _, rate in parts}) > 1:
        raise InputError(f"{path}: {MORE}, at another sample rate ({', '.join(f'{r:,}' for r in sorted(rates))} Hz).")
    samples, rate = np.concatenate([part for part, _ in parts]), parts[0][1]
    return _cut(path, samples, rate, start_s, end_s), rate


def _decode_stream(
    path: Path, stream: Stream, start_s: float, end_s: float | None, warn: Callable[[str], None], partial: bool
) -> tuple[np.ndarray, int]:
    opened, slack = stream
    try:
        file = _Stream(openable(opened))
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: headerless .raw
        reason = re.sub(r"^Error opening .*?: ", "", getattr(error, "error_string", str(error)))
        samples, rate = decode_elsewhere(path, reason.strip(" .") or type(error).__name__)
        return _cut(path, samples, rate, start_s, end_s), rate
    with file:
        rate, frames, channels = file.samplerate, file.frames, file.channels
        check_plausible(path, rate, channels)
        if file.subtype.startswith("MPEG"):  # in a WAV too: encoders count their delay and padding differently
            slack = max(slack, 2 * 1152)
        first = round(start_s * rate)
        last = frames if end_s is None else min(round(end_s * rate), frames)
        if last == frames and (fault := cut_short(path, file)):
            _tell(f"{path}: truncated, {fault}. Was a download or a recorder cut off?", warn, partial)
        _check_span(path, first, last, frames, rate)
        samples, power, reason = _mix(file, first, last)
        if reason:
            _tell(f"{path}: truncated or damaged ({reason}). Was a download cut off?", warn, partial)
            samples, power, _ = _again(opened, first, last, block=4096)  # up to the very place where it fails
        got = len(samples)
        if frames < UNKNOWN_FRAMES and last - first - got > max(slack, 0.01 * frames if slack else 0):
            told = f"its header promises {frames / rate:.2f} s and {(first + got) / rate:.2f} s decode"
            _tell(f"{path}: truncated or damaged, {told}. Was a download cut off?", warn, partial)
        if not got:
            raise InputError(f"{path}: no samples between {start_s:g} s and the end.")
    if channels > 1 and float(np.dot(samples, samples)) < CANCELLED * power.sum() / channels**2:
        loudest = int(power.argmax())
        warn(f"{path}: its channels cancel each other; channel {loudest + 1} of {channels} is used. Reversed polarity?")
        samples, _, _ = _again(opened, first, last, loudest, 4096 if reason else BLOCK)
    return samples, rate


def _tell(fault: str, warn: Callable[[str], None], partial: bool) -> None:
    """A fault that costs the end of a file: a warning where a part is wanted, InputError where the whole is."""
    if not partial:
        raise InputError(fault)
    warn(f"{fault} What decodes is used.")


def _again(
    opened, first: int, last: int, channel: int | None = None, block: int = BLOCK
) -> tuple[np.ndarray, np.ndarray, str | None]:
    """`_mix` from the beginning of a stream that was read before."""
    if not isinstance(opened, Path):
        opened.seek(0)
    with _Stream(openable(opened)) as file:
        return _mix(file, first, last, channel, block)


def _mix(
    file: soundfile.SoundFile, first: int, last: int, channel: int | None = None, size: int = BLOCK
) -> tuple[np.ndarray, np.ndarray, str | None]:
    """Frames first to last, or as many as decode: float32 [frames] (mean, or one channel), [channels] powers, and why
    the decoder failed before the last one."""
    channels = file.channels
    samples, got, power = np.empty(0, np.float32), 0, np.zeros(channels)
    reason: str | None = None
    if first:
        try:
            file.seek(first)
        except soundfile.LibsndfileError:  # GSM and G.721 are read from their start
            at = 0
            while at < first and (n := len(file.read(min(BLOCK // channels, first - at)))):
                at += n
    while got < last - first:
        wanted = min(max(1, size // channels), last - first - got)
        try:
            block = file.read(wanted, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            reason = error.error_string.removeprefix("Error : ").strip(" .") or "undecodable"
            break
        samples.resize(got + len(block), refcheck=False)  # grows where it lies: a long recording is held once
        if channel is not None or channels == 1:
            samples[got:] = block[:, channel or 0]
        else:
            power += [float(np.dot(one, one)) for one in block.T]
            # the same numbers as `mean` gives, in a hundredth of its time
            samples[got:] = (block[:, 0] + block[:, 1]) * np.float32(0.5) if channels == 2 else block.mean(axis=1)
        got += len(block)
        if len(block) < wanted:  # reading on past a damaged Ogg page would go on at another time
            break
    return samples, power, reason


def _check_span(path: Path, first: int, last: int, frames: int, rate: float) -> None:
    if frames <= 0:
        raise InputError(f"{path}: no samples, only a header.")
    if first >= last:
        raise InputError(f"{path}: piece starts at {first / rate:g} s, but the file is {frames / rate:.2f} s long.")


def _cut(path: Path, samples: np.ndarray, rate: int, start_s: float, end_s: float | None) -> np.ndarray:
    """The piece of a recording that was decoded in full."""
    first, last = round(start_s * rate), len(samples) if end_s is None else min(round(end_s * rate), len(samples))
    _check_span(path, first, last, len(samples), rate)
    return samples[first:last]
