"""Frames, power spectra and mel triangles: what the front ends in fbank.py and melspec.py share.

While training and predicting, the spectrum is torch's FFT: full float32 whatever TF32's switch says. While a
model is exported to ONNX it is two small matrix products with twiddle factors between them (Cooley and Tukey 1965):
a tenth of the multiplications of one product with the DFT matrix, and no DFT operator. Both are tested to be equal.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn


def frames(waveform: Tensor, length: int, hop: int) -> Tensor:
    """Overlapping frames [N, T, length] of a waveform [N, S], T = 1 + (S - length) // hop; a shorter rest is dropped.

    Built from reshapes and slices of blocks of gcd(length, hop) samples, so an exported graph has static shapes and
    no gather. S must be at least length (ValueError: the front ends pad).
    """
    count = 1 + (waveform.shape[1] - length) // hop
    if count < 1:
        raise ValueError(f"{waveform.shape[1]} samples are less than one frame of {length}")
    block = math.gcd(length, hop)
    blocks = ((count - 1) * hop + length) // block
    parts = waveform[:, : blocks * block].reshape(-1, blocks, block)
    step, per_frame = hop // block, length // block
    last = (count - 1) * step + 1
    return torch.cat([parts[:, i : i + last : step] for i in range(per_frame)], dim=2)


class MelPower(nn.Module):
    """Frames [N, T, L] -> mel power [N, T, mels]: window [L], zero-pad to n_fft, |DFT|^2, filters [n_fft/2 + 1, mels].

    n_fft is a power of 2. Buffers are computed in float64, kept in float32, and are no part of a checkpoint.
    """

    window: Tensor
    filters: Tensor
    over_a: Tensor
    over_b: Tensor
    twiddle_real: Tensor
    twiddle_imaginary: Tensor

    def __init__(self, window: np.ndarray, n_fft: int, filters: np.ndarray):
        super().__init__()
        self.n_fft = n_fft
        self.rows = 2 ** (int(math.log2(n_fft)) // 2)  # a frame as a matrix: rows x columns = n_fft
        self.columns = n_fft // self.rows
        for name, values in {"window": window, "filters": filters, **self._factors()}.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def _factors(self) -> dict[str, np.ndarray]:
        """With sample n = columns * a + b and bin k = k1 + rows * k2, the DFT is over a, a twiddle, then over b."""
        k1, k2 = np.arange(self.rows), np.arange(self.columns // 2 + 1)  # one k2 more than half, for the Nyquist bin
        a, b = np.arange(self.rows), np.arange(self.columns)
        over_a = np.exp(-2j * np.pi * np.outer(a, k1) / self.rows)
        twiddle = np.exp(-2j * np.pi * np.outer(b, k1) / self.n_fft)
        over_b = np.exp(-2j * np.pi * np.outer(b, k2) / self.columns)
        return {
            "over_a": np.concatenate([over_a.real, over_a.imag], axis=1),  # [rows, 2 k1]
            "twiddle_real": twiddle.real,  # [columns, k1]
            "twiddle_imaginary": twiddle.imag,
            "over_b": np.block([[over_b.real, over_b.imag], [-over_b.imag, over_b.real]]),  # [2 columns, 2 k2]
        }

    def _by_products(self, windowed: Tensor) -> Tensor:
        """Power [N, T, n_fft/2 + 1] of frames [N, T, n_fft]."""
        _, count, n_fft = windowed.shape
        matrix = windowed.reshape(-1, count, self.rows, self.columns).transpose(2, 3)  # [N, T, b, a]
        real, imaginary = (matrix @ self.over_a).chunk(2, dim=3)  # [N, T, b, k1]
        turned = torch.cat(
            [
                real * self.twiddle_real - imaginary * self.twiddle_imaginary,
                real * self.twiddle_imaginary + imaginary * self.twiddle_real,
            ],
            dim=2,
        )
        real, imaginary = (turned.transpose(2, 3) @ self.over_b).chunk(2, dim=3)  # [N, T, k1, k2]
        power = (real * real + imaginary * imaginary).transpose(2, 3)  # bin k1 + rows * k2, so k2 first
        return power.reshape(-1, count, self.rows * (self.columns // 2 + 1))[..., : n_fft // 2 + 1]

    def forward(self, frames: Tensor) -> Tensor:
        windowed = frames * self.window
        if torch.onnx.is_in_onnx_export():
            padded = nn.functional.pad(windowed, (0, self.n_fft - windowed.shape[2]))
            return self._by_products(padded) @ self.filters
        spectrum = torch.fft.rfft(windowed, n=self.n_fft)
        return (spectrum.real.square() + spectrum.imag.square()) @ self.filters
