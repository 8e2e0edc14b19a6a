"""A name works wherever a model does, and users add names of their own."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import birdprobe as bp
from birdprobe import InputError
from birdprobe.probe.assets import WREN
from birdprobe.probe.models import registry
from tests.probe.test_cli import birdprobe, one_line


@pytest.fixture(autouse=True)
def of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("BIRDPROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("BIRDPROBE_MODELS", raising=False)


def small(path, samples=None, **said):
    """A waveform model of two convolutions and a classifier; `said` are its metadata."""
    rng = np.random.default_rng(0)
    weights = {
        "a": rng.normal(size=(4, 1, 8)),
        "b": rng.normal(size=(4, 4, 3)) / 3,
        "c": rng.normal(size=(4, 3)),
        "one": None,
    }
    nodes = [
        helper.make_node("Unsqueeze", ["audio", "one"], ["x"]),
        helper.make_node("Conv", ["x", "a"], ["p"], strides=[8]),
        helper.make_node("Relu", ["p"], ["q"]),
        helper.make_node("Conv", ["q", "b"], ["r"]),
        helper.make_node("ReduceMean", ["r"], ["embedding"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["embedding", "c"], ["scores"]),
    ]
    initializers = [
        numpy_helper.from_array(np.array([1]) if data is None else data.astype(np.float32), name)
        for name, data in weights.items()
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["N", samples])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", d]) for n, d in (("embedding", 4), ("scores", 3))],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in said.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path


def own_table(tmp_path, monkeypatch, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    monkeypatch.setenv("BIRDPROBE_MODELS", str(path))
    return path


def test_what_is_listed():
    known = registry.entries()
    assert {
        "wren",
        "perch-v2",
        "perch-v2-no-dft",
        "birdnet-v2.4",
        "birdnet-v3.0",
        "bird-mae-base",
        "bird-mae-large",
    } <= set(known)
    for entry in known.values():
        assert entry.licence and entry.source and entry.cite and entry.title
        assert len(entry.sha256) == (64 if entry.kind in ("download", "convert") else 0)
    listed = json.loads(birdprobe("models", "--json").stdout)
    assert [row["name"] for row in listed] == list(known)
    assert [row["here"] for row in listed if row["name"] in ("wren", "perch-v2")] == [True, False]
    text = birdprobe("models").stdout
    assert "CC BY-NC-SA 4.0" in text and str(WREN) in text and "birdprobe fetch perch-v2" in text


def test_a_name_is_a_model():
    assert bp.open_backbone("wren", "embedding", threads=1).path == WREN
    assert len(bp.find_blocks("wren").blocks) == 26
    assert "26 blocks" in birdprobe("blocks", "wren").stdout


def test_a_path_goes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small(tmp_path / "wren", 800)
    assert registry.resolve("wren").resolve() == tmp_path / "wren"
    assert registry.resolve(tmp_path / "nothing.onnx") == tmp_path / "nothing.onnx"  # who opens it says so


@pytest.mark.parametrize("command", [("blocks",), ("check",), ("predict", "--labels", "x", "-o", "y.csv")])
def test_a_file_that_is_not_here_yet(command, tmp_path):
    arguments = [command[0], "perch-v2", *([str(tmp_path)] if command[0] == "predict" else []), *command[1:]]
    assert "perch-v2: not on this machine yet. Run `birdprobe fetch perch-v2` once." in one_line(birdprobe(*arguments))


def test_a_misspelt_name():
    assert "Meant birdnet-v2.4?" in one_line(birdprobe("blocks", "birdnet-v24"))
    with pytest.raises(InputError, match="Meant wren"):
        registry.resolve("wrn")


def test_a_users_own_table(tmp_path, monkeypatch):
    small(tmp_path / "m.onnx")
    own_table(
        tmp_path,
        monkeypatch,
        '[mine]\npath = "m.onnx"\nsample_rate = 16000\nwindow_s = 0.5\nnormalise = "file-peak"\naliases = ["my"]\n'
        '[perch-v2]\npath = "other.onnx"\nsample_rate = 8000\nwindow_s = 1\n',
    )
    backbone = bp.open_backbone("my", threads=1)
    assert (backbone.sample_rate, backbone.window_samples, backbone.normalise) == (16000, 8000, "file-peak")
    assert registry.find("perch-v2").sample_rate == 8000  # the same name goes before ours
    assert registry.find("wren") is not None
    flags = bp.open_backbone("mine", sample_rate=8000, window_s=1.0, threads=1)
    assert (flags.sample_rate, flags.window_samples, flags.normalise) == (8000, 8000, "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\nwindow_s = 1\n", r"mine.toml, \[a\]: sample_rate wanted, a number"),
        ("[a]\nsample_rate = 1\nwindow_s = 1\n", r"\[a\]: url wanted, since its kind is download"),
        ("[a]\nsample_rate = 1\nwindow_s = 1\nrate = 2\n", "unknown field rate"),
        ('[a]\nsample_rate = 1\nwindow_s = 1\nkind = "x"\n', "kind 'x' found, one of bundled"),
        ('[a]\nsample_rate = 1\nwindow_s = 1\npath = "m"\nnormalise = "loud"\n', "normalise 'loud' found"),
        (
            '[a]\nsample_rate = 1\nwindow_s = 1\nurl = "u"\nsha256 = "s"\nfile = "../x"\n',
            "a name without folders wanted",
        ),
        ("a = 1\n", "a table of fields wanted"),
        ("[a\n", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_with_it(tmp_path, monkeypatch, text, message):
    own_table(tmp_path, monkeypatch, text)
    with pytest.raises(InputError, match=message):
        registry.entries()
    assert "mine.toml" in one_line(birdprobe("models"))


def test_a_table_that_is_not_there(monkeypatch):
    monkeypatch.setenv("BIRDPROBE_MODELS", "/nowhere/models.toml")
    with pytest.raises(InputError, match=r"BIRDPROBE_MODELS=/nowhere/models\.toml: no such file"):
        registry.entries()


def test_the_table_in_the_configuration_folder(tmp_path):
    folder = tmp_path / "config" / "birdprobe"
    folder.mkdir(parents=True)
    (folder / "models.toml").write_text('[mine]\npath = "m.onnx"\nsample_rate = 16000\nwindow_s = 0.5\n')
    small(folder / "m.onnx")
    assert registry.resolve("mine") == folder / "m.onnx"


OPENSOUNDSCAPE = {
    "sample_rate": "16000",
    "sample_duration": "0.25",
    "classes": '["a", "b", "c"]',
    "class_outputs_key": "scores",
    "embedding_outputs_key": "embedding",
}


@pytest.mark.parametrize(
    ("samples", "said", "wanted"),
    [
        (None, OPENSOUNDSCAPE, (16000, 4000)),
        (4000, {"sampling_rate": "16000"}, (16000, 4000)),
        (8000, OPENSOUNDSCAPE, (16000, 8000)),  # the graph's own length counts
    ],
)
def test_what_other_programs_write_into_their_files(tmp_path, samples, said, wanted):
    backbone = bp.open_backbone(small(tmp_path / "m.onnx", samples, **said), threads=1)
    assert (backbone.sample_rate, backbone.window_samples) == wanted


def test_the_embedding_that_the_metadata_name(tmp_path):
    model = onnx.load(small(tmp_path / "m.onnx", 4000, **OPENSOUNDSCAPE | {"embedding_outputs_key": "squashed"}))
    model.graph.node.append(helper.make_node("Tanh", ["embedding"], ["squashed"]))
    model.graph.output.append(helper.make_tensor_value_info("squashed", TensorProto.FLOAT, ["N", 4]))
    onnx.save(model, tmp_path / "said.onnx")
    assert bp.find_blocks(tmp_path / "said.onnx").embedding.tensor == "squashed"
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "unsaid.onnx")
    assert bp.find_blocks(tmp_path / "unsaid.onnx").embedding.tensor == "embedding"


def test_a_rate_beside_the_file(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text('{"sampling_rate": 16000, "do_normalize": true}')
    (tmp_path / "onnx").mkdir()
    backbone = bp.open_backbone(small(tmp_path / "onnx" / "model.onnx", 4000), threads=1)
    assert backbone.sample_rate == 16000


def test_a_rate_that_is_none(tmp_path):
    with pytest.raises(InputError, match="its metadata say sample_rate = 'fast', a number above 0 wanted"):
        bp.open_backbone(small(tmp_path / "m.onnx", 4000, sample_rate="fast"), threads=1)
    assert bp.open_backbone(small(tmp_path / "m.onnx", 4000, sample_rate="fast"), sample_rate=8000, threads=1)
