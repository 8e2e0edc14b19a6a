"""The proof of a surgery: what it compares, prints and refuses."""

import numpy as np
import onnx
import pytest

from birdprobe.features import InputError
from birdprobe.probe.surgery.expose import expose
from birdprobe.probe.surgery.verify import Difference, Verification, compare_taps, groups
from tests.waveform_models import Builder, block, convolutional, prepared


@pytest.mark.parametrize("nhwc", [False, True])
def test_half_precision_is_verified(nhwc):
    model, taps = convolutional(dtype=np.float16, nhwc=nhwc)
    _, verification = prepared(model, taps)
    assert verification.tolerance == 5e-3
    assert max(d.rel_l2 for d in verification.taps.values()) < 1e-3


def test_proof_refuses_a_changed_weight():
    model, taps = convolutional()
    exposed = expose(model, taps)
    w = next(t for t in exposed.model.graph.initializer if t.name == "w1")
    values = onnx.numpy_helper.to_array(w).copy()
    values[0, 0, 0, 0] += 0.1
    w.CopyFrom(onnx.numpy_helper.from_array(values, "w1"))
    with pytest.raises(InputError, match="block_01: surgery changed it by"):
        Verification.of(model, compare_taps(model, exposed), {})


def test_rows_that_influence_each_other_are_run_one_by_one():
    b = Builder(17)
    b.add("Sub", ["audio", b.add("ReduceMean", ["audio"], "mean", axes=[0], keepdims=1)], "centred")
    model = b.model(["N", 8], {"centred": ["N", 8]})
    taps = [block("embedding", "centred", (1, 8))]
    with pytest.raises(InputError, match="mix the rows of a batch"):
        Verification.of(model, compare_taps(model, expose(model, taps)), {})
    exposed, _ = prepared(model, taps)
    assert exposed.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


def test_verification_refuses_nan():
    b = Builder(17)
    b.add("Log", [b.add("Sub", ["audio", b.store("ten", np.array(10, np.float32))], "low")], "nan")
    model = b.model(["N", 8], {"nan": ["N", 8]})
    with pytest.raises(InputError, match="NaN or infinity on random input"):
        prepared(model, [block("embedding", "nan", (1, 8))])


def test_verification_prints_and_serialises():
    model, taps = convolutional()
    _, verification = prepared(model, taps)
    assert set(verification.to_json()["taps"]) == {"block_00", "block_01", "embedding", "logits"}
    assert verification.to_json()["outputs"]["logits"]["rel_l2"] <= 1e-6
    assert "4 taps within" in str(verification) and "original outputs within" in str(verification)


def test_difference():
    assert Difference.between(np.array([3.0, 4.0]), np.array([3.0, 5.0])) == Difference(1.0, 1 / np.sqrt(34))
    assert Difference.between(np.zeros(2), np.zeros(2)) == Difference(0.0, 0.0)
    assert Difference.between(np.array([np.inf]), np.array([np.inf])).rel_l2 == 0
    assert Difference.between(np.array([np.nan]), np.array([1.0])).rel_l2 == np.inf


def test_unpooled_taps_are_held_in_bounded_groups():
    _, taps = convolutional()
    size = 4 * 8 * 16 * 16
    assert [[t.name for t in g] for g in groups(tuple(taps), size)] == [
        ["block_00"],
        ["block_01"],
        ["embedding", "logits"],
    ]
    assert len(list(groups(tuple(taps)))) == 1
