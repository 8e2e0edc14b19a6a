"""Proven once per file: the second opening gives the same backbone and measures nothing again."""

import numpy as np
import onnx
import pytest

from birdprobe.probe.runtime import opening, proofs
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.runtime.sessions import audio_like
from tests.waveform_models import SAMPLES, convolutional, framed


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BIRDPROBE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def opened(path, **given) -> Backbone:
    return Backbone.open(path, sample_rate=1000, threads=1, **given)


def no_more(*_, **__):
    raise AssertionError("proven again")


@pytest.mark.parametrize("batch", ["N", 1])
def test_the_second_opening_proves_nothing_again(folder, monkeypatch, batch):
    onnx.save(convolutional(batch=batch)[0], folder / "m.onnx")
    first = opened(folder / "m.onnx")
    monkeypatch.setattr(opening, "compare_taps", no_more)
    monkeypatch.setattr(opening, "find_blocks", no_more)
    second = opened(folder / "m.onnx")
    assert (second.architecture, second.verification, second.folding) == (
        *(first.architecture, first.verification, first.folding),
    )
    x = audio_like((5, SAMPLES))
    assert all(np.array_equal(second(x)[tap], first(x)[tap]) for tap in first.taps)
    with pytest.raises(AssertionError, match="proven again"):
        opened(folder / "m.onnx", taps="0")  # another question
    onnx.save(convolutional(nhwc=True)[0], folder / "m.onnx")
    with pytest.raises(AssertionError, match="proven again"):
        opened(folder / "m.onnx")  # other bytes under the same name


def test_a_damaged_record_costs_time_only(folder):
    onnx.save(convolutional()[0], folder / "m.onnx")
    first = opened(folder / "m.onnx")
    (record,) = (folder / "cache" / "proofs").glob("*.json")
    for text in ("", "{}", '{"architecture": 3}', '{"candidate": 9}'):
        record.write_text(text)
        assert opened(folder / "m.onnx").architecture == first.architecture
    assert record.read_text().startswith('{"architecture": {')


def test_a_cache_that_cannot_be_written_is_done_without(folder, monkeypatch):
    (folder / "cache").write_text("a file")
    onnx.save(convolutional()[0], folder / "m.onnx")
    assert opened(folder / "m.onnx").taps
    monkeypatch.setenv("BIRDPROBE_CACHE", "off")
    assert proofs.place(file="x") is None and opened(folder / "m.onnx").taps


def test_a_front_end_that_was_folded_is_folded_again(folder):
    model, taps = framed()
    first, done = opening.build(model, taps, "mean", True, (SAMPLES,))
    again, _ = opening.build(model, taps, "mean", True, (SAMPLES,), proven=done.passes)
    assert " folded (" in done.note
    kinds = [[n.op_type for n in one.pruned().model.graph.node] for one in (first, again)]
    assert kinds[0] == kinds[1] and "Gather" not in kinds[0]
