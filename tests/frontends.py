"""What the front ends' tests share: waveforms and a model exported to ONNX with a batch of any size."""

import logging
import warnings
from pathlib import Path

import librosa
import numpy as np
import onnxruntime
import torch

from birdprobe.features.audio import read

ESC10 = Path(__file__).resolve().parents[2] / "shared" / "data" / "esc10"
SAMPLES = 160000


def synthetic(seed=0):
    """float32 [6, 160000]: a chirp in noise, speckled loud noise, a faint noise, an offset, clipping, a short call."""
    rng = np.random.default_rng(seed)
    t = np.arange(SAMPLES) / 32000
    noise = rng.standard_normal((6, SAMPLES))
    call = np.exp(-(((t - 2.5) / 0.1) ** 2)) * np.sin(2 * np.pi * 5000 * t)
    clips = [
        0.3 * np.sin(2 * np.pi * (1000 + 1200 * t) * t) + 0.01 * noise[0],
        0.5 * noise[1] * (rng.random(SAMPLES) < 0.2),
        1e-3 * noise[2],
        0.4 + 0.05 * noise[3],
        np.clip(2 * np.sin(2 * np.pi * 440 * t), -1, 1) + 0.01 * noise[4],
        0.8 * call + 0.002 * noise[5],
    ]
    return np.stack(clips).astype(np.float32)


def real(every):
    """float32 [n, 160000]: every so many ESC-10 clips, cut or padded to 5 s."""
    clips = [read(path, 32000)[:SAMPLES] for path in sorted(ESC10.glob("*/*.ogg"))[::every]]
    return np.stack([np.pad(clip, (0, SAMPLES - len(clip))) for clip in clips])


def export(model, path, dynamo, samples=SAMPLES):
    """An onnxruntime session of waveform [N, samples] -> model's output, through torch's new or old exporter."""
    x = torch.zeros(2, samples)
    names = {"input_names": ["waveform"], "output_names": ["picture"], "opset_version": 18, "verbose": False}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # both exporters warn about themselves
        if dynamo:
            batch = ({0: torch.export.Dim("batch")},)
            torch.onnx.export(model.eval(), (x,), path, dynamo=True, dynamic_shapes=batch, **names)
        else:
            batch = {"waveform": {0: "batch"}, "picture": {0: "batch"}}
            torch.onnx.export(model.eval(), (x,), path, dynamo=False, dynamic_axes=batch, **names)
    return onnxruntime.InferenceSession(path)


def close(found, wanted, limit=1e-4):
    wanted = np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape
    assert np.linalg.norm(found - wanted) <= limit * np.linalg.norm(wanted)
    return float(np.abs(found - wanted).max())


def librosa_mel(clips, rate, db=True, **given):
    mels = [librosa.feature.melspectrogram(y=clip.astype(np.float64), sr=rate, **given) for clip in clips]
    return np.stack([librosa.power_to_db(mel) if db else mel for mel in mels])
