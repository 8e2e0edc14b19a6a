"""`make bench-gpu`: a backbone on a GPU against the same machine's CPU cores; on a machine without one, CPU figures.

A Perch-shaped EfficientNet-B3 (random weights, 5 s at 32 kHz, a log-mel front end, 28 taps) unless --model names a
file; --small takes the bundled Wren and few rounds. Each line is a median over the rounds with the quartiles and, as a
control, the ratio of the even rounds to the odd ones. From audio to store: `python -m tests.bench`.
"""

import argparse
import platform
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

from birdprobe.features import InputError
from birdprobe.probe.demo import WREN
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.runtime.providers import CPU, PRECISIONS, Device, find_device
from birdprobe.probe.runtime.sessions import audio_like


def export_b3(path: Path, transform: str = "Conv") -> Path:
    """Random weights under Perch v2's shapes: [N, 160000] -> log-mel [N, 1, 500, 128] -> EfficientNet-B3.

    transform: what makes the spectrogram: Conv, DFT (the operator, as in Perch v2's own file) or MatMul.
    """
    import torch

    from birdprobe.finetune.models.timm_import import import_timm

    timm = import_timm()

    class PerchShaped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            window = torch.hann_window(640)
            self.register_buffer("window", window)
            turns = torch.outer(torch.arange(321.0), torch.arange(640.0)) * (2 * torch.pi / 640)
            self.register_buffer("dft", torch.cat([turns.cos() * window, -turns.sin() * window])[:, None])
            self.register_buffer("mel", torch.rand(321, 128) * (torch.rand(321, 128) < 0.05))
            self.body = timm.create_model("efficientnet_b3", in_chans=1, num_classes=14_795)

        def forward(self, audio):
            if transform == "Conv":
                parts = torch.nn.functional.conv1d(audio[:, None], self.dft, stride=320, padding=320)[..., :500]
                power = (parts[:, :321] ** 2 + parts[:, 321:] ** 2).transpose(1, 2)
            else:
                frames = torch.nn.functional.pad(audio, (320, 320)).unfold(-1, 640, 320)[:, :500]
                if transform == "DFT":
                    power = torch.view_as_real(torch.fft.rfft(frames * self.window)).square().sum(-1)
                else:
                    parts = frames @ self.dft[:, 0].T
                    power = parts[..., :321].square() + parts[..., 321:].square()
            mel = (power @ self.mel + 1e-4).log()
            return self.body(mel[:, None])

    torch.manual_seed(0)
    model = PerchShaped().eval()
    batch = torch.export.Dim("batch", min=1, max=512)
    torch.onnx.export(
        *(model, (torch.randn(2, 160_000),), str(path)),
        **{"input_names": ["audio"], "output_names": ["logits"], "dynamo": True, "verbose": False},
        dynamic_shapes={"audio": {0: batch}},
        external_data=False,
    )
    return path


def pace(backbone: Backbone, batch: int, rounds: int) -> tuple[np.ndarray, float]:
    """(Windows a second: quartiles, control: even rounds over odd ones)."""
    x = audio_like((batch, backbone.window_samples))
    backbone(x)
    rates = []
    for _ in range(rounds):
        began = time.perf_counter()
        backbone(x)
        rates.append(batch / (time.perf_counter() - began))
    return np.percentile(rates, (25, 50, 75)), float(np.median(rates[::2]) / np.median(rates[1::2]))


def bench(path: Path, device: Device, batch: int | None, rounds: int, rate: int | None) -> float:
    """Prints one line; windows a second."""
    window_s = None if rate is None else 5.0
    backbone = Backbone.open(path, sample_rate=rate, window_s=window_s, spinning=True, device=device)
    size = batch or backbone.best_batch
    (low, median, high), control = pace(backbone, size, rounds)
    check = backbone.device_check
    worst = "" if check is None else f"{max(check.rel_l2.values()):.1e}"
    print(
        f"| {device} | {len(backbone.taps)} | {size} | {median:,.0f} | {low:,.0f}-{high:,.0f} | {control:.2f} | {worst} |",
        flush=True,
    )
    return float(median)


def card() -> str:
    """The GPU's name, as its driver says it."""
    try:
        command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "no NVIDIA card"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    rounds = 4 if given.small else given.rounds
    found = find_device(given.device)
    with tempfile.TemporaryDirectory() as folder:
        path = given.model or (WREN if given.small else export_b3(Path(folder) / "b3.onnx"))
        rate = 32_000 if path.name == "b3.onnx" else None
        print(
            f"{path.name}; {card()}; {platform.processor() or platform.machine()}; ONNX Runtime {onnxruntime.__version__}"
        )
        print("| device | taps | batch | windows/s | quartiles | control | worst tap, relative L2 |")
        print("| :-- | --: | --: | --: | --: | --: | --: |")
        cpu = bench(path, CPU, None, rounds, rate)
        for precision in PRECISIONS:
            try:
                device = Device(found.name, precision) if found.name != "cpu" else find_device("cpu", precision)
                if not device.plain:
                    fast = bench(path, device, None, rounds, rate)
                    print(f"  {device}: {fast / cpu:.2f} x the CPU cores' windows/s (aim on a GPU: 15)")
            except InputError as error:
                print(f"  {found.name}, {precision}: {error}")


if __name__ == "__main__":
    main()
