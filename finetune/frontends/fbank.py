"""Bird-MAE's front end: Kaldi filter banks of 5 s, inside the network's graph.

Source: Rauch et al. 2025 (arXiv 2504.12880) and its published feature extractor, which calls Kaldi's fbank with
htk_compat, window_type "hanning", 128 mels, a frame shift of 10 ms, no dither, no energy; defaults elsewhere (Povey et
al. 2011, and torchaudio.compliance.kaldi). Tested against kaldi-native-fbank.
"""

import numpy as np
import torch
from torch import Tensor, nn

from ...features.windows import triangles
from ..models.network import Frontend, float32
from .spectrum import MelPower, frames

SAMPLE_RATE = 32000
WINDOW_SAMPLES = 160000  # 5.0 s
FRAME, HOP, N_FFT = 800, 320, 1024  # samples: 25 ms every 10 ms, frames inside the window only (snip_edges)
MELS, LOW_HZ, HIGH_HZ = 128, 20.0, 16000.0
PREEMPHASIS = 0.97
FLOOR = 1.1920928955078125e-07  # float32 epsilon, as in Kaldi: silence is ln(FLOOR) = -15.94
FRAMES = 1 + (WINDOW_SAMPLES - FRAME) // HOP  # 498
INPUT_FRAMES = 512  # what the network takes: 32 patches of 16
MEAN, SCALE = -7.2, 8.86  # (x - MEAN) / SCALE, as published


def mel(hz: np.ndarray | float) -> np.ndarray:
    """Kaldi's mel scale, float32."""
    return np.float32(1127.0) * np.log(np.float32(1.0) + np.float32(hz) / np.float32(700.0))


def mel_filters() -> np.ndarray:
    """float32 [513, 128], straight in mel. The Nyquist bin weighs nothing, as in Kaldi.

    In float32 as Kaldi computes them, and so as the network was trained: a bin on a triangle's edge has a weight that
    is mostly rounding, and where that bin is loud the log-mel moves by up to 3e-3.
    """
    low, high = mel(LOW_HZ), mel(HIGH_HZ)
    edges = low + np.arange(MELS + 2, dtype=np.float32) * ((high - low) / np.float32(MELS + 1))
    filters = triangles(mel(np.arange(N_FFT // 2 + 1) * (SAMPLE_RATE / N_FFT)), edges)
    filters[-1] = 0.0
    return filters


class KaldiFbank(Frontend):
    """float32 [N, S] at 32 kHz -> [N, 1, 512, 128] (time, mel), normalised: Bird-MAE's input.

    raw: cut or zero-padded on the right to 5 s, less its mean, log-mel [N, 498, 128]. finish: padded to 512 frames
    with each clip's minimum, (x + 7.2) / 8.86. Both in float32 under autocast too.
    """

    def __init__(self):
        super().__init__()
        self.power = MelPower(np.hanning(FRAME), N_FFT, mel_filters())  # np.hanning is symmetric, like Kaldi's

    def raw(self, waveform: Tensor) -> Tensor:
        with float32(waveform.device):
            waveform = waveform.float()[:, :WINDOW_SAMPLES]
            if waveform.shape[1] < WINDOW_SAMPLES:
                waveform = nn.functional.pad(waveform, (0, WINDOW_SAMPLES - waveform.shape[1]))
            waveform = waveform - waveform.mean(dim=1, keepdim=True)
            frame = frames(waveform, FRAME, HOP)  # [N, 498, 800]
            frame = frame - frame.mean(dim=2, keepdim=True)
            # Before the DFT and not folded into it: it takes the rumble down that float32 would have to carry.
            before = torch.cat([frame[..., :1], frame[..., :-1]], dim=2)  # the first sample stands before itself
            return torch.log(torch.clamp(self.power(frame - PREEMPHASIS * before), min=FLOOR))

    def finish(self, raw: Tensor) -> Tensor:
        with float32(raw.device):
            raw = raw.float()[:, :INPUT_FRAMES]
            quiet = raw.amin(dim=(1, 2), keepdim=True)  # [N, 1, 1]
            padding = quiet.expand(-1, INPUT_FRAMES - raw.shape[1], raw.shape[2])
            return ((torch.cat([raw, padding], dim=1) - MEAN) / SCALE).unsqueeze(1)
