"""Every probability and range of the augmentations, in one frozen record with the published values as defaults.

Source: Rauch et al. 2025 (arXiv 2504.12880), in this order. The published ensemble for BirdCLEF 2026 of Bird-MAE
and EfficientNet-B1 has these values where it states any. Choosing windows by energy is no augmentation of a batch:
that is `features.windows.Selection("energy", n)`.
"""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Augment:
    """Settings of `waveform` and `spectrogram`, per example unless it says otherwise.

    `*_p` are probabilities; pairs are (lowest, highest) of a uniform draw; SNR is signal over what is added, in dB.
    """

    remove_mean: bool = True  # the window's mean is subtracted first
    roll_p: float = 1.0  # cyclic shift by a uniform offset
    roll_gain: int = 10  # amplitude factor 0.5 + Beta(a, a) with this a, beside the roll; 0 = none
    mixup_p: float = 0.9  # other examples of the batch are added; labels are the union
    mixup_partners: tuple[int, int] = (1, 3)
    mixup_snr_db: tuple[float, float] = (2.0, 30.0)
    background_p: float = 0.5  # a background clip is added; needs a pool
    background_snr_db: tuple[float, float] = (3.0, 30.0)
    noise_p: float = 0.2  # coloured noise
    noise_snr_db: tuple[float, float] = (3.0, 30.0)
    noise_slope: tuple[float, float] = (-2.0, 2.0)  # 0 white, 1: -6 dB an octave; see `tilt`
    gain_p: float = 0.2
    gain_db: tuple[float, float] = (-18.0, 6.0)
    nocall_p: float = 0.075  # replaced by a clip without birds, no labels; needs such clips
    frequency_p: float = 0.3  # a band of mels is masked
    frequency_mask: int = 50  # widest band, mels (published for 128)
    time_p: float = 0.3  # a stretch of frames is masked
    time_mask: int = 100  # longest stretch, frames (published for 498)
    mask_value: float = 0.0  # written into the raw log-mel, before padding and normalisation

    @classmethod
    def none(cls) -> "Augment":
        """Nothing happens: every probability 0, the mean stays."""
        off: dict[str, Any] = {field.name: 0.0 for field in fields(cls) if field.name.endswith("_p")}
        return cls(**off, remove_mean=False, roll_gain=0)

    def idle(self, background: bool, nocall: bool) -> tuple[str, ...]:
        """What these settings ask for that cannot happen, as sentences for the user, given which pools there are."""
        gone = []
        if self.background_p > 0 and not background:
            gone.append(f"Background noise (p {self.background_p:g}) is off: there are no background clips.")
        if self.nocall_p > 0 and not nocall:
            gone.append(f"No-call mixing (p {self.nocall_p:g}) is off: there are no clips without birds.")
        return tuple(gone)
