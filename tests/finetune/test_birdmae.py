"""Bird-MAE against timm's VisionTransformer."""

from functools import partial

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from birdprobe.features import InputError
from birdprobe.finetune.models.birdmae import HEADS, SIZES, BirdMAE, build, position_embedding
from birdprobe.finetune.models.network import Mixed
from birdprobe.finetune.models.timm_import import import_timm
from birdprobe.probe.blocks.detection import find_blocks
from tests import birdmae_checkpoint

CLASSES = 7


def pictures(n=2, seed=0):
    return torch.randn(n, 1, 512, 128, generator=torch.Generator().manual_seed(seed))


def network(size="tiny", head="plain", seed=0):
    """Checkpoint-like weights and a head that speaks up (fresh ones are nearly silent), in evaluation mode."""
    torch.manual_seed(seed)
    net = build(size, CLASSES, head=head)
    net.load_weights(birdmae_checkpoint.tensors(size, seed), "made up")
    if net.classifier is not None:
        nn.init.normal_(net.classifier.weight, std=0.1)
        nn.init.normal_(net.classifier.bias)
    return net.eval()


# --- the network ---


def timms(size, net, pool):
    """timm's ViT built from the paper's sizes alone, with the network's weights under our own mapping of names."""
    import_timm()
    from timm.models.vision_transformer import VisionTransformer

    depth, dim = birdmae_checkpoint.SIZES[size]
    heads = {"tiny": 4, "base": 12}[size]
    other = VisionTransformer(
        img_size=(512, 128),
        patch_size=16,
        in_chans=1,
        num_classes=CLASSES,
        global_pool=pool,
        embed_dim=dim,
        depth=depth,
        num_heads=heads,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    ).eval()
    unused = ("norm.",) if pool == "avg" else ("fc_norm.", "head.")
    state = {name: value for name, value in net.state_dict().items() if not name.startswith(unused)}
    missing, unexpected = other.load_state_dict(state, strict=False)
    assert not unexpected
    assert set(missing) <= {"head.weight", "head.bias"}
    return other


@pytest.mark.parametrize("size", ["tiny", pytest.param("base", marks=pytest.mark.slow)])
def test_plain_network_equals_timms(size):
    net, x = network(size), pictures()
    with torch.no_grad():
        ours, theirs = net(x), timms(size, net, "avg")(x)
    assert ours.std() > 0.1
    assert (ours[0] - ours[1]).abs().max() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_prototypes_see_the_tokens_that_timm_normalises():
    net, x = network(head="prototype"), pictures()
    with torch.no_grad():
        ours, theirs = net.norm(net.tokens(x)), timms("tiny", net, "").forward_features(x)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
        torch.testing.assert_close(net.embedding(net.tokens(x)), theirs[:, 1:].mean(1), atol=1e-5, rtol=0)


def test_patches_run_over_mel_first():  # token i shows time i // 8, mel i % 8
    net = network()
    quiet = torch.zeros(1, 1, 512, 128)
    loud = quiet.clone()
    loud[0, 0, 3 * 16 + 5, 2 * 16 + 7] = 1.0
    with torch.no_grad():
        moved = (net.embed(loud) - net.embed(quiet)).abs().sum(2)[0]
    assert moved.nonzero().flatten().tolist() == [1 + 3 * 8 + 2]


@pytest.mark.parametrize(("size", "millions"), [("base", 85.3), ("large", 302.6), ("huge", 630)])
def test_published_sizes(size, millions):
    with torch.device("meta"):
        net = BirdMAE(1, size)
    names = {name: tuple(value.shape) for name, value in net.state_dict().items() if not name.startswith("head.")}
    assert names == birdmae_checkpoint.shapes(size)
    assert len(names) == 12 * SIZES[size].depth + 8
    assert len(net.blocks) == net.depth == SIZES[size].depth
    count = sum(np.prod(shape) for name, shape in names.items() if name != "pos_embed")
    assert count / 1e6 == pytest.approx(millions, rel=2e-3)


def test_position_embedding_has_the_published_scramble():
    table = position_embedding(16).numpy()[0]
    assert table.shape == (257, 16)
    assert not table[0].any()
    for r in (0, 1, 31, 32, 100, 255):
        h, w = divmod(r, 32)  # the tokens' own grid would be divmod(r, 8)
        omega = [10000 ** -(k / 4) for k in range(4)]
        row = [f(at * o) for at in (w, h) for f in (np.sin, np.cos) for o in omega]
        np.testing.assert_allclose(table[1 + r], row, atol=1e-6)


def test_position_embedding_is_loaded_not_rebuilt_and_never_trained():
    net = network()
    assert torch.equal(net.pos_embed, birdmae_checkpoint.tensors("tiny")["pos_embed"])
    assert "pos_embed" not in dict(net.named_parameters())


def test_drop_path_rises_linearly():
    first, *others = BirdMAE(2, "tiny", drop_path=0.3).blocks
    assert isinstance(first.drop_path1, nn.Identity)
    assert [block.drop_path2.drop_prob for block in others] == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("head", HEADS)
def test_pooling_and_heads_are_float32_under_autocast(
    head,
):  # Large has a channel of 4,600: bfloat16 would eat the others
    net = network(head=head)
    with torch.no_grad():
        tokens = net.tokens(pictures())
        tokens[:, :, 5] += 4000
        wanted = net.logits(tokens)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert net.tokens(pictures()).dtype == torch.float32  # the residual stream
            assert net.blocks[0].attn.qkv(tokens).dtype == torch.bfloat16  # while the products are in half precision
        mixed = Mixed(net, torch.bfloat16)
        net.blocks[-1].register_forward_hook(lambda *_: tokens)
        assert torch.equal(mixed(pictures()), wanted)


@pytest.mark.parametrize("head", HEADS)
def test_every_parameter_learns(head):  # a parameter without a gradient stops data-parallel training
    net = network(head=head).train()
    loss = net(pictures()).square().sum() + (net.extra_loss() or 0)
    loss.backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert silent == []


@pytest.mark.parametrize("head", HEADS)
def test_exported_graph_gives_every_block_back(head, tmp_path):
    net, path = network(head=head), tmp_path / "net.onnx"
    axes = {"x": {0: "batch"}, "logits": {0: "batch"}}
    torch.onnx.export(
        net, (pictures(),), str(path), input_names=["x"], output_names=["logits"], dynamic_axes=axes, dynamo=False
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for n in (1, 3):
        with torch.no_grad():
            wanted = net(pictures(n, seed=n)).numpy()
        (found,) = session.run(None, {"x": pictures(n, seed=n).numpy()})
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    blocks = find_blocks(onnx.load(path)).blocks
    assert [block.kind for block in blocks] == ["transformer"] * 4


def test_input_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\[2, 1, 128, 512\]"):
        network()(pictures().transpose(2, 3))


# --- what the training loop asks ---


@pytest.mark.parametrize("head", HEADS)
def test_layer_ids(head):
    net = build("tiny", 3, head=head)
    ids = {name: net.layer_id(name) for name in [*dict(net.named_parameters()), "pos_embed"]}
    stem = ("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias")
    assert {ids.pop(name) for name in stem} == {0}
    for i in range(4):
        block = [name for name in ids if name.startswith(f"blocks.{i}.")]
        assert len(block) == 12
        assert {ids.pop(name) for name in block} == {i + 1}
    assert set(ids.values()) == {5} == {net.depth + 1}
    with pytest.raises(KeyError):
        net.layer_id("network.cls_token")


def test_layer_ids_of_two_digits():
    with torch.device("meta"):
        net = BirdMAE(1, "huge")
    assert net.layer_id("blocks.31.mlp.fc2.bias") == 32
    assert net.layer_id("head.weight") == 33


@pytest.mark.parametrize(
    ("head", "extra"),
    [
        ("plain", {"head.weight", "head.bias", "fc_norm.weight", "fc_norm.bias"}),
        (
            "attentive",
            {"fc_norm.weight", "fc_norm.bias", "head.query", "head.k.weight", "head.v.weight"}
            | {"head.linear.weight", "head.linear.bias"},
        ),
        ("prototype", {"head.prototypes", "head.weight", "head.bias"}),
    ],
)
def test_head_parameters(head, extra):
    net = build("tiny", 3, head=head)
    assert {name for name, _ in net.named_parameters() if net.is_head(name)} == extra


def test_own_learning_rate_of_prototypes():
    assert build("tiny", 3, head="prototype").rates() == {"head.prototypes": 0.04}
    assert build("tiny", 3, head="prototype").rates(0.01) == {"head.prototypes": 0.01}
    assert build("tiny", 3).rates() == {}


def learn(net, x, y, steps=25):
    """Mean losses of the first and the last three steps."""
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3)
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(net(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return np.mean(losses[:3]), np.mean(losses[-3:])


@pytest.mark.slow
def test_a_tiny_network_learns_where_a_sound_is():  # a head of 2e-5 once left the blocks without a signal
    x, y = 0.3 * pictures(8), torch.arange(8) % 4
    for picture, mel in zip(x, y):
        picture[0, 100:300, 30 * mel : 30 * mel + 8] += 1.5
    torch.manual_seed(0)
    first, last = learn(build("tiny", 4, drop_path=0.0), x, y)
    assert last < 0.3 * first


@pytest.mark.parametrize("head", ["plain", "attentive"])
def test_a_classifier_is_loud_on_fresh_blocks_and_silent_on_pretrained_ones(head):
    net = build("tiny", 50, head=head)
    assert net.classifier.weight.std().item() == pytest.approx(0.02, rel=0.1)
    net.load_weights(birdmae_checkpoint.tensors("tiny"), "made up")
    assert net.classifier.weight.std().item() == pytest.approx(2e-5, rel=0.1)


def test_build_names_the_heads_there_are():
    with pytest.raises(InputError, match="`head` must be one of plain, attentive, prototype, got 'linear'"):
        build("tiny", 3, head="linear")
