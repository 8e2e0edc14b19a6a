"""A member as one ONNX file: equal to torch, open to the probe, ready for predicting."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

from birdprobe.features import InputError
from birdprobe.finetune import checkpoint, export
from birdprobe.finetune.checkpoint import Description
from birdprobe.finetune.models import birdmae, members
from birdprobe.heads.soundscapes import open_predictor
from birdprobe.probe.blocks.detection import find_blocks
from birdprobe.probe.graph.load import load
from birdprobe.probe.runtime.backbone import Backbone

LABELS = ("ash", "birch", "cedar")


def trained(name: str, seed: int = 0, **options) -> members.Model:
    """As a network that says something: untrained heads are all but zero, untrained BatchNorms squash."""
    torch.manual_seed(seed)
    model = members.assemble(members.get(name), len(LABELS), **options)
    if norms := [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]:
        loudness = torch.tensor([0.5, 0.1, 0.01, 0.0])[:, None]  # what is compared, or activations explode on it
        with torch.no_grad():
            for _ in range(4):
                model.train()(loudness * torch.randn(4, 160_000))
        assert norms[-1].num_batches_tracked > 0
    with torch.no_grad():
        if model.network.classifier is not None:
            torch.nn.init.normal_(model.network.classifier.weight, std=0.3)
    return model.eval()


def save(model: members.Model, name: str, path, **said):
    options = said.pop("options", {})
    return checkpoint.save(path, model.network, Description(name, LABELS, "sigmoid", options=options, **said))


def waves(n: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((n, 160_000), dtype=np.float32)


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(model, its run, what was exported)."""
    folder = tmp_path_factory.mktemp("run")
    model = trained("birdmae-tiny")
    save(model, "birdmae-tiny", folder / "fold0" / "best", fold=0)
    return model, folder, export.export(folder, folder / "tiny.onnx")


# --- what is written ---


def test_an_exported_run_equals_torch_for_any_batch(tiny):
    model, _, made = tiny
    assert made.outputs == ("logits", "embedding", "probabilities") and made.data is None
    assert max(made.max_abs.values()) < 1e-4 and made.size == made.path.stat().st_size
    runs = session(made.path)
    assert [node.name for node in runs.get_inputs()] == ["waveform"]
    for n in (1, 3):
        logits, embedding, probabilities = runs.run(list(made.outputs), {"waveform": waves(n, n)})
        with torch.no_grad():
            wanted = model(torch.from_numpy(waves(n, n))).numpy()
        assert logits.shape == (n, 3) and embedding.shape == (n, 128) and np.abs(wanted).max() > 0.5
        np.testing.assert_allclose(logits, wanted, atol=1e-4)
        np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-wanted)), atol=1e-5)


def test_its_metadata_say_what_it_is(tiny):
    said = session(tiny[2].path).get_modelmeta().custom_metadata_map
    assert json.loads(said["labels"]) == list(LABELS)
    assert (said["member"], said["activation"], said["normalise"]) == ("birdmae-tiny", "sigmoid", "none")
    assert (int(said["sample_rate"]), float(said["window_s"]), said["fold"]) == (32000, 5.0, "0")
    assert (
        said["weights_sha256"] == checkpoint.describe(tiny[1] / "fold0" / "best", checkpoint.Description).weights_sha256
    )


def test_predicting_takes_it_as_it_is(tiny):
    model, _, made = tiny
    predictor = open_predictor(made.path)
    assert (predictor.labels, predictor.window_samples, predictor.normalise) == (LABELS, 160_000, "none")
    with torch.no_grad():
        wanted = torch.sigmoid(model(torch.from_numpy(waves(2)))).numpy()
    np.testing.assert_allclose(predictor(waves(2)), wanted, atol=1e-5)


def test_the_probe_opens_it_at_every_block(tiny):
    model, _, made = tiny
    backbone = Backbone.open(made.path, threads=1)  # refuses when a tap's proof fails
    assert (backbone.preset, backbone.sample_rate, backbone.normalise) == ("birdmae-tiny", 32000, "none")
    blocks = [f"block_{i:02d}" for i in range(4)]
    assert backbone.taps == (*blocks, "embedding", "logits")
    found = backbone(waves(2))
    assert [block.kind for block in backbone.architecture.blocks] == ["transformer"] * 4
    seen = {}
    for name, block in zip(blocks, model.network.blocks):
        block.register_forward_hook(lambda module, given, out, name=name: seen.update({name: out}))
    with torch.no_grad():
        tokens = model.network.tokens(model.frontend(torch.from_numpy(waves(2))))
        seen |= {"embedding": model.network.embedding(tokens), "logits": model.network.logits(tokens)}
    for tap, values in seen.items():  # a block's tap is the mean over all tokens
        wanted = values.mean(1) if values.ndim == 3 else values
        np.testing.assert_allclose(found[tap], wanted.numpy(), atol=1e-4)


@pytest.mark.parametrize("head", ["attentive", pytest.param("prototype", marks=pytest.mark.slow)])
def test_heads_that_read_tokens_are_exported_too(head, tmp_path):
    options = {"head": head}
    model = trained("birdmae-tiny", **options)
    path = save(model, "birdmae-tiny", tmp_path / "best", options=options)
    made = export.export(path, tmp_path / "model.onnx")
    logits = session(made.path).run(["logits"], {"waveform": waves(2)})[0]
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(torch.from_numpy(waves(2))).numpy(), atol=1e-4)
    assert len(find_blocks(load(made.path)).blocks) == 4


BLOCKS = [
    pytest.param("efficientnet-b1", 23, marks=pytest.mark.slow),
    pytest.param("tf_efficientnet_b1", 23, marks=pytest.mark.slow),
    pytest.param("timm:vit_small_patch14_dinov2", 12, marks=pytest.mark.slow),
    pytest.param("birdmae-base", 12, marks=pytest.mark.slow),
    pytest.param("birdmae-large", 24, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "count"), BLOCKS)
def test_blocks_of_the_members(name, count, tmp_path):
    model = trained(name)
    made = export.write(model, Description(name, LABELS, "sigmoid"), tmp_path / "model.onnx")
    assert max(made.max_abs.values()) < 1e-4
    found = find_blocks(load(made.path))
    assert len(found.blocks) == count
    assert found.embedding.tensor == "embedding" and found.logits.tensor == "logits"


@pytest.mark.slow
def test_huge_has_its_weights_in_a_second_file(tmp_path):
    made = export.export("birdmae-huge", tmp_path / "huge.onnx")  # compared with torch on the way
    assert made.data == tmp_path / "huge.onnx.data" and made.data.stat().st_size > 2 * 10**9
    assert made.path.stat().st_size < 10**7 and made.size > 2.5e9
    (output,) = session(made.path).get_outputs()  # finds its weights where they were moved to
    assert output.shape[1] == 1280


@pytest.mark.slow
def test_32_blocks_are_found_at_huges_depth(tmp_path, monkeypatch):
    """At a small width: a file of above 2 GB takes ten minutes here."""
    monkeypatch.setitem(birdmae.SIZES, "huge", birdmae.Size(birdmae.SIZES["huge"].depth, 64, 2))
    made = export.export("birdmae-huge", tmp_path / "huge.onnx")
    assert made.data is None and len(find_blocks(load(made.path)).blocks) == 32


# --- members that were not trained here ---


def test_a_members_name_ends_at_the_embedding_of_the_given_weights(tmp_path):
    source = trained("birdmae-tiny", seed=5)
    save_file({k: v.contiguous() for k, v in source.network.state_dict().items()}, tmp_path / "model.safetensors")
    heard = []
    made = export.export("birdmae-tiny", tmp_path / "m.onnx", init=tmp_path / "model.safetensors", log=heard.append)
    assert made.outputs == ("embedding",) and made.labels == () and not any("random" in line for line in heard)
    found = session(made.path).run(None, {"waveform": waves(2)})[0]
    with torch.no_grad():
        network = source.network
        wanted = network.embedding(network.tokens(source.frontend(torch.from_numpy(waves(2)))))
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)
    architecture = find_blocks(load(made.path))
    assert len(architecture.blocks) == 4 and architecture.embedding is not None and architecture.logits is None
    init = json.loads(session(made.path).get_modelmeta().custom_metadata_map["init"])
    assert init["sha256"] == checkpoint.sha256(tmp_path / "model.safetensors")


def test_a_bare_timm_name_will_do(tmp_path):
    heard = []
    made = export.export("resnet10t", tmp_path / "resnet.onnx", log=heard.append)
    assert made.member == "timm:resnet10t" and "random weights" in heard[0]
    assert len(find_blocks(load(made.path)).blocks) == 4


# --- faults ---


def test_what_cannot_be_exported_is_told(tiny, tmp_path):
    model, run, _ = tiny
    with pytest.raises(InputError, match=r"tiny.onnx: exists, expected a new file"):
        export.export(run, run / "tiny.onnx")
    with pytest.raises(InputError, match=r"ends in \.onnx"):
        export.export(run, tmp_path / "tiny.pt")
    with pytest.raises(InputError, match="`--fold` must be one of 0, got 3"):
        export.export(run, tmp_path / "a.onnx", fold=3)
    with pytest.raises(InputError, match="expected a folder of `birdprobe finetune`, got birdmae-tiny"):
        export.export("birdmae-tiny", tmp_path / "a.onnx", fold=0)
    with pytest.raises(InputError, match="--init and --pretrained go with a name"):
        export.export(run, tmp_path / "a.onnx", pretrained=True)
    with pytest.raises(InputError, match=r"member: expected .*got 'nothing'"):
        export.export("nothing", tmp_path / "a.onnx")
    with pytest.raises(InputError, match="no published weights"):
        export.export("birdmae-tiny", tmp_path / "a.onnx", pretrained=True)
    two = tmp_path / "two"
    for fold in (0, 1):
        save(model, "birdmae-tiny", two / f"fold{fold}" / "best", fold=fold)
    with pytest.raises(InputError, match="expected one fold, got 0, 1"):
        export.export(two, tmp_path / "a.onnx")
    assert not list(tmp_path.glob("*.onnx*"))


def test_weights_that_are_not_finite_are_refused_and_leave_the_old_file(tmp_path):
    model = trained("birdmae-tiny")
    with torch.no_grad():
        model.network.classifier.bias.fill_(float("nan"))
    out = tmp_path / "m.onnx"
    out.write_bytes(b"old")
    with pytest.raises(InputError, match=r"logits: expected within 0.0001 of torch's, got nan"):
        export.write(model, Description("birdmae-tiny", LABELS, "sigmoid"), out)
    assert out.read_bytes() == b"old" and list(tmp_path.iterdir()) == [out]
