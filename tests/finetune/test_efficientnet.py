"""BirdSet's EfficientNet-B1: the published class's function and names, strict loading, running statistics."""

import json
from itertools import pairwise

import pytest
import torch
from safetensors.torch import save_file

from birdprobe.features import InputError
from birdprobe.finetune import initial_weights
from birdprobe.finetune.models import batch_norm, members
from birdprobe.finetune.models.batch_norm import COUNT, SETTLED, SHARES, momentum
from birdprobe.finetune.models.efficientnet import CONFIGURATION, HEAD, STEM, BirdSetEfficientNet
from birdprobe.finetune.models.timm_backbone import TimmBackbone
from birdprobe.finetune.models.timm_import import import_timm


def published(labels: int = 9736):
    """The class of the published checkpoint, weights made up."""
    import_timm()
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    torch.manual_seed(1)
    net = EfficientNetForImageClassification(EfficientNetConfig(**CONFIGURATION, image_size=240, num_labels=labels))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # transformers starts them near zero: nothing would come through
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
            torch.nn.init.normal_(module.running_mean, std=0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
        elif isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=(2 / module.weight[0].numel()) ** 0.5)
    return net.eval()


@pytest.fixture(scope="module")
def source():
    return published()


@pytest.fixture
def state(source):
    return dict(source.state_dict())


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return BirdSetEfficientNet(5).eval()


def picture(n=2, seed=0):
    return torch.randn(n, 1, 256, 626, generator=torch.Generator().manual_seed(seed))


# --- weights ---


def test_a_published_file_loads_and_gives_the_published_classs_output(source, state, network, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(state, path)
    assert len(state) == 508 and path.stat().st_size == pytest.approx(76e6, rel=0.03)  # the published file: 76 MB
    (tmp_path / "config.json").write_text(json.dumps(source.config.to_dict()))
    began = initial_weights.begin(network, members.get("efficientnet-b1"), init=path)
    assert began["note"] == "head of 9,736 labels (XCL) replaced by one of 5"
    with torch.no_grad():
        wanted = source.efficientnet(picture()).pooler_output
        found = network.embedding(network.tokens(picture()))
        assert float(wanted.std()) > 0.1
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
        network.classifier.load_state_dict({"weight": state[HEAD][:5], "bias": state["classifier.bias"][:5]})
        torch.testing.assert_close(network(picture()), source(picture()).logits[:, :5], atol=1e-5, rtol=1e-4)


def test_the_other_published_head_and_ones_own_load_too(state, network):
    for labels, named in ((411, "411 labels (XCM)"), (3, "3 labels replaced")):
        head = {HEAD: torch.zeros(labels, 1280), "classifier.bias": torch.zeros(labels)}
        assert named in network.load_weights({**state, **head}, "file")


def test_a_head_is_never_taken_from_the_file(state, network):
    before = network.classifier.weight.clone()
    network.load_weights({**state, HEAD: torch.full((5, 1280), 7.0)}, "file")
    assert torch.equal(network.classifier.weight, before)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({STEM: torch.zeros(32, 3, 3, 3)}, "convolution.weight: expected 32x1x3x3, got 32x3x3x3.*RGB"),
        ({HEAD: torch.zeros(9736, 1536)}, "classifier.weight: expected \\?x1280, got 9736x1536"),
        ({HEAD: None}, "classifier.weight: expected .x1280, got nothing"),
        ({"efficientnet.encoder.top_bn.bias": None}, "1 missing .efficientnet.encoder.top_bn.bias"),
        ({"efficientnet.encoder.blocks.23.x": torch.zeros(1)}, "1 extra .efficientnet.encoder.blocks.23.x"),
        ({"efficientnet.encoder.top_conv.weight": torch.zeros(1280, 192, 1, 1)}, "1 of another shape"),
        ({"conv_stem.weight": torch.zeros(1)}, "expected BirdSet's tensor names, got timm's.*tf_efficientnet_b1"),
    ],
)
def test_what_does_not_fit_is_named(change, told, state, network):
    for name, value in change.items():
        if value is None:
            del state[name]
        else:
            state[name] = value
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(InputError, match=told):
        network.load_weights(state, "file")
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_another_configuration_is_named(state, network):
    with pytest.raises(InputError, match="depthwise_padding"):  # the same shapes, another function
        network.load_weights(state, "file", CONFIGURATION | {"depthwise_padding": []})


# --- training from scratch ---


def test_a_fresh_network_passes_signals_and_gradients():
    torch.manual_seed(0)
    network = BirdSetEfficientNet(5, drop_path=0.0, dropout=0.0).train()
    logits = network(picture(8)[:, :, :96, :160])
    assert float(logits.detach().std(0).mean()) > 0.05  # transformers' own start gives 1e-9
    logits.square().mean().backward()
    stem = network.efficientnet.embeddings.convolution.weight.grad
    assert torch.isfinite(stem).all() and float(stem.abs().max()) > 1e-5


# --- running statistics ---


def test_the_share_of_a_batch_falls_in_steps():
    shares = [momentum(n) for n in range(2000)]
    assert shares[0] == 1.0 and shares[-1] == 0.01 == momentum(SETTLED) and momentum(SETTLED - 1) > 0.01
    assert sorted(set(shares), reverse=True) == list(SHARES)
    assert all(a >= b for a, b in pairwise(shares))
    assert all(share <= 10 / (n + 10) for n, share in enumerate(shares[:SETTLED]))


class Small(batch_norm.BatchNormed):
    tokens = embedding = logits = layer_id = is_head = load_weights = None

    def __init__(self):
        super().__init__()
        self.bn = torch.nn.BatchNorm1d(4)

    def forward(self, x):
        with self.tracked():
            return self.bn(x)


def test_running_statistics_are_those_of_torch_at_the_same_momentum():
    network, same = Small().train(), torch.nn.BatchNorm1d(4).train()
    for n in range(30):
        x = 3 + torch.randn(8, 4, generator=torch.Generator().manual_seed(n))
        same.momentum = momentum(n)
        network(x), same(x)
    torch.testing.assert_close(network.bn.state_dict(), same.state_dict(), rtol=1e-5, atol=1e-6)


def test_running_statistics_come_close_in_short_and_long_trainings():
    generator = torch.Generator().manual_seed(0)
    for batches, close in ((30, 0.25), (1500, 0.1)):
        network, old = Small().train(), torch.nn.BatchNorm1d(4, momentum=0.99).train()
        for _ in range(batches):
            x = 3 + 2 * torch.randn(16, 4, generator=generator)
            network(x), old(x)
        errors = [float((bn.running_mean - 3).abs().mean()) for bn in (network.bn, old)]
        assert errors[0] < close and float((network.bn.running_var - 4).abs().mean()) < 8 * close
    assert errors[0] < 0.5 * errors[1]  # momentum 0.99 stays as noisy as one batch, however long it runs


def test_a_resumed_training_has_the_same_statistics():
    batches = [torch.randn(8, 4, generator=torch.Generator().manual_seed(i)) for i in range(40)]
    whole, first, second = Small().train(), Small().train(), Small().train()
    for x in batches:
        whole(x)
    for x in batches[:25]:
        first(x)
    second(batches[0])  # as any construction and warm-up may
    second.load_state_dict(first.state_dict())
    for x in batches[25:]:
        second(x)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), second.state_dict().values()))


def test_evaluation_moves_nothing():
    network = Small().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(torch.randn(8, 4) + 5)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_loaded_network_counts_as_trained(state):
    network = BirdSetEfficientNet(5).train()
    counts = [name for name in state if name.endswith(COUNT)]
    assert len(counts) == 69
    for name in counts[1:]:
        state[name] = torch.tensor(0)  # converted from another framework
    del state[counts[0]]
    network.load_weights(state, "file")
    assert {int(value) for name, value in network.state_dict().items() if name.endswith(COUNT)} == {SETTLED}
    mean = next(iter(network.norms().values())).running_mean
    before = mean.clone()
    with network.tracked():
        network(picture(2))
        batch = mean.clone()
    torch.testing.assert_close(mean, 0.99 * before + 0.01 * batch)


# --- any timm backbone ---


def test_a_timm_file_of_photographs_fits_a_spectrogram():
    """The published failure: size mismatch for pos_embed. 14 x 14 patches of a photograph, 16 x 40 of a spectrogram."""
    timm = import_timm()
    torch.manual_seed(0)
    state = timm.create_model("vit_tiny_patch16_224", num_classes=10).state_dict()
    ramp = torch.linspace(-1, 1, 14)
    state["pos_embed"][0, 1:, 0] = ramp.repeat_interleave(14)  # grows from top to bottom
    state["pos_embed"][0, 1:, 1] = ramp.repeat(14)  # grows from left to right
    network = TimmBackbone("vit_tiny_patch16_224", 3)
    note = network.load_weights(dict(state), "vit.safetensors")
    assert "14 x 14 patches resampled to 16 x 40" in note and "summed over its 3 channels" in note
    table = network.net.pos_embed.detach()[0]
    assert torch.equal(table[0], state["pos_embed"][0, 0])  # the cls token's row
    grid = table[1:].reshape(16, 40, -1)
    assert (grid[1:, :, 0] > grid[:-1, :, 0]).all() and (grid[:, 1:, 1] > grid[:, :-1, 1]).all()
    torch.testing.assert_close(network.net.patch_embed.proj.weight, state["patch_embed.proj.weight"].sum(1, True))
    for name in ("blocks.3.mlp.fc1.weight", "norm.bias"):
        assert torch.equal(network.net.state_dict()[name], state[name])
    assert network.net.head.weight.shape == (3, 192)
    with torch.no_grad():
        assert network.eval()(picture()).shape == (2, 3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"pos_embed": torch.zeros(1, 151, 192)},
            r"pos_embed: expected \[1, 641, 192\], got \[1, 151, 192\] .*16 x 40",
        ),
        ({"pos_embed": torch.zeros(1, 197, 384)}, "only a square of the same width"),
        ({"blocks.0.norm1.weight": torch.zeros(7)}, "1 of another shape"),
    ],
)
def test_timm_files_that_do_not_fit_are_named(change, told):
    network = TimmBackbone("vit_tiny_patch16_224", 3)
    state = import_timm().create_model("vit_tiny_patch16_224", num_classes=10).state_dict() | change
    with pytest.raises(InputError, match=told):
        network.load_weights(state, "vit.safetensors")


def test_another_architecture_is_named():
    network = TimmBackbone("resnet10t", 3)
    with pytest.raises(InputError, match="architecture: expected 'resnet10t', got 'resnet18'"):
        network.load_weights({}, "file", {"architecture": "resnet18"})
