"""Decoding against mathematics: a file holds a known tone, and what is read has to be that tone at the new rate."""

import io
import shutil
import struct
import subprocess
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from birdprobe.features import InputError, audio
from birdprobe.features.decoding import mpeg

ESC10 = Path(__file__).parents[3] / "shared" / "data" / "esc10"
RATE = 44_100


def tone(hz: float, rate: int, seconds: float = 2.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def written(path: Path, samples: np.ndarray | None = None, rate: int = RATE, **options) -> Path:
    soundfile.write(path, tone(440, rate) if samples is None else samples, rate, **options)
    return path


def cut_to(path: Path, share: float) -> Path:
    data = path.read_bytes()
    short = path.with_name(f"short{path.suffix}")
    short.write_bytes(data[: round(len(data) * share)])
    return short


def variable_rate_mp3() -> bytes:
    """4 s of noise and near silence in turn, so that the frames differ in size, the first being the largest."""
    noise = np.random.default_rng(0).normal(0, 0.2, (4, RATE)) * np.array([[1], [1e-3], [1], [1e-3]])
    memory = io.BytesIO()
    soundfile.write(memory, noise.reshape(-1), RATE, format="MP3", bitrate_mode="VARIABLE")
    return memory.getvalue()


@pytest.mark.parametrize("suffix, options", [("wav", {}), ("flac", {}), ("ogg", {}), ("mp3", {}), ("aiff", {})])
@pytest.mark.parametrize("rate", [22_050, 32_000, 48_000])
def test_a_resampled_tone_equals_the_tone_sampled_at_the_new_rate(tmp_path, suffix, options, rate):
    read = audio.read(written(tmp_path / f"a.{suffix}", tone(440, rate), rate, **options), 32_000)
    assert read.dtype == np.float32 and read.shape == (64_000,)
    lossy = suffix in ("ogg", "mp3")
    np.testing.assert_allclose(read[3000:-3000], tone(440, 32_000)[3000:-3000], atol=0.02 if lossy else 2e-4)


@pytest.mark.parametrize("rate, channels", [(8_000, 1), (11_025, 2), (96_000, 6), (192_000, 1)])
def test_any_rate_and_channel_count(tmp_path, rate, channels):
    gains = np.arange(1, channels + 1, dtype=np.float32) / channels
    path = written(tmp_path / "a.wav", tone(300, rate)[:, None] * gains, rate, subtype="FLOAT")
    read = audio.read(path, 32_000)
    np.testing.assert_allclose(read[3000:-3000], (gains.mean() * tone(300, 32_000))[3000:-3000], atol=1e-3)


def test_a_file_at_the_wanted_rate_comes_back_bit_by_bit(tmp_path):
    samples = np.random.default_rng(0).normal(0, 0.1, 5000).astype(np.float32)
    np.testing.assert_array_equal(audio.read(written(tmp_path / "a.wav", samples, subtype="FLOAT"), RATE), samples)


@settings(max_examples=25, deadline=None)
@given(start=st.floats(0, 1.9), length=st.floats(0.01, 3.0))
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_piece_equals_the_slice_of_the_whole(tmp_path_factory, suffix, start, length):
    path = tmp_path_factory.getbasetemp() / f"piece.{suffix}"
    if not path.exists():
        written(path, np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32))
    whole = audio.read(path, RATE)
    piece = audio.read(path, RATE, start_s=start, end_s=start + length)  # past the end it is clipped
    np.testing.assert_allclose(piece, whole[round(start * RATE) : round((start + length) * RATE)], atol=1e-6)


def test_blocks_join_without_a_seam(tmp_path, monkeypatch):  # soundfile's blocks of an mp3 begin with lost frames
    paths = [
        written(tmp_path / f"a.{suffix}", tone(440, RATE)[:, None].repeat(2, 1)) for suffix in ("ogg", "mp3", "flac")
    ]
    whole = [audio.read(path, RATE) for path in paths]
    monkeypatch.setattr(audio, "BLOCK", 4096)
    for path, samples in zip(paths, whole):
        np.testing.assert_allclose(audio.read(path, RATE), samples, atol=1e-6, err_msg=path.name)


def test_many_threads_read_what_one_reads(tmp_path):
    rng = np.random.default_rng(0)
    paths = [
        written(tmp_path / f"{i}.{suffix}", rng.normal(0, 0.1, 20_000).astype(np.float32))
        for i, suffix in enumerate(["wav", "flac", "ogg", "mp3"] * 6)
    ]
    alone = [audio.read(path, 32_000) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        for one, other in zip(alone, pool.map(lambda path: audio.read(path, 32_000), paths)):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "suffix, share",
    [(suffix, share) for suffix in ("wav", "flac", "ogg", "opus", "mp3", "aiff", "au", "w64") for share in (0.4, 0.95)],
)
def test_truncated(tmp_path, suffix, share, capfd):
    options = {"opus": {"format": "OGG", "subtype": "OPUS", "rate": 48_000}}.get(suffix, {})
    noise = np.random.default_rng(0).normal(0, 0.1, 4 * 48_000).astype(np.float32)  # several Ogg pages
    path = written(tmp_path / f"whole.{suffix}", noise, **options)
    assert len(audio.read(path, 32_000))
    with pytest.raises(InputError, match=rf"short\.{suffix}: truncated"):
        audio.read(cut_to(path, share), 32_000)
    assert capfd.readouterr().err == ""  # libmpg123 would have had its say


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_piece_that_a_truncated_file_still_holds_is_read(tmp_path, suffix):
    path = written(tmp_path / f"whole.{suffix}", np.random.default_rng(0).normal(0, 0.1, 8 * RATE).astype(np.float32))
    short = cut_to(path, 0.6)
    np.testing.assert_array_equal(
        audio.read(short, 32_000, start_s=0.5, end_s=1.5), audio.read(path, 32_000, start_s=0.5, end_s=1.5)
    )
    with pytest.raises(InputError, match="truncated"):
        audio.read(short, 32_000, start_s=6.0, end_s=7.0)


def test_a_damaged_ogg_page_is_told(tmp_path):
    path = written(tmp_path / "a.ogg", np.random.default_rng(0).normal(0, 0.1, 8 * RATE).astype(np.float32))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged, its header promises 8\.00 s"):
        audio.read(path, 32_000)


def test_an_mp3_that_loses_its_end_without_losing_a_hundredth_of_its_bytes_is_read(tmp_path):
    path = written(tmp_path / "a.mp3")
    path.write_bytes(path.read_bytes()[:-1])
    assert abs(len(audio.read(path, RATE)) - 2 * RATE) < 2304


def test_a_variable_rate_mp3_without_a_length_header_is_read_to_its_end(tmp_path):
    # libsndfile takes its length from the first frame's bit rate, and once returned a quarter of such a file.
    whole = variable_rate_mp3()
    first = next(at for at in range(len(whole)) if mpeg.frame(whole, at))
    bare = whole[first + mpeg.frame(whole, first)[0] :]
    (tmp_path / "whole.mp3").write_bytes(whole)
    (tmp_path / "bare.mp3").write_bytes(bare)
    assert b"Xing" in whole[:100] and b"Xing" not in bare
    reference, read = audio.read(tmp_path / "whole.mp3", RATE), audio.read(tmp_path / "bare.mp3", RATE)
    assert soundfile.info(tmp_path / "bare.mp3").duration < 3.5 and abs(len(read) - len(reference)) < 2304
    lag = len(read) - len(reference)  # the encoder's delay, which only the header tells
    shifts = range(0, lag + 1)
    errors = [np.abs(read[s : s + 2 * RATE] - reference[: 2 * RATE]).max() for s in shifts]
    assert min(errors) < 1e-3


def test_an_mp3_with_tags_before_and_behind(tmp_path):
    path = written(tmp_path / "a.mp3")
    plain = audio.read(path, RATE)
    path.write_bytes(b"ID3\x04\0\0\0\0\x10\0" + bytes(2048) + path.read_bytes() + b"TAG" + bytes(125))
    np.testing.assert_allclose(audio.read(path, RATE), plain, atol=1e-6)


def test_an_mp3_inside_a_wav_may_count_its_delay(tmp_path):
    frames = written(tmp_path / "a.mp3", bitrate_mode="CONSTANT", compression_level=0.5).read_bytes()
    frames = frames[frames.index(b"\xff\xfb", 400) :]  # without the one that tells the length, as ffmpeg writes it
    kind = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 0, 1152, 0, 12, 1, 0, 1152, 1, 0)
    counted = struct.pack("<4sII", b"fact", 4, 2 * RATE + 1105)
    chunks = b"WAVEfmt " + struct.pack("<I", len(kind)) + kind + counted + struct.pack("<4sI", b"data", len(frames))
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks) + len(frames)) + chunks + frames)
    assert soundfile.info(path).subtype == "MPEG_LAYER_III"
    samples = audio.read(path, RATE)
    assert abs(len(samples) - 2 * RATE) <= 2 * 1152 and 0.3 < np.abs(samples).max() < 0.6


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_from_a_pipe_has_a_placeholder_for_its_size(tmp_path, size):
    path = written(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = size.to_bytes(4, "little")
    path.write_bytes(data)
    assert len(audio.read(path, RATE)) == 2 * RATE


def test_a_flac_from_a_pipe_does_not_tell_its_length(tmp_path):
    path = written(tmp_path / "a.flac")
    plain, data = audio.read(path, RATE), bytearray(path.read_bytes())
    data[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert soundfile.info(path).frames > 2**62
    np.testing.assert_array_equal(audio.read(path, RATE), plain)
    np.testing.assert_array_equal(audio.read(path, RATE, start_s=0.5, end_s=1.0), plain[RATE // 2 : RATE])


def test_a_wav_whose_header_is_off_by_its_own_length_is_whole(tmp_path):
    path = written(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = (int.from_bytes(data[at : at + 4], "little") + 44).to_bytes(4, "little")
    path.write_bytes(data)
    assert len(audio.read(path, RATE)) == 2 * RATE


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.ogg", "a.flac", "a.m4a", "a.raw"])
@pytest.mark.parametrize("content", [b"this is no sound " * 300, bytes(5000)])
def test_undecodable(tmp_path, name, content, capfd):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: undecodable \(") as caught:
        audio.read(tmp_path / name, 32_000)
    assert "\n" not in str(caught.value) and capfd.readouterr().err == ""


def test_zero_length_and_no_samples(tmp_path):
    (tmp_path / "a.ogg").touch()
    with pytest.raises(InputError, match=r"a\.ogg: zero-length file \(0 bytes\)"):
        audio.read(tmp_path / "a.ogg", 32_000)
    with pytest.raises(InputError, match="no samples"):
        audio.read(written(tmp_path / "b.wav", np.zeros(0, np.float32)), 32_000)


def test_missing_and_folder(tmp_path):
    with pytest.raises(InputError, match=r"gone\.wav: cannot be read \(No such file"):
        audio.read(tmp_path / "gone.wav", 32_000)
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory"):
        audio.read(tmp_path, 32_000)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path, bad):
    samples = tone(440, RATE)
    samples[RATE // 2] = bad
    path = written(tmp_path / "a.wav", samples, subtype="FLOAT")
    with pytest.raises(InputError, match=r"a\.wav: 1 NaN or infinite samples, the first at 0\.500 s"):
        audio.read(path, 32_000)
    assert len(audio.read(path, 32_000, start_s=1.0))  # the piece without it is fine


def test_silent_but_not_quiet(tmp_path):
    for name, samples in {
        "zero": np.zeros(RATE),
        "constant": np.full(RATE, 0.25),
    }.items():
        with pytest.raises(InputError, match=rf"{name}\.wav.*: silent, all "):
            audio.read(written(tmp_path / f"{name}.wav", samples, subtype="FLOAT"), 32_000)
    quiet = np.zeros(RATE, np.float32)
    quiet[100] = 1 / 32768
    assert np.ptp(audio.read(written(tmp_path / "quiet.wav", quiet), 32_000)) > 0


@pytest.mark.parametrize("start, end", [(-1, 2), (2, 1), (1, 1), (float("nan"), None)])
def test_impossible_pieces(tmp_path, start, end):
    with pytest.raises(InputError, match="expected 0 <= start < end"):
        audio.read(written(tmp_path / "a.wav"), 32_000, start_s=start, end_s=end)


def test_a_piece_after_the_end(tmp_path):
    with pytest.raises(InputError, match=r"piece starts at 3 s, but the file is 2\.00 s long"):
        audio.read(written(tmp_path / "a.wav"), 32_000, start_s=3, end_s=4)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_long_recording_is_held_once(tmp_path, channels):
    count = 12_000_000
    samples = np.zeros((count, channels), np.int16)
    samples[::1000] = 1
    soundfile.write(tmp_path / "long.wav", samples, 48_000)
    tracemalloc.start()
    try:
        found = audio.read(tmp_path / "long.wav", 48_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == count and peak < 1.6 * found.nbytes


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="m4a needs ffmpeg")
def test_what_libsndfile_cannot_open_goes_through_ffmpeg(tmp_path):
    wav, m4a = written(tmp_path / "a.wav"), tmp_path / "a.m4a"
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", wav, m4a], check=True)
    assert abs(len(audio.read(m4a, 32_000)) - 64_000) < 4096


@pytest.mark.real
@pytest.mark.skipif(not ESC10.is_dir(), reason="no ESC-10")
def test_real_clips_are_all_healthy():
    clips = sorted(ESC10.glob("*/*.ogg"))[::8]
    assert len(clips) == 50
    for clip in clips:
        read = audio.read(clip, 32_000)
        assert read.ndim == 1 and 3 < len(read) / 32_000 < 8 and 0 < np.abs(read).max() < 2
