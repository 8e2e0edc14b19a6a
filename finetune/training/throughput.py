"""How fast a training runs, beside what its chip can do: clips a second, peak memory, share of the matrix-product rate.

The yardstick is measured, not looked up: the rate of one large matrix product on the very device, in the very number
type. A network's work is counted by PyTorch (multiply and add are two operations), forward and backward.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

SIZES = {"cuda": 8192, "cpu": 1024}  # the side of the square matrices
SECONDS = 0.3  # of each of three timings; the best counts


def measure_matmul_rate(device: torch.device | str, dtype: torch.dtype = torch.float32) -> float:
    """Operations a second of a square matrix product on the device: the best of three timings."""
    device = torch.device(device)
    n = SIZES.get(device.type, 1024)
    a, b = (torch.randn(n, n, device=device, dtype=torch.float32).to(dtype) for _ in range(2))
    out = torch.mm(a, b)
    best = 0.0
    for _ in range(3):
        _wait(device)
        started, times = time.perf_counter(), 0
        while time.perf_counter() - started < SECONDS or not times:
            for _ in range(8 if device.type == "cuda" else 1):
                torch.mm(a, b, out=out)
                times += 1
            _wait(device)
        best = max(best, 2 * n**3 * times / (time.perf_counter() - started))
    return best


def operations_per_clip(network: nn.Module, inputs: Tensor, loss: Callable[[Tensor], Tensor]) -> float:
    """Operations of one clip forward and backward. inputs [N, ...]: the network's; loss: of logits [N, K].

    The gradients that this leaves behind are cleared. Work that PyTorch does not count (normalisation, activations) is
    left out, so shares of the matrix-product rate come out low rather than high.
    """
    counter = FlopCounterMode(display=False)
    with counter:
        loss(network(inputs)).backward()
    network.zero_grad(set_to_none=True)
    return counter.get_total_flops() / len(inputs)


def report(device: torch.device, clips_per_s: float, operations: float, dtype: torch.dtype) -> dict:
    """clips_per_s, peak_memory_gb (of the device, None on a CPU), matmul_tflops, share (of that rate, 0..1)."""
    rate = measure_matmul_rate(device, dtype)
    peak = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "dtype": str(dtype).removeprefix("torch."),
        "clips_per_s": clips_per_s,
        "peak_memory_gb": peak,
        "gflop_per_clip": operations / 1e9,
        "matmul_tflops": rate / 1e12,
        "share": clips_per_s * operations / rate,
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
