"""Published front ends by name. Every value is that of the source named beside it."""

from .frontend import FrontEnd

_KALDI = FrontEnd(
    rate=16_000, n_fft=512, win=400, hop=160, n_mels=23, fmin=20.0, window="povey", pad="none", scale="kaldi",
    norm="none", remove_dc=True, preemphasis=0.97, log="ln", amin=1.1920928955078125e-07, layout="time-mel",
)  # fmt: skip

PRESETS: dict[str, FrontEnd] = {
    # librosa 0.11: feature.melspectrogram and power_to_db, their defaults (top_db 80 below the window's maximum).
    "librosa": FrontEnd(rate=22_050, pad="zero", log="db", top_db=80.0),
    # torchaudio 2: transforms.MelSpectrogram and AmplitudeToDB, their defaults.
    "torchaudio": FrontEnd(
        rate=16_000, n_fft=400, hop=200, scale="htk", norm="none", log="db"
    ),
    # Kaldi's compute-fbank-feats, its defaults but for dither, which is off; samples from -1 to 1, as torchaudio and
    # kaldi-native-fbank are usually fed (gain=32768: as Kaldi reads 16-bit files).
    "kaldi": _KALDI,
    # Gong et al. 2021 (arXiv 2104.01778), as in transformers' ASTFeatureExtractor: Kaldi's with a Hann window and 128
    # bands, short clips filled with zeros, then (x + 4.2677393) / (2 * 4.5689974).
    "ast": FrontEnd(
        **{**vars(_KALDI), "n_mels": 128, "window": "hann-symmetric", "mean": -4.2677393, "std": 2 * 4.5689974,
           "fit": "zeros"}
    ),
    # Chen et al. 2023 (arXiv 2212.09058) and the published BEATs.py: Kaldi's on samples times 2^15, 128 bands, then
    # (x - 15.41663) / (2 * 6.55582).
    "beats": FrontEnd(**{**vars(_KALDI), "n_mels": 128, "gain": 32_768.0, "mean": 15.41663, "std": 2 * 6.55582}),
    # Radford et al. 2022 (arXiv 2212.04356) and the published audio.py: log10 at most 8 below the maximum, then
    # (x + 4) / 4, here in dB; no last frame. 80 bands (large-v3: n_mels=128).
    "whisper": FrontEnd(
        rate=16_000, n_fft=400, hop=160, n_mels=80, drop_last=True, log="db", top_db=80.0, mean=-40.0, std=40.0
    ),
    # Kong et al. 2020 (arXiv 1912.10211) and its published code: torchlibrosa's Spectrogram and LogmelFilterBank.
    "panns": FrontEnd(
        rate=32_000, n_fft=1024, hop=320, n_mels=64, fmin=50.0, fmax=14_000.0, log="db", layout="time-mel"
    ),
    # The BirdCLEF notebooks' usual image for a timm CNN: librosa's mel spectrogram at 32 kHz, dB at most 80 below the
    # window's maximum, stretched to 0..1 (their mono_to_color), the same in every channel. Notebooks differ: check.
    "timm-birdclef": FrontEnd(
        rate=32_000, fmin=20.0, fmax=16_000.0, pad="zero", log="db", top_db=80.0, spread="minmax"
    ),
    # Mac Aodha et al. 2022 (BatDetect2) and its published audio_utils.py: Hann windows of 512 samples at 256 kHz, the
    # bins above 10 up to 120 kHz, high ones first, times 2^31, librosa's PCEN at a tenth of the rate, each row's mean
    # taken off. The model's input is half as wide as there are frames: give the --window.
    "batdetect2": FrontEnd(
        kind="stft", rate=256_000, n_fft=512, hop=128, fmin=10_500.0, fmax=120_000.0, power=1, pad="none", flip=True,
        gain=2.0**31, spread="pcen", pcen_frames=20.0, denoise=True, fit="resize",
    ),
}  # fmt: skip
