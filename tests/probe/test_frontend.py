"""`--frontend`: spectrograms as ONNX nodes equal those of librosa, Kaldi and transformers."""

import kaldi_native_fbank
import librosa
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from birdprobe.features import InputError
from birdprobe.probe.models.frontends.frontend import PRESETS, FrontEnd
from birdprobe.probe.models.frontends.opening import with_frontend
from birdprobe.probe.runtime.sessions import open_session
from tests.frontends import close, librosa_mel, synthetic

CLIPS = synthetic()[:, :48_000]


def identity(shape: list, opset: int = 17, element: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """A model that gives back the spectrogram that it takes."""
    infos = [helper.make_tensor_value_info(name, element, shape) for name in ("spectrogram", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["spectrogram"], ["y"])], "same", infos[:1], infos[1:])
    ir = {9: 4, 13: 7, 17: 8, 18: 8}[opset]
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def spectrogram(front: str, shape: list, clips=CLIPS, rate=None, window_s=1.5, opset=17, element=TensorProto.FLOAT):
    parsed = FrontEnd.parse(front, rate)
    clips = clips[:, : round(window_s * parsed.rate)]
    model = with_frontend(identity(shape, opset, element), parsed, window_s, "m.onnx")
    onnx.checker.check_model(model)
    return open_session(model, 1).run(None, {"waveform": clips})[0]


def test_librosa():
    wanted = librosa_mel(CLIPS[:, : round(1.5 * 22_050)], 22_050)
    assert close(spectrogram("librosa", ["N", 128, None]), wanted) < 0.05  # dB


@pytest.mark.parametrize("opset", [9, 13, 18])
def test_any_opset_and_every_key_of_mel(opset):
    given = {"n_fft": 1024, "hop_length": 320, "n_mels": 40, "fmin": 50, "fmax": 14_000}
    wanted = librosa_mel(CLIPS, 32_000, db=False, win_length=800, center=True, pad_mode="reflect", **given)
    found = spectrogram(
        "mel:n_fft=1024,win=800,hop_length=320,n_mels=40,f_min=50,fmax=14000", ["N", 40, None], rate=32_000, opset=opset
    )
    close(found, wanted)


def test_magnitudes_htk_no_norm_and_logarithm():
    given = {"n_fft": 512, "hop_length": 128, "n_mels": 32, "power": 1.0, "htk": True, "norm": None, "center": False}
    wanted = np.log(librosa_mel(CLIPS, 32_000, db=False, **given) + 1e-3)
    front = "mel:n_fft=512,hop=128,n_mels=32,power=1,scale=htk,norm=none,pad=none,ln,offset=0.001"
    close(spectrogram(front, ["N", 32, None], rate=32_000), wanted)


def test_torchaudio_is_htk_reflected_and_in_decibel():
    given = {"n_fft": 400, "hop_length": 200, "n_mels": 128, "htk": True, "norm": None, "pad_mode": "reflect"}
    clips = CLIPS[:, :24_000]
    with pytest.warns(UserWarning, match="Empty filters"):
        powers = librosa_mel(clips, 16_000, db=False, **given)
    close(spectrogram("torchaudio", ["N", 128, None]), 10 * np.log10(np.maximum(powers, 1e-10)))


def test_kaldi():
    wanted = []
    for clip in CLIPS[:, :24_000]:
        options = kaldi_native_fbank.FbankOptions()
        options.frame_opts.dither = 0
        options.mel_opts.num_bins = 23
        fbank = kaldi_native_fbank.OnlineFbank(options)
        fbank.accept_waveform(16_000, clip.tolist())
        wanted.append([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])
    close(spectrogram("kaldi", ["N", None, 23]), np.array(wanted))


def test_ast_is_that_of_transformers_short_clips_filled_with_zeros():
    transformers = pytest.importorskip("transformers")
    with pytest.warns(UserWarning, match="all zero values"):  # as published
        extractor = transformers.ASTFeatureExtractor(max_length=200)
    clips = CLIPS[:, :24_000]
    wanted = extractor(list(clips), sampling_rate=16_000, return_tensors="np")["input_values"]
    close(spectrogram("ast", ["N", 200, 128]), wanted)


def test_whisper_is_that_of_transformers():
    transformers = pytest.importorskip("transformers")
    extractor = transformers.WhisperFeatureExtractor(chunk_length=1)
    clips = CLIPS[:, :16_000]
    wanted = extractor(list(clips), sampling_rate=16_000, return_tensors="np")["input_features"]
    close(spectrogram("whisper", ["N", 80, 100], clips, window_s=1.0), wanted)


def test_beats_is_kaldi_times_its_gain():
    found = spectrogram("beats", ["N", 1, None, 128])
    plain = spectrogram("kaldi:n_mels=128,gain=32768", ["N", None, 128])
    close(found[:, 0], (plain - 15.41663) / (2 * 6.55582))


def test_panns_has_time_first():
    given = {"n_fft": 1024, "hop_length": 320, "n_mels": 64, "fmin": 50, "fmax": 14_000, "pad_mode": "reflect"}
    wanted = librosa.power_to_db(librosa_mel(CLIPS, 32_000, db=False, **given), top_db=None)
    close(spectrogram("panns", ["N", 1, None, 64])[:, 0], wanted.transpose(0, 2, 1))


@pytest.mark.parametrize("channels_last", [False, True])
def test_birdclef_images_are_stretched_and_repeated(channels_last):
    given = {"n_fft": 2048, "hop_length": 512, "n_mels": 128, "fmin": 20, "fmax": 16_000}
    decibel = librosa_mel(CLIPS, 32_000, **given)
    low, high = decibel.min((1, 2), keepdims=True), decibel.max((1, 2), keepdims=True)
    wanted = (decibel - low) / (high - low)
    found = spectrogram("timm-birdclef", ["N", 128, None, 3] if channels_last else ["N", 3, 128, None])
    for channel in range(3):
        close(found[..., channel] if channels_last else found[:, channel], wanted)


def test_resizing_is_that_of_torch():
    torch = pytest.importorskip("torch")
    plain = spectrogram("timm-birdclef", ["N", 1, 128, None])
    found = spectrogram("timm-birdclef:resize", ["N", 3, 96, 60])
    wanted = torch.nn.functional.interpolate(torch.from_numpy(plain), (96, 60), mode="bilinear").numpy()
    close(found[:, 1:2], wanted)


def test_pcen_is_that_of_librosa_and_batdetect2_flips_and_denoises():
    clips = CLIPS[:2]
    found = spectrogram("batdetect2", ["N", 1, 220, None], clips, window_s=48_000 / 256_000)[:, 0]
    for clip, image in zip(clips, found):
        power = np.abs(librosa.stft(clip.astype(np.float64), n_fft=512, hop_length=128, center=False))
        wanted = librosa.pcen(np.flipud(power[21:241]) * 2.0**31, sr=25_600)
        wanted = np.maximum(wanted - wanted.mean(1, keepdims=True), 0)
        close(image, wanted)


def test_half_precision_models_get_half_precision():
    found = spectrogram("timm-birdclef", ["N", 1, 128, None], element=TensorProto.FLOAT16)
    assert found.dtype == np.float16
    close(found.astype(np.float64), spectrogram("timm-birdclef", ["N", 1, 128, None]), 1e-3)


@pytest.mark.parametrize("name", PRESETS)
def test_the_text_says_everything(name):
    front = FrontEnd.parse(f"{name}:hop=100,ref_max", rate=250_000)
    assert FrontEnd.parse(front.text) == front and front.hop == 100 and front.ref_max and front.rate == 250_000


@pytest.mark.parametrize(
    "text, said",
    [
        ("nonsense", "must begin with one of mel, stft, librosa"),
        ("mel:n_mells=3,rate=8000", "'n_mells=3' is not known"),
        ("mel:n_fft=x,rate=8000", "n_fft must be a number, got 'x'"),
        ("mel:n_fft=256", "says no rate: give --sample-rate"),
        ("mel:rate=8000,fmax=9000", "fmin and fmax must lie between 0 and half the rate, 4000 Hz"),
        ("mel:rate=8000,window=bartlett", "window must be one of hann"),
        ("mel:rate=8000,power=3", "power must be 1 or 2"),
        ("mel:rate=8000,hop=0", "hop must be at least 1, got 0"),
    ],
)
def test_bad_front_ends_are_named(text, said):
    with pytest.raises(InputError, match=said):
        FrontEnd.parse(text)
