"""Cost: summed over what a tap depends on, so that more work costs more, inside the time allowed."""

import time

import numpy as np
import pytest

from birdprobe.probe.runtime.cost import BATCH, Timing, open_timed
from birdprobe.probe.runtime.opening import prepare
from tests.waveform_models import Builder, block, convolutional, transformer


def ms_per_window(model, taps, samples, **how):
    """{tap: Timing} of the model opened at these taps."""
    exposed = prepare(model, taps, "mean", True, (samples,)).exposed
    return open_timed(exposed, (samples,), threads=1, **how)[1]


def test_deeper_taps_cost_more():
    """Each block is one 512 x 512 product on 512 tokens: the last of six costs about three times the second."""
    b = Builder(17)
    now = b.add("Reshape", ["audio", b.ints("tokens", [-1, 512, 512])], "tokens_")
    taps = []
    for i in range(6):
        now = b.add("Tanh", [b.add("MatMul", [now, b.weight(f"w{i}", 512, 512)], f"p{i}")], f"t{i}")
        taps.append(block(f"block_{i:02d}", now, (1, 512, 512), 2))
    model = b.model(["N", 512 * 512], {now: ["N", 512, 512]})
    cost = ms_per_window(model, [taps[1], taps[5]], 512 * 512, repeats=5)
    assert list(cost) == ["block_01", "block_05"]
    assert 0 < 2 * cost["block_01"].ms < cost["block_05"].ms


def test_a_deeper_tap_on_the_same_path_never_costs_less():
    """Not within a spread: the same runs are summed, over more nodes, however busy the machine was."""
    for model, taps in (convolutional(), convolutional(nhwc=True), transformer()):
        cost = [one.ms for one in ms_per_window(model, taps, 256, repeats=3).values()]
        assert cost == sorted(cost) and cost[0] > 0


def test_a_tap_beside_the_path_is_not_charged_for_it():
    """Two branches from one input: each costs its own nodes, though one pass computes both."""
    b = Builder(17)
    b.add("Tanh", [b.add("MatMul", ["audio", b.weight("small", 256, 8)], "one")], "left")
    wide = b.add("Tanh", [b.add("MatMul", ["audio", b.weight("large", 256, 4096)], "two")], "wide")
    b.add("MatMul", [wide, b.weight("back", 4096, 8)], "right")
    model = b.model(["N", 256], {"left": ["N", 8], "right": ["N", 8]})
    taps = [block("block_00", "right", (1, 8)), block("block_01", "left", (1, 8))]
    cost = ms_per_window(model, taps, 256, repeats=4)
    assert 5 * cost["block_01"].ms < cost["block_00"].ms


def test_the_budget_is_kept():
    model, taps = convolutional()
    began = time.perf_counter()
    cost = ms_per_window(model, taps, 256, budget_s=0.4, repeats=10**6)
    assert time.perf_counter() - began < 10
    assert set(cost) == {"block_00", "block_01", "embedding", "logits"}
    assert all(np.isfinite([one.ms, one.spread]).all() for one in cost.values())


@pytest.mark.parametrize("batch", [1, 3])
def test_fixed_batches_are_timed(batch):
    model, taps = convolutional(batch=batch)
    assert ms_per_window(model, taps[:1], 256, repeats=2)["block_00"].ms > 0


def test_nodes_without_names_are_told_apart():
    model, taps = convolutional()
    for node in model.graph.node:
        node.name = ""
    assert min(one.ms for one in ms_per_window(model, taps, 256, repeats=3).values()) > 0


def test_a_timing_is_the_lower_quartile_and_half_the_interquartile_range():
    timing = Timing.of([BATCH * ms / 1000 for ms in (1.0, 2.0, 3.0, 4.0, 9.0)])
    assert timing.ms == pytest.approx(2.0) and timing.spread == pytest.approx(1.0)
