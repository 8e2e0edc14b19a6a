"""BirdSet's front end equals librosa's mel spectrogram in dB, in torch and exported."""

import warnings

import librosa
import numpy as np
import pytest
import torch

from birdprobe.finetune.frontends.melspec import BirdsetMelSpec, mel_filters
from tests.frontends import ESC10, export, real, synthetic


def by_librosa(waveform):
    """[626, 256] dB: torchaudio's choices, which BirdSet took, in librosa's words."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Empty filters")
        power = librosa.feature.melspectrogram(
            y=waveform,
            sr=32000,
            n_fft=2048,
            hop_length=256,
            pad_mode="reflect",
            n_mels=256,
            htk=True,
            norm=None,
            fmin=0,
            fmax=16000,
        )
    return librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=80.0).T


def compare(waveforms):
    front = BirdsetMelSpec()
    raw = front.raw(torch.from_numpy(waveforms)).numpy()
    expected = np.stack([by_librosa(waveform) for waveform in waveforms])
    assert raw.shape == expected.shape == (len(waveforms), 626, 256)
    assert np.abs(raw - expected).max() < 5e-3  # dB, over a range of 80
    assert np.abs(raw - expected).mean() < 1e-4
    picture = front(torch.from_numpy(waveforms)).numpy()
    np.testing.assert_allclose(picture[:, 0], (raw.transpose(0, 2, 1) + 4.268) / 4.569, atol=1e-5)


def test_equals_librosa_on_made_up_sounds():
    compare(synthetic())


@pytest.mark.real
@pytest.mark.skipif(not ESC10.is_dir(), reason="no ESC-10")
def test_equals_librosa_on_real_clips():
    compare(real(every=20))


def test_filters_equal_librosas():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Empty filters")
        expected = librosa.filters.mel(sr=32000, n_fft=2048, n_mels=256, htk=True, norm=None, fmin=0, fmax=16000).T
    np.testing.assert_allclose(mel_filters(), expected, atol=1e-6)


def test_a_clip_does_not_depend_on_its_neighbours():
    # BirdSet's own took the maximum over the whole batch: beside a loud clip a quiet one lost its lowest values
    front = BirdsetMelSpec()
    quiet, loud = 1e-2 * torch.from_numpy(synthetic()[5:]), torch.from_numpy(synthetic()[1:2])
    alone, beside = front.raw(quiet), front.raw(torch.cat([loud, quiet]))
    torch.testing.assert_close(beside[1:], alone)
    assert float(alone.min()) < float(beside[0].max()) - 80
    for picture in beside:
        assert float(picture.max() - picture.min()) == pytest.approx(80, abs=1e-3)


def test_silence_is_a_constant():
    front = BirdsetMelSpec()
    assert front.raw(torch.zeros(2, 160000)).unique().tolist() == [-100.0]
    assert front(torch.zeros(2, 160000)).unique().tolist() == pytest.approx([(-100 + 4.268) / 4.569])


def test_autocast_leaves_it_in_float32():
    front, waveforms = BirdsetMelSpec(), torch.from_numpy(synthetic())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        picture = front(waveforms)
    assert picture.dtype == torch.float32 and torch.equal(picture, front(waveforms))


@pytest.mark.parametrize("dynamo", [True, False], ids=["new exporter", "old exporter"])
def test_exported_it_is_the_same(tmp_path, dynamo):
    front = BirdsetMelSpec()
    session = export(front, tmp_path / "melspec.onnx", dynamo)
    waveforms = synthetic()
    for n in (1, 2, 6):
        (given,) = session.run(None, {"waveform": waveforms[:n]})
        assert given.shape == (n, 1, 256, 626)
        assert np.abs(given - front(torch.from_numpy(waveforms[:n])).numpy()).max() < 2e-3  # of a range of 17.5
