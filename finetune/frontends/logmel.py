"""From waveform to log-mel, as modules that live inside the exported graph.

`PerchLogMel` is the front end of Perch v2 (van Merriënboer et al. 2025) as its published ONNX file has it: frames of
640 samples (20 ms at 32 kHz) every 320, a symmetric Hann window divided by its sum, a DFT of 1,024 points, magnitude,
128 triangular filters equally spaced in mel = 1127 ln(1 + f / 700) from 60 Hz to 16 kHz, and 0.1 ln(max(mel, 1e-5)).
"""

import numpy as np
import torch
from torch import Tensor, nn

from ...features.windows import triangles

SAMPLE_RATE = 32000
WINDOW_SAMPLES = 160000  # 5.0 s, the backbone's input
FRAME, HOP, N_FFT = 640, 320, 1024  # samples
PAD = 160  # zeros on each side
MELS, LOW_HZ, HIGH_HZ = 128, 60.0, 16000.0
FLOOR, SCALE = 1e-5, 0.1
FRAMES = (WINDOW_SAMPLES + 2 * PAD - FRAME) // HOP + 1  # 500


def mel_filters() -> np.ndarray:
    """Triangles of peak 1 in mel, float64 [N_FFT // 2 + 1, MELS]; the DC bin weighs nothing."""
    hz = np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    mel = 1127.0 * np.log1p(hz / 700.0)
    edges = np.linspace(1127.0 * np.log1p(LOW_HZ / 700.0), 1127.0 * np.log1p(HIGH_HZ / 700.0), MELS + 2)
    filters = triangles(mel, edges)
    filters[0] = 0.0
    return filters


class PerchLogMel(nn.Module):
    """float32 [N, 160000] -> log-mel float32 [N, 500, 128] (time, mel).

    Framing, window and DFT are one strided convolution (as in the published file): in ONNX Runtime on a CPU as fast as
    a matrix product of reshaped frames, and with static shapes; the STFT operator is far slower. Bins of no mel
    weight are left out.
    """

    dft: Tensor
    filters: Tensor

    def __init__(self):
        super().__init__()
        filters = mel_filters()
        used = np.flatnonzero(filters.any(axis=1))
        window = np.hanning(FRAME)
        angle = 2 * np.pi * np.outer(np.arange(FRAME), used) / N_FFT
        dft = (
            np.concatenate([np.cos(angle), -np.sin(angle)], axis=1) * (window / window.sum())[:, None]
        )  # [640, 2 bins]
        self.bins = len(used)
        self.register_buffer("dft", torch.tensor(dft.T[:, None], dtype=torch.float32), persistent=False)
        self.register_buffer("filters", torch.tensor(filters[used], dtype=torch.float32), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        spectrum = nn.functional.conv1d(inputs.unsqueeze(1), self.dft, stride=HOP, padding=PAD)  # [N, 2 bins, 500]
        real, imaginary = spectrum[:, : self.bins], spectrum[:, self.bins :]
        magnitude = torch.sqrt(real * real + imaginary * imaginary).transpose(1, 2)
        return SCALE * torch.log(torch.clamp(magnitude @ self.filters, min=FLOOR))
