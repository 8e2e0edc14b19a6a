"""`--frontend`: what turns a waveform into the spectrogram that a model takes, as text and as a record.

    mel:n_fft=2048,hop=512,n_mels=128,fmin=20,fmax=16000,power=2,db      everything said
    ast                                                                  a published convention, by name
    ast:n_mels=64,mean=-6.6                                              the same with changes

`FrontEnd.text` says everything and reads back as the same record, so that a store's key does not depend on what a
preset's name will mean one day. The presets stand at the end; every value is that of the source named
beside it. The ONNX nodes are in `nodes`.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

from ....features import InputError

WINDOWS = ("hann", "hann-symmetric", "hamming", "povey", "rectangular")
MEL_SCALES = ("slaney", "htk", "kaldi")
CHOICES = {
    "kind": ("mel", "stft"),
    "window": WINDOWS,
    "pad": ("reflect", "zero", "none"),
    "scale": MEL_SCALES,
    "norm": ("slaney", "none"),
    "log": ("none", "db", "ln"),
    "spread": ("none", "minmax", "standard", "pcen"),
    "layout": ("mel-time", "time-mel"),
    "fit": ("exact", "zeros", "resize"),
}
FLAGS: dict[str, tuple[str, Any]] = {word: ("log", word) for word in ("db", "ln")}
FLAGS |= {word: ("spread", word) for word in CHOICES["spread"][1:]}
FLAGS |= {word: (word, True) for word in ("ref_max", "denoise", "remove_dc", "flip", "drop_last")}
FLAGS |= {"resize": ("fit", "resize")}
ALSO = {"hop_length": "hop", "win_length": "win", "f_min": "fmin", "f_max": "fmax", "sr": "rate"}


@dataclass(frozen=True)
class FrontEnd:
    """One front end. Lengths in samples, frequencies in Hz.

    kind: mel, or stft without a filter bank (the bins from fmin to fmax). rate: 0 where it has to be told.
    n_fft, win, hop: of the Fourier transform, of the window in it (0: n_fft), between frames.
    n_mels, fmin, fmax (0: half the rate), scale, norm: the filter bank. power: 1 magnitude, 2 power.
    window: of each frame. pad: frames centred on their time (reflect, zero), or only those that fit (none).
    drop_last: without the last of the centred frames, as Whisper.
    gain: what samples are multiplied by. remove_dc, preemphasis: of each frame, as Kaldi does.
    log: none, db (10 log10 of a power, 20 of a magnitude) or ln; amin: floor in front of it; offset: added there;
    top_db: how far below the window's maximum values are cut (0: not). ref_max: that maximum is 0 dB.
    spread: minmax or standard, of each window, or pcen (librosa's defaults; pcen_frames is its time constant, 0 for
    0.4 s) in place of a logarithm. denoise: each row's mean over time is
    taken off, and what falls below 0 is 0. mean, std: (x - mean) / std comes last.
    flip: high frequencies first. layout: which axis is first in the model's input, where its sizes do not say.
    fit: what to do when that input is wider than the window's frames: nothing (exact), zeros behind the logarithm, or
    resize (bilinear).
    """

    kind: str = "mel"
    rate: int = 0
    n_fft: int = 2048
    win: int = 0
    hop: int = 512
    n_mels: int = 128
    fmin: float = 0.0
    fmax: float = 0.0
    power: int = 2
    window: str = "hann"
    pad: str = "reflect"
    drop_last: bool = False
    scale: str = "slaney"
    norm: str = "slaney"
    gain: float = 1.0
    remove_dc: bool = False
    preemphasis: float = 0.0
    log: str = "none"
    amin: float = 1e-10
    offset: float = 0.0
    top_db: float = 0.0
    ref_max: bool = False
    spread: str = "none"
    pcen_frames: float = 0.0
    denoise: bool = False
    mean: float = 0.0
    std: float = 1.0
    flip: bool = False
    layout: str = "mel-time"
    fit: str = "exact"

    @classmethod
    def parse(cls, text: "str | FrontEnd", rate: int | None = None) -> "FrontEnd":
        """From `--frontend`; `rate` is that of `--sample-rate`, which wins.

        InputError: an unknown name, key or value, one that contradicts another, or no rate.
        """
        if isinstance(text, FrontEnd):
            return replace(text, rate=rate or text.rate).checked()
        name, _, rest = str(text).strip().partition(":")
        if name not in PRESETS and name not in CHOICES["kind"]:
            raise InputError(
                f"`--frontend` must begin with one of {', '.join((*CHOICES['kind'], *PRESETS))}, got {text!r}."
            )
        base = PRESETS.get(name) or cls(kind=name)
        given = dict(_pair(part, text) for part in filter(None, (part.strip() for part in rest.split(","))))
        made = replace(base, **given)
        return replace(made, rate=rate or made.rate).checked()

    def checked(self) -> "FrontEnd":
        """Itself, with `win` and `fmax` filled in. InputError: values that make no spectrogram."""
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise _refused(name, getattr(self, name), f"one of {', '.join(allowed)}")
        if self.rate < 1:
            raise InputError("`--frontend` says no rate: give --sample-rate.")
        for name in ("n_fft", "hop", "n_mels"):
            if getattr(self, name) < 1:
                raise _refused(name, getattr(self, name), "at least 1")
        win, fmax = self.win or self.n_fft, self.fmax or self.rate / 2
        if win > self.n_fft:
            raise _refused("win", win, f"at most n_fft, {self.n_fft}")
        if not 0 <= self.fmin < fmax <= self.rate / 2:
            raise InputError(
                f"`--frontend` fmin and fmax must lie between 0 and half the rate, {self.rate / 2:g} Hz, "
                f"got {self.fmin:g} and {fmax:g}."
            )
        if self.tail < 0:
            raise _refused("drop_last", "true", "false where frames are not centred or `hop` is above half of `n_fft`")
        if self.power not in (1, 2):
            raise _refused("power", self.power, "1 or 2")
        if self.std <= 0 or self.amin <= 0:
            raise _refused("std and amin", f"{self.std:g} and {self.amin:g}", "above 0")
        return replace(self, win=win, fmax=float(fmax))

    @property
    def text(self) -> str:
        """Everything that differs from the defaults, as `parse` reads it."""
        said = [
            f"{field.name}={_written(getattr(self, field.name))}"
            for field in fields(self)
            if field.name != "kind" and getattr(self, field.name) != field.default
        ]
        return f"{self.kind}:{','.join(said)}"

    @property
    def lead(self) -> int:
        """Samples that are added in front of the window."""
        return 0 if self.pad == "none" else self.n_fft // 2

    @property
    def tail(self) -> int:
        """Samples that are added behind it."""
        return self.lead - self.hop if self.drop_last else self.lead

    @property
    def span(self) -> int:
        """Samples of one frame: with padding the window lies in the middle of n_fft, without it stands alone."""
        return self.win if self.pad == "none" else self.n_fft

    def frames(self, samples: int) -> int:
        """Frames of a window of `samples`."""
        return max(0, 1 + (samples + self.lead + self.tail - self.span) // self.hop)

    def samples(self, frames: int) -> int:
        """The shortest window of so many frames."""
        return (frames - 1) * self.hop + self.span - self.lead - self.tail

    @property
    def bins(self) -> range:
        """The bins of the Fourier transform from fmin up to fmax, both included (kind stft)."""
        step = self.rate / self.n_fft
        return range(round(self.fmin / step), min(round(self.fmax / step), self.n_fft // 2) + 1)

    @property
    def height(self) -> int:
        """Rows of the spectrogram."""
        return self.n_mels if self.kind == "mel" else len(self.bins)


def _pair(part: str, text: str) -> tuple[str, Any]:
    key, equals, value = part.partition("=")
    key = ALSO.get(key, key)
    if not equals and key in FLAGS:
        return FLAGS[key]
    types: dict[str, Any] = {field.name: type(field.default) for field in fields(FrontEnd) if field.name != "kind"}
    if not equals or key not in types:
        raise InputError(
            f"`--frontend {text}`: {part!r} is not known; known are {', '.join(dict.fromkeys((*FLAGS, *types)))}."
        )
    try:
        if types[key] is bool:
            return key, {"true": True, "false": False, "1": True, "0": False}[value.lower()]
        return key, types[key](value)
    except (ValueError, KeyError):
        raise _refused(key, repr(value), "true or false" if types[key] is bool else "a number") from None


def _written(value: object) -> str:
    return repr(value).lower() if isinstance(value, bool | float) else str(value)


def _refused(name: str, found: object, wanted: str) -> InputError:
    return InputError(f"`--frontend` {name} must be {wanted}, got {found}.")


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
