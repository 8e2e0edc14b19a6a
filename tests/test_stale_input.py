"""Cached results notice that what they were made from has changed, however alike it looks."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper, numpy_helper

from birdprobe.features import InputError
from birdprobe.features.recordings import read_recordings
from birdprobe.features.store import FeatureStore
from birdprobe.finetune.data.energy_peaks import Peaks
from birdprobe.probe.api import extract
from birdprobe.probe.extraction import writer
from birdprobe.probe.graph.load import load
from birdprobe.probe.runtime.backbone import sha256
from birdprobe.probe.sweep.sweep import sweep
from tests.tiny import SAMPLE_RATE, tiny_backbone, tiny_dataset

GIVEN = {"sample_rate": SAMPLE_RATE, "progress": False}


@pytest.fixture
def work(tmp_path):
    tiny_backbone(tmp_path / "m.onnx")
    tiny_dataset(tmp_path / "clips")
    return tmp_path


def overwrite_in_place(path: Path, seed: int = 0) -> None:
    """Noise of the same length, into the same file: size and inode stay, and the time of the last change here too."""
    about = path.stat()
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, soundfile.info(path).frames)
    soundfile.write(path, samples, SAMPLE_RATE)
    assert (path.stat().st_size, path.stat().st_ino) == (about.st_size, about.st_ino)


def test_a_sweep_over_clips_that_were_overwritten_in_place(work):
    first = sweep(work / "m.onnx", work / "clips", work / "run", draw=False, projection="none", **GIVEN)
    with FeatureStore.open(work / "run" / "features.h5") as store:
        before, hashes = store.read("embedding"), set(store.rows()["sha256"])
    assert first.ranking["knn"].max() > 0.9
    for i, path in enumerate(sorted((work / "clips").rglob("*.wav"))):
        overwrite_in_place(path, i)
    again = sweep(work / "m.onnx", work / "clips", work / "run", draw=False, projection="none", overwrite=True, **GIVEN)
    assert again.ranking["knn"].max() < 0.9  # noise tells no species apart
    with FeatureStore.open(work / "run" / "features.h5") as store:
        assert not np.array_equal(store.read("embedding"), before)
        assert not set(store.rows()["sha256"]) & hashes


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_extraction_says_which_file_changed(work, jobs):
    given = {**GIVEN, "jobs": jobs}
    extract(work / "m.onnx", work / "clips", work / "s.h5", **given)
    path = work / "clips" / "species 1" / "G100-0.wav"
    content = path.read_bytes()
    overwrite_in_place(path)
    with pytest.raises(InputError, match=r"made when species 1/G100-0.wav had other contents of the same size"):
        extract(work / "m.onnx", work / "clips", work / "s.h5", **given)
    path.write_bytes(content)  # the time of the change is another, the content is not
    store = (work / "s.h5").read_bytes()
    extract(work / "m.onnx", work / "clips", work / "s.h5", **given)
    assert (work / "s.h5").read_bytes() == store


def test_files_that_look_the_same_are_not_read_again(work, monkeypatch):
    extract(work / "m.onnx", work / "clips", work / "s.h5", **GIVEN)
    monkeypatch.setattr(writer, "sha256", lambda path: pytest.fail(f"{path} was read"))
    extract(work / "m.onnx", work / "clips", work / "s.h5", **GIVEN)


def test_a_copy_elsewhere_is_compared_by_content(work):
    """A store of the first edition, and clips under other inodes: hashes decide."""
    import shutil

    extract(work / "m.onnx", work / "clips", work / "s.h5", **GIVEN)
    shutil.move(work / "clips", work / "moved")
    shutil.copytree(work / "moved", work / "clips")
    extract(work / "m.onnx", work / "clips", work / "s.h5", **GIVEN)


def test_peaks_of_a_clip_that_was_overwritten(work):
    clip = read_recordings(work / "clips").clips[0]
    peaks = Peaks(SAMPLE_RATE, 8000)
    peaks.put(clip, np.array([3]))
    assert peaks.get(clip) is not None
    os.utime(clip.path, ns=(0, 0))
    assert peaks.get(clip) is None


def branching(path: Path, location: str = "") -> Path:
    """A model with a weight inside the branches of an If, kept in a file of its own."""
    inner = numpy_helper.from_array(np.ones(8, np.float32), "w")

    def branch(name: str) -> onnx.GraphProto:
        node = helper.make_node("Constant", [], [f"{name}_w"], value=inner)
        return helper.make_graph([node], name, [], [helper.make_tensor_value_info(f"{name}_w", TensorProto.FLOAT, [8])])

    chosen = numpy_helper.from_array(np.array(True), "chosen")
    nodes = [
        helper.make_node("If", ["chosen"], ["weights"], then_branch=branch("then"), else_branch=branch("else")),
        helper.make_node("Mul", ["audio", "weights"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("audio", TensorProto.FLOAT, ["n", 8])], [value("y", TensorProto.FLOAT, ["n", 8])], [chosen]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for name in ("then_branch", "else_branch"):
        attribute = next(a for a in model.graph.node[0].attribute if a.name == name)
        tensor = attribute.g.node[0].attribute[0].t
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location or f"{name}.data")
        (path.parent / f"{name}.data").write_bytes(np.full(8, 2, np.float32).tobytes())
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_inside_a_branch_are_part_of_the_models_hash(tmp_path):
    path = branching(tmp_path / "m.onnx")
    before = sha256(path)
    tensor = load(path).graph.node[0].attribute[0].g.node[0].attribute[0].t
    np.testing.assert_array_equal(numpy_helper.to_array(tensor), np.full(8, 2, np.float32))
    (tmp_path / "else_branch.data").write_bytes(np.full(8, 3, np.float32).tobytes())
    assert sha256(path) != before


@pytest.mark.parametrize("link", ["symbolic", "hard"])
def test_a_hugging_face_cache(tmp_path, link):
    """snapshots/REVISION/ holds links into blobs/, whose names are hashes."""
    snapshot, blobs = tmp_path / "snapshots" / "0a1b", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    model = onnx.load(tiny_backbone(tmp_path / "m.onnx"))
    onnx.save_model(model, blobs / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    for name, blob in (("m.onnx", "6f1d"), ("m.onnx.data", "9c2e")):
        (blobs / name).rename(blobs / blob)
        if link == "symbolic":
            (snapshot / name).symlink_to(Path("../../blobs") / blob)
        else:
            os.link(blobs / blob, snapshot / name)
    tiny_dataset(tmp_path / "clips", classes=2, clips=2)
    found = extract(snapshot / "m.onnx", tmp_path / "clips", tmp_path / "s.h5", taps="embedding", **GIVEN)
    alike = extract(tmp_path / "m.onnx", tmp_path / "clips", tmp_path / "t.h5", taps="embedding", **GIVEN)
    with FeatureStore.open(found.store) as one, FeatureStore.open(alike.store) as other:
        np.testing.assert_array_equal(one.read("embedding"), other.read("embedding"))


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "a/../../secret", "leak.data", "", "a\0b"])
def test_weights_are_never_read_from_elsewhere(tmp_path, location):
    (tmp_path / "secret").write_bytes(np.zeros(8, np.float32).tobytes())
    (tmp_path / "models" / "a").mkdir(parents=True)
    (tmp_path / "models" / "leak.data").symlink_to(tmp_path / "secret")
    path = branching(tmp_path / "models" / "m.onnx", location or " ")
    if not location:
        model = onnx.load(path, load_external_data=False)
        model.graph.node[0].attribute[0].g.node[0].attribute[0].t.external_data[0].value = ""
        path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"m.onnx|leak.data"):
        load(path)
