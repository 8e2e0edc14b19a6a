"""BirdSet's front end for EfficientNet-B1: a dB mel spectrogram inside the network's graph.

Source: Rauch et al. 2024 (arXiv 2403.10380) and its published EfficientNet preprocessing: power spectrogram n_fft
2048, hop 256, periodic Hann, centred with reflection; 256 mels on the HTK scale from 0 to 16 kHz, peak 1, no
area normalisation (torchaudio's defaults at 32 kHz); dB re 1 with amin 1e-10 and top_db 80; (x + 4.268) / 4.569.

One thing differs. There, the maximum that top_db hangs from was taken over the whole batch, so a clip's input depended
on its neighbours. Here it is each clip's own: a clip gives the same input in any batch, that of batch size 1 there.

The same with other numbers is what SED members hear: 128 mels every 10 ms, decibels centred by constants of our own.
"""

import numpy as np
import torch
from torch import Tensor, nn

from ...features.windows import triangles
from ..models.network import Frontend, float32
from .spectrum import MelPower, frames

SAMPLE_RATE = 32000
N_FFT, HOP = 2048, 256  # samples
MELS = 256
AMIN, TOP_DB = 1e-10, 80.0
MEAN, SCALE = -4.268, 4.569


def mel_filters(mels: int = MELS) -> np.ndarray:
    """float64 [1025, mels], straight in Hz. The lowest of 256 are narrower than a bin and some empty, as published."""
    top = 2595.0 * np.log10(1.0 + SAMPLE_RATE / 2 / 700.0)  # HTK's mel of the Nyquist frequency
    edges = 700.0 * (10.0 ** (np.linspace(0.0, top, mels + 2) / 2595.0) - 1.0)  # Hz
    return triangles(np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT, edges)


class BirdsetMelSpec(Frontend):
    """float32 [N, S] at 32 kHz -> [N, 1, mels, T] (mel, time), T = 1 + S // hop (626 for 5 s), normalised.

    raw: dB mel spectrogram [N, T, mels] (time, mel), nothing more than 80 dB under its clip's maximum. finish:
    (x - mean) / scale with mel first. Both in float32 under autocast too. The defaults are BirdSet's.
    """

    def __init__(self, mels: int = MELS, hop: int = HOP, mean: float = MEAN, scale: float = SCALE):
        super().__init__()
        self.hop, self.mean, self.scale = hop, mean, scale
        window = np.hanning(N_FFT + 1)[:-1]  # periodic
        self.power = MelPower(window, N_FFT, mel_filters(mels))

    def raw(self, waveform: Tensor) -> Tensor:
        with float32(waveform.device):
            centred = nn.functional.pad(waveform.float().unsqueeze(1), (N_FFT // 2, N_FFT // 2), mode="reflect")
            power = self.power(frames(centred.squeeze(1), N_FFT, self.hop))
            decibel = 10.0 * torch.log10(torch.clamp(power, min=AMIN))
            return torch.maximum(decibel, decibel.amax(dim=(1, 2), keepdim=True) - TOP_DB)

    def finish(self, raw: Tensor) -> Tensor:
        with float32(raw.device):
            return ((raw.float() - self.mean) / self.scale).transpose(1, 2).unsqueeze(1)


def sed_mel_spec() -> BirdsetMelSpec:
    """float32 [N, S] -> [N, 1, 128, T], T = 1 + S // 320 (501 for 5 s): silence, -100 dB, is -3, full scale about 3."""
    return BirdsetMelSpec(mels=128, hop=320, mean=-40.0, scale=20.0)
