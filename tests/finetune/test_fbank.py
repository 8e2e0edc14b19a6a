"""Bird-MAE's front end equals Kaldi's filter banks, in torch and exported."""

import warnings

import numpy as np
import pytest
import torch

from birdprobe.finetune.frontends.fbank import FLOOR, KaldiFbank, mel_filters
from birdprobe.finetune.frontends.spectrum import frames
from tests.frontends import ESC10, export, real, synthetic

# Where a mel lies this far under the loudest one of its frame, float32 has no more to tell: two implementations differ
# by their rounding, and kaldi-native-fbank itself is up to 4e-3 from the exact value. 16 nepers of power are 70 dB.
ROUNDING = 16.0


def kaldi(waveforms):
    """float32 [N, 498, 128] by kaldi-native-fbank, for waveforms less their mean."""
    library = pytest.importorskip("kaldi_native_fbank", reason="no kaldi-native-fbank wheel here")
    options = library.FbankOptions()
    options.frame_opts.samp_freq = 32000
    options.frame_opts.dither = 0
    options.frame_opts.window_type = "hanning"
    options.mel_opts.num_bins = 128
    options.use_energy = False
    rows = []
    for waveform in waveforms:
        bank = library.OnlineFbank(options)
        bank.accept_waveform(32000, (waveform - waveform.mean()).tolist())
        bank.input_finished()
        rows.append(np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)]))
    return np.stack(rows)


def exact(waveform):
    """[498, 128] by the definition, in float64 up to the filters."""
    waveform = waveform.astype(np.float64) - waveform.astype(np.float64).mean()
    rows = []
    for start in range(0, len(waveform) - 800 + 1, 320):
        frame = waveform[start : start + 800] - waveform[start : start + 800].mean()
        emphasised = np.concatenate([[frame[0] * 0.03], frame[1:] - 0.97 * frame[:-1]])
        rows.append(np.abs(np.fft.rfft(emphasised * np.hanning(800), 1024)) ** 2)
    return np.log(np.maximum(np.stack(rows) @ mel_filters().astype(np.float64), FLOOR))


def compare(raw, expected):
    """1e-3 in nats wherever float32 carries it, and nothing astray elsewhere."""
    assert raw.shape == expected.shape and raw.shape[1:] == (498, 128)
    difference = np.abs(raw - expected)
    audible = expected > expected.max(axis=2, keepdims=True) - ROUNDING
    assert audible.mean() > 0.75
    assert difference[audible].max() < 1e-3
    assert difference.mean() < 5e-5 and difference.max() < 3e-2


def raw(waveforms):
    return KaldiFbank().raw(torch.from_numpy(waveforms)).numpy()


def test_equals_kaldi_on_made_up_sounds():
    waveforms = synthetic()
    compare(raw(waveforms), kaldi(waveforms))


@pytest.mark.real
@pytest.mark.skipif(not ESC10.is_dir(), reason="no ESC-10")
def test_equals_kaldi_on_real_clips():
    waveforms = real(every=20)
    assert len(waveforms) == 20
    expected = kaldi(waveforms)
    compare(raw(waveforms), expected)
    given, wanted = (KaldiFbank().finish(torch.from_numpy(x)) for x in (raw(waveforms), expected))
    assert float((given - wanted).abs().max()) < 1e-3  # every value that the network is given


def test_equals_its_definition():
    waveforms = synthetic(1)
    compare(raw(waveforms), np.stack([exact(waveform) for waveform in waveforms]))


def test_silence_is_a_constant():
    front = KaldiFbank()
    assert front.raw(torch.zeros(2, 160000)).unique().tolist() == pytest.approx([-15.9424], abs=1e-4)
    assert front(torch.zeros(2, 160000)).unique().tolist() == pytest.approx([(-15.9424 + 7.2) / 8.86], abs=1e-4)


def test_an_offset_is_not_heard():
    waveforms = torch.from_numpy(synthetic()[:1])
    difference = (KaldiFbank().raw(waveforms + 0.25) - KaldiFbank().raw(waveforms)).abs()
    assert float(difference.mean()) < 1e-4


def test_a_short_window_is_padded_and_a_long_one_cut():
    front, waveforms = KaldiFbank(), torch.from_numpy(synthetic()[:2])
    padded = torch.nn.functional.pad(waveforms[:, :100000], (0, 60000))
    assert torch.equal(front(waveforms[:, :100000]), front(padded))
    assert torch.equal(front(torch.cat([waveforms, waveforms], dim=1)), front(waveforms))


def test_finish_pads_with_each_clips_own_minimum():
    log_mel = torch.tensor([-3.0, -5.0])[:, None, None].repeat(1, 498, 128)
    log_mel[1, 7, 9] = -11.0
    picture = KaldiFbank().finish(log_mel)
    assert picture.shape == (2, 1, 512, 128)
    assert picture[0, 0, 498:].unique().tolist() == pytest.approx([(-3 + 7.2) / 8.86])
    assert picture[1, 0, 498:].unique().tolist() == pytest.approx([(-11 + 7.2) / 8.86])
    assert picture[1, 0, 7, 8].item() == pytest.approx((-5 + 7.2) / 8.86)


def test_filters_are_triangles_that_add_up_to_one():
    filters = mel_filters()
    assert filters.shape == (513, 128) and filters.min() == 0 and filters.max() <= 1
    hz = np.arange(513) * 31.25
    inside = (hz > 100) & (hz < 15500)
    np.testing.assert_allclose(filters[inside].sum(axis=1), 1, atol=1e-4)
    assert not filters[0].any() and not filters[-1].any()
    assert (np.diff(filters.argmax(axis=0)) >= 0).all()


@pytest.mark.parametrize(
    ("length", "hop", "samples"), [(800, 320, 160000), (6, 4, 17), (5, 5, 23), (8, 2, 8), (3, 7, 40)]
)
def test_frames_are_a_sliding_window(length, hop, samples):
    waveform = torch.randn(2, samples)
    assert torch.equal(frames(waveform, length, hop), waveform.unfold(1, length, hop))


def test_less_than_a_frame_is_a_bug_of_the_caller():
    with pytest.raises(ValueError, match="less than one frame"):
        frames(torch.zeros(1, 799), 800, 320)


def test_autocast_leaves_it_in_float32():
    front, waveforms = KaldiFbank(), torch.from_numpy(synthetic())
    with warnings.catch_warnings(), torch.autocast("cpu", dtype=torch.bfloat16):
        picture = front(waveforms)
    assert picture.dtype == torch.float32 and torch.equal(picture, front(waveforms))


def test_it_carries_no_weights_and_follows_the_module():
    front = KaldiFbank()
    assert not front.state_dict() and not list(front.parameters())
    assert {buffer.dtype for buffer in front.to("meta").buffers()} == {torch.float32}


@pytest.mark.parametrize("dynamo", [True, False], ids=["new exporter", "old exporter"])
def test_exported_it_is_the_same(tmp_path, dynamo):
    session = export(KaldiFbank(), tmp_path / "fbank.onnx", dynamo)
    waveforms = synthetic()
    for n in (1, 2, 6):
        (given,) = session.run(None, {"waveform": waveforms[:n]})
        assert given.shape == (n, 1, 512, 128)
        compare(given[:, 0, :498] * 8.86 - 7.2, raw(waveforms[:n]))
