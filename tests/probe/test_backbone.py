"""Backbones: every kind of waveform input, and each refusal in one line."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import birdprobe as bp
from birdprobe.features import InputError
from birdprobe.probe.assets import WREN
from birdprobe.probe.runtime.backbone import Backbone, sha256
from birdprobe.probe.runtime.sessions import audio_like, open_session
from birdprobe.probe.surgery.batch_axis import free_batch
from tests.tiny import tiny_dataset
from tests.waveform_models import SAMPLES, Builder, convolutional, framed, transformer

BIRDNET = Path(__file__).parents[3] / "shared" / "data" / "birdnet" / "BirdNET_GLOBAL_6K_V2.4.onnx"
RATE = 1000


@pytest.fixture
def saved(tmp_path):
    def save(model: onnx.ModelProto, name: str = "tiny.onnx", **options) -> Path:
        onnx.save(model, tmp_path / name, **options)
        return tmp_path / name

    return save


def opened(path: Path, **options) -> Backbone:
    return Backbone.open(path, sample_rate=RATE, threads=1, **options)


def test_windows_in_vectors_out(saved):
    model, _ = convolutional()
    path = saved(model)
    backbone = opened(path)
    assert backbone.taps == ("block_00", "block_01", "embedding", "logits")
    assert backbone.dims == {"block_00": (8,), "block_01": (8,), "embedding": (8,), "logits": (500,)}
    assert (backbone.window_samples, backbone.window_s, backbone.preset) == (SAMPLES, SAMPLES / RATE, None)
    x = audio_like((5, SAMPLES))
    found = backbone(x)
    wanted = open_session(model, 1).run(None, {"audio": x})[0]
    assert all(found[t].dtype == np.float32 and found[t].shape == (5, *backbone.dims[t]) for t in backbone.taps)
    assert np.allclose(found["logits"], wanted, rtol=1e-5, atol=1e-6)
    assert np.allclose(found["block_01"], found["embedding"], rtol=1e-5, atol=1e-6)  # its mean is the embedding
    assert {t: a.shape for t, a in backbone(x[:0]).items()} == {t: (0, *d) for t, d in backbone.dims.items()}
    assert "tiny.onnx, no preset: 0.256 s at 1000 Hz, normalise none, 4 taps block_00..logits" in repr(backbone)


def test_rows_do_not_depend_on_the_batch(saved):
    backbone = opened(saved(convolutional()[0]))
    x = audio_like((5, SAMPLES))
    together = backbone(x)
    for i in range(5):
        assert all(np.array_equal(together[t][i : i + 1], a) for t, a in backbone(x[i : i + 1]).items())


def test_taps_and_pooling(saved):
    path = saved(convolutional()[0])
    assert opened(path, taps="-1,0").taps == ("block_00", "block_01")
    assert opened(path, taps="0", pooling="grid:4x2").dims == {"block_00": (8, 4, 2)}
    with pytest.raises(InputError, match=r"`--pool` must be one of mean, .*, got 'median'"):
        opened(path, pooling="median")
    with pytest.raises(InputError, match="taps: '7' is not there"):
        opened(path, taps="7")


def test_several_poolings(saved):
    path = saved(convolutional()[0])
    every = opened(path, pooling="mean,max")
    names = ("block_00/mean", "block_00/max", "block_01/mean", "block_01/max", "embedding", "logits")
    assert (every.taps, every.pooling) == (names, "mean,max")
    assert every.blocks["block_01/max"].index == 1
    some = opened(path, taps="block_01/max,embedding", pooling="mean,max")
    assert some.taps == ("block_01/max", "embedding")
    assert opened(path, taps="0", pooling="mean,max").taps == ("block_00/mean", "block_00/max")
    x = audio_like((2, SAMPLES))
    one = opened(path, pooling="max")
    assert np.array_equal(some(x)["block_01/max"], one(x)["block_01"])
    assert np.array_equal(every(x)["block_01/max"], one(x)["block_01"])
    with pytest.raises(InputError, match="block_01/std"):
        opened(path, taps="block_01/std", pooling="mean,max")


def test_many_threads_call_one_backbone(saved):
    backbone = opened(saved(convolutional()[0]))
    batches = [audio_like((3, SAMPLES), seed=i) for i in range(24)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(backbone, batches))
    for x, features in zip(batches, found):
        assert all(np.array_equal(features[t], a) for t, a in backbone(x).items())


@pytest.mark.parametrize(("make", "freed"), [(convolutional, True), (transformer, True)])
@pytest.mark.parametrize("batch", [1, 3])
def test_fixed_batches_are_freed(saved, make, freed, batch):
    model, _ = make(batch=batch)
    backbone = opened(saved(model))
    assert (backbone.batch is None) == freed
    wanted = opened(saved(make()[0], "dynamic.onnx"))(x := audio_like((5, SAMPLES)))
    assert all(np.allclose(backbone(x)[t], wanted[t], rtol=1e-5, atol=1e-6) for t in backbone.taps)


def stuck(declared: int | str) -> onnx.ModelProto:
    """One window is built in: a constant [1, 256] is joined to it along the other axis before the convolution."""
    b = Builder(17)
    now = b.add("Concat", ["audio", b.store("token", np.ones((1, SAMPLES), np.float32))], "joined", axis=1)
    now = b.add("Reshape", [now, b.ints("to_map", [1, 1, 32, 16])], "map")
    for i, channels in enumerate([1, 8, 8]):
        now = b.add("Relu", [b.add("Conv", [now, b.weight(f"w{i}", 8, channels, 3, 3)], f"conv{i}")], f"relu{i}")
    now = b.add("Flatten", [b.add("GlobalAveragePool", [now], "pool")], "embedding", axis=1)
    b.add("MatMul", [now, b.weight("w_classes", 8, 5)], "logits")
    return b.model([declared, SAMPLES], {"logits": [declared, 5]})


@pytest.mark.parametrize("declared", [1, "N"])
def test_a_window_that_is_built_in_is_run_one_by_one(saved, declared):
    backbone = opened(saved(stuck(declared)), taps="embedding,logits")
    assert backbone.batch == 1
    x = audio_like((3, SAMPLES))
    session = open_session(stuck(1), 1)
    wanted = np.concatenate([session.run(None, {"audio": row[None]})[0] for row in x])
    assert np.allclose(backbone(x)["logits"], wanted, rtol=1e-5, atol=1e-6)


def test_free_batch_leaves_dynamic_models_alone():
    assert free_batch(convolutional()[0]) is None
    freed = free_batch(convolutional(batch=1)[0])
    onnx.checker.check_model(freed, full_check=True)
    x = audio_like((4, SAMPLES))
    assert np.allclose(
        open_session(freed, 1).run(None, {"audio": x})[0],
        open_session(convolutional()[0], 1).run(None, {"audio": x})[0],
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("shape", [["N", 1, SAMPLES], [1, 1, SAMPLES], [SAMPLES]])
def test_other_input_ranks(saved, shape):
    model, _ = convolutional(batch="N" if shape[0] == "N" else 1)
    dims = model.graph.input[0].type.tensor_type.shape
    del dims.dim[:]
    for size in shape:
        dims.dim.add(**({"dim_param": size} if isinstance(size, str) else {"dim_value": size}))
    backbone = opened(saved(model))
    x = audio_like((3, SAMPLES))
    wanted = opened(saved(convolutional()[0], "plain.onnx"))(x)
    assert all(np.allclose(backbone(x)[t], wanted[t], rtol=1e-5, atol=1e-6) for t in backbone.taps)


def test_half_precision_inputs_are_cast(saved):
    backbone = opened(saved(convolutional(dtype=np.float16)[0]))
    wanted = opened(saved(convolutional()[0], "single.onnx"))(x := audio_like((3, SAMPLES)))
    found = backbone(x)
    assert all(a.dtype == np.float32 for a in found.values())
    assert all(np.allclose(found[t], wanted[t], rtol=0.05, atol=0.01) for t in backbone.taps)


def test_dynamic_length_takes_the_window(saved):
    model, _ = convolutional()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "samples"
    path = saved(model)
    backbone = opened(path, window_s=0.256)
    assert backbone.window_samples == 256
    assert backbone(audio_like((2, 256)))["logits"].shape == (2, 500)
    with pytest.raises(InputError, match="no fixed length: give --window"):
        opened(path)


def test_external_data(saved, tmp_path):
    model, _ = convolutional()
    options = {"save_as_external_data": True, "location": "weights.data", "size_threshold": 0}
    path = saved(convolutional()[0], "external.onnx", **options)
    x = audio_like((2, SAMPLES))
    plain = opened(saved(model))
    backbone = opened(path)
    assert np.array_equal(backbone(x)["logits"], plain(x)["logits"])
    parts = path.read_bytes() + (tmp_path / "weights.data").read_bytes()
    assert backbone.sha256 == sha256(path) == hashlib.sha256(parts).hexdigest()
    (tmp_path / "weights.data").unlink()
    with pytest.raises(InputError, match="weights live in a second file"):
        opened(path)


def test_sha256_of_one_file(saved):
    path = saved(convolutional()[0])
    assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_model_is_read_again_when_asked_for(saved):
    model, _ = convolutional()
    assert opened(saved(model)).model.graph.node == model.graph.node


def test_overflow_names_the_tap(saved):
    backbone = opened(saved(convolutional()[0]))
    x = audio_like((3, SAMPLES))
    x[1] = np.nan
    with pytest.raises(InputError, match=r"tap block_00: NaN or infinity in 1 of 3 windows \(first: 1\)"):
        backbone(x)
    with pytest.raises(InputError, match=r"windows \(2, 99\), wanted \[N, 256\]"):
        backbone(np.zeros((2, 99), np.float32))


def test_a_model_that_gives_nan_is_named_with_the_tap(saved):
    model, _ = convolutional()
    weights = model.graph.initializer[-1]
    weights.CopyFrom(numpy_helper.from_array(np.full(tuple(weights.dims), np.nan, np.float32), weights.name))
    with pytest.raises(InputError, match=r"^\w+\.onnx: tap \w+: .*NaN or infinity .* Do its weights hold NaN\?"):
        opened(saved(model))


def test_files_that_are_no_model(tmp_path, saved):
    (tmp_path / "text.onnx").write_text("these are not the bytes of a model")
    with pytest.raises(InputError, match=r"text\.onnx: cannot be read as ONNX|no ONNX graph"):
        Backbone.open(tmp_path / "text.onnx")
    model, _ = convolutional()
    model.graph.node[1].op_type = "NoSuchOperator"
    with pytest.raises(InputError, match="NoSuchOperator"):
        opened(saved(model))


@pytest.mark.real
def test_birdnet_is_proven_at_all_blocks():
    if not BIRDNET.exists():
        pytest.skip("no BirdNET file")
    backbone = Backbone.open(BIRDNET, threads=1)
    assert (backbone.preset, backbone.sample_rate, backbone.window_s) == ("birdnet-v2.4", 48000, 3.0)
    assert [backbone.dims[f"block_{i:02d}"][0] for i in range(16)] == 3 * [36] + 4 * [72] + 5 * [108] + 4 * [192]
    assert backbone.dims["embedding"] == (1024,) and backbone.dims["logits"] == (6522,)
    assert len(backbone.verification.taps) == 18
    assert max(d.rel_l2 for d in [*backbone.verification.taps.values(), *backbone.verification.outputs.values()]) < 2e-5
    assert "2 linear chains folded" in backbone.folding


def test_a_pass_is_switched_off_by_name(saved):
    path, x = saved(framed()[0]), audio_like((3, SAMPLES))
    plain, off = opened(path), opened(path, without=["chains"])
    assert "1 linear chain folded" in plain.folding and plain.without == ()
    assert off.folding == "passes switched off: chains" and off.without == ("chains",)
    assert all(np.allclose(off(x)[tap], plain(x)[tap], rtol=1e-4, atol=1e-6) for tap in plain.taps)
    with pytest.raises(InputError, match="passes to switch off must be one of transforms, chains, scales, got 'mel'"):
        opened(path, without=["mel"])


def test_a_rate_that_is_not_the_models_own_is_told(tmp_path, capsys):
    backbone = bp.open_backbone(WREN, "embedding", sample_rate=16_000)
    (line,) = backbone.warnings
    assert "--sample-rate 16000 is used as given, but the model is known to take 32000 Hz" in line
    assert capsys.readouterr().err == f"warning: {line}\n"
    assert not bp.open_backbone(WREN, "embedding", sample_rate=32_000).warnings
    assert not bp.open_backbone(WREN, "embedding").warnings
    extracted = bp.extract(
        WREN, tiny_dataset(tmp_path / "audio", 2, 1), tmp_path / "f.h5", taps="embedding", sample_rate=16_000,
        select="first", progress=False,
    )  # fmt: skip
    assert line in extracted.warnings and line in bp.open_store(extracted.store).meta["warnings"]
