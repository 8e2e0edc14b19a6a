"""How a recording is played to a model: slower or faster, and through a band-pass filter.

Speed 0.1 is time expansion by ten, as bat workers hear their recordings: a 384 kHz file counts as one of 38.4 kHz, so
that 60 kHz call at 6 kHz, and a window of 5 s covers 0.5 s of the night. No sample is changed by it.
The filter comes first: a Butterworth filter of order 4 forwards and backwards (no delay, -6 dB at the edges) at the
recording's own rate, before anything is slowed down or resampled, so that its Hz are those of the recording.
"""

import math
from dataclasses import dataclass

import numpy as np

from . import InputError

ORDER = 4
SLOWEST, FASTEST = 1e-3, 1e3  # beyond, nobody can mean it


@dataclass(frozen=True)
class Playback:
    """speed: 1 as recorded, 0.1 ten times slower. low, high: Hz in the recording that the filter lets through; 0: open.

    Only what `parse` checked makes sense here.
    """

    speed: float = 1.0
    low: float = 0.0
    high: float = 0.0

    @classmethod
    def parse(cls, speed: float = 1.0, bandpass: str | None = None) -> "Playback":
        """From the command's words; `bandpass` is LOW,HIGH in Hz, either left empty for no limit there, or none.

        InputError: anything else.
        """
        if not SLOWEST <= speed <= FASTEST:
            raise InputError(f"`--speed` must be {SLOWEST:g} to {FASTEST:g} (0.1: ten times slower), got {speed:g}.")
        if bandpass is None or bandpass.strip() in ("", "none"):
            return cls(float(speed))
        parts = [part.strip() for part in bandpass.split(",")]
        try:
            low, high = (float(part) if part else 0.0 for part in parts)
        except ValueError:
            low, high = -1.0, -1.0
        if not (0 <= low < math.inf and 0 <= high < math.inf) or (high and low >= high) or not (low or high):
            raise InputError(
                f"`--bandpass` must be LOW,HIGH in Hz, as 1000,12000 (or `1000,` for no upper limit), got '{bandpass}'."
            )
        return cls(float(speed), low, high)

    @property
    def bandpass(self) -> str:
        """The filter in the command's words: `none` or `LOW,HIGH`."""
        if not (self.low or self.high):
            return "none"
        return ",".join(f"{edge:g}" if edge else "" for edge in (self.low, self.high))

    def rate(self, sample_rate: int) -> float:
        """Samples that the model gets for each second of the recording, where it takes `sample_rate` a second."""
        return sample_rate / self.speed

    def filtered(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """float32 [samples] at the recording's `rate`, through the filter. An edge above what it can hold is open.

        InputError: the recording holds nothing above `low`.
        """
        top = 0.499 * rate
        high = self.high if 0 < self.high < top else 0.0
        if self.low >= top:
            raise InputError(f"sampled at {rate:,} Hz, so nothing is left above {self.low:g} Hz (`--bandpass`)")
        if not (self.low or high) or len(samples) < 2:
            return samples
        from scipy import signal

        kind = "bandpass" if self.low and high else "highpass" if self.low else "lowpass"
        edges = (self.low, high) if self.low and high else self.low or high
        sos = signal.butter(ORDER, edges, kind, fs=rate, output="sos")
        padded = min(len(samples) - 1, round(rate / max(self.low, 100.0)) * 3)
        return signal.sosfiltfilt(sos, samples, padlen=padded).astype(np.float32)


AS_RECORDED = Playback()
