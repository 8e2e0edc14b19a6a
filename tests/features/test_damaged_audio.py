"""Wrong headers, joined streams, tags in front, channels that cancel: read whole, or refused with the reason."""

import io
import struct

import numpy as np
import pytest
import soundfile

from birdprobe.features import InputError, audio

RATE = 32_000


def noise(seconds: float = 2.0, seed: int = 0, rate: int = RATE) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int = RATE, **options) -> bytes:
    memory = io.BytesIO()
    soundfile.write(memory, samples, rate, **options)
    return memory.getvalue()


def wav(rate: int = RATE, channels: int = 1, size: int | None = None, content: bytes = b"\1\2" * 32_000) -> bytes:
    fmt = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels & 0xFFFFFFFF, 2 * channels & 0xFFFF, 16)
    size = len(content) if size is None else size
    body = b"WAVEfmt \x10\0\0\0" + fmt + b"data" + struct.pack("<I", size) + content
    return b"RIFF" + struct.pack("<I", 36 + len(content)) + body


def au(rate: int, channels: int) -> bytes:
    return b".snd" + struct.pack(">5I", 24, 64_000, 3, rate, channels) + b"\1\2" * 32_000


IMPLAUSIBLE = {
    "rate0.wav": (wav(0), "0 Hz"),
    "rate1.wav": (wav(1), "1 Hz"),
    "rate2.wav": (wav(2), "2 Hz"),
    "fast.wav": (wav(2_000_000_000), "2,000,000,000 Hz"),
    "none.wav": (wav(channels=0), "0 channels"),
    "many.wav": (wav(channels=1025), "1,025 channels"),
    "many.au": (au(RATE, 1_006_632_961), "1,006,632,961 channels"),
    "slow.au": (au(7, 1), "7 Hz"),
}


@pytest.mark.parametrize("name", IMPLAUSIBLE)
def test_implausible_headers_are_refused_with_the_reason(tmp_path, name):
    content, reason = IMPLAUSIBLE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: its header says {reason}, expected"):
        audio.read(tmp_path / name, RATE)
    assert audio.info(tmp_path / name) is None  # no thousands of rows for an hour of nothing


def test_an_implausible_rate_that_only_libsndfile_reads_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.aiff", noise(0.1), 500)
    with pytest.raises(InputError, match="says 500 Hz"):
        audio.read(tmp_path / "a.aiff", RATE)


def test_a_chunk_of_an_odd_size_without_its_padding_is_one_line(tmp_path):
    head, body = wav()[:36], wav()[36:]
    (tmp_path / "odd.wav").write_bytes(head + b"LIST\x05\0\0\0INFOx" + body)
    with pytest.raises(InputError, match=r"odd\.wav: undecodable \(.*data"):
        audio.read(tmp_path / "odd.wav", RATE)


@pytest.mark.parametrize("error", [MemoryError(), ValueError("cannot reshape"), struct.error("unpack"), RuntimeError()])
def test_whatever_a_decoder_raises_is_a_reason_to_skip(tmp_path, monkeypatch, error):
    soundfile.write(tmp_path / "a.wav", noise(), RATE)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(audio._Stream, "read", fail)
    with pytest.raises(InputError, match=r"a\.wav: undecodable \("):
        audio.read(tmp_path / "a.wav", RATE)


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32"])
def test_codecs_that_cannot_seek_are_read(tmp_path, subtype):
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 8_000)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", tone, 8_000, subtype=subtype)
    whole = audio.read(tmp_path / "a.wav", 8_000)
    np.testing.assert_allclose(whole[1000:15_000], tone[1000:15_000], atol=0.1)
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav", 8_000, start_s=0.5, end_s=1.0), whole[4000:8000])


JOINED = {
    "flac": {"format": "FLAC"},
    "ogg": {"format": "OGG"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {"format": "MP3"},
}


@pytest.mark.parametrize("suffix", JOINED)
def test_joined_streams_are_read_one_behind_the_other(tmp_path, suffix):
    rate = 48_000 if suffix == "opus" else RATE
    parts = [encoded(noise(2, seed, rate), rate, **JOINED[suffix]) for seed in (1, 2, 3)]
    apart = []
    for i, part in enumerate(parts):
        (tmp_path / f"{i}.{suffix}").write_bytes(part)
        apart.append(audio.read(tmp_path / f"{i}.{suffix}", rate))
    path = tmp_path / f"joined.{suffix}"
    path.write_bytes(b"".join(parts))
    whole = audio.read(path, rate)
    np.testing.assert_allclose(whole, np.concatenate(apart), atol=1e-6)
    assert audio.info(path).format == "JOINED" and abs(audio.info(path).frames - len(whole)) < 3 * 2304
    np.testing.assert_array_equal(audio.read(path, rate, start_s=1.5, end_s=4.5), whole[3 * rate // 2 : 9 * rate // 2])


def test_the_same_ogg_twice_has_one_serial_number_and_is_read_twice(tmp_path):
    (tmp_path / "a.ogg").write_bytes(2 * encoded(noise(), format="OGG"))
    assert len(audio.read(tmp_path / "a.ogg", RATE)) == 4 * RATE


@pytest.mark.parametrize("suffix", ["flac", "mp3"])
def test_joined_streams_of_two_rates_are_refused(tmp_path, suffix):
    path, options = tmp_path / f"a.{suffix}", JOINED[suffix]
    path.write_bytes(encoded(noise(), **options) + encoded(noise(rate=48_000), 48_000, **options))
    with pytest.raises(InputError, match="more behind the first stream, at another sample rate"):
        audio.read(path, RATE)


def test_joined_wavs_are_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(2 * encoded(noise(), format="WAV"))
    with pytest.raises(InputError, match="more behind the first stream, another WAV"):
        audio.read(tmp_path / "a.wav", RATE)


@pytest.mark.parametrize("size, cause", [(0, "lost power"), (8_000, "wrapped above 4 GiB")])
def test_a_wav_header_smaller_than_the_file_is_read_to_the_end_with_a_warning(tmp_path, size, cause):
    content = np.random.default_rng(0).integers(-9000, 9000, 2 * RATE, dtype=np.int16)
    (tmp_path / "a.wav").write_bytes(wav(content=content.tobytes(), size=size))
    told = []
    read = audio.read(tmp_path / "a.wav", RATE, warn=told.append)
    np.testing.assert_array_equal(read, content.astype(np.float32) / 32768)
    assert len(told) == 1 and f"its header gives {size:,} bytes of samples, 128,000 are there" in told[0]
    assert cause in told[0] and audio.info(tmp_path / "a.wav").frames == 2 * RATE


def test_chunks_behind_the_samples_are_no_lost_audio(tmp_path):
    content = np.random.default_rng(0).integers(-9000, 9000, RATE, dtype=np.int16).tobytes()
    known, own = b"LIST" + struct.pack("<I", 30_000) + bytes(9_000), b"qqqq" + struct.pack("<I", 30_000) + bytes(30_000)
    for name, tail in {"cut off": known, "unknown": own, "padding": bytes(20_000)}.items():
        (tmp_path / "a.wav").write_bytes(wav(content=content) + tail)
        told = []
        assert len(audio.read(tmp_path / "a.wav", RATE, warn=told.append)) == RATE and not told, name
    (tmp_path / "empty.wav").write_bytes(wav(content=b"") + known)
    with pytest.raises(InputError, match="no samples, only a header"):
        audio.read(tmp_path / "empty.wav", RATE)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("name", ["a.{}", "a.mp3"])
def test_wav_and_flac_behind_an_id3_tag_are_read(tmp_path, suffix, name):
    samples, path = noise(), tmp_path / name.format(suffix)
    path.write_bytes(b"ID3\x04\0\0\0\0\x10\0" + bytes(2048) + encoded(samples, format=suffix.upper()))
    np.testing.assert_allclose(audio.read(path, RATE), samples, atol=1e-4)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_channels_that_cancel_give_way_to_the_louder_one(tmp_path, subtype):
    left = noise()
    soundfile.write(tmp_path / "a.wav", np.stack([-0.99 * left, left], axis=1), RATE, subtype=subtype)
    soundfile.write(tmp_path / "b.wav", np.stack([left, noise(seed=1)], axis=1), RATE, subtype=subtype)
    told = []
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav", RATE, warn=told.append), left, atol=1e-4)
    assert len(told) == 1 and "its channels cancel each other; channel 2 of 2 is used" in told[0]
    mean = (left + noise(seed=1)) / 2
    np.testing.assert_allclose(audio.read(tmp_path / "b.wav", RATE, warn=told.append), mean, atol=1e-4)
    silent = np.stack([left, np.zeros_like(left)], axis=1)  # a dead channel cancels nothing
    soundfile.write(tmp_path / "c.wav", silent, RATE, subtype=subtype)
    np.testing.assert_allclose(audio.read(tmp_path / "c.wav", RATE, warn=told.append), left / 2, atol=1e-4)
    assert len(told) == 1
