"""The members' table: what is published stands there, every network keeps the training loop's promises."""

from dataclasses import fields

import pytest
import torch

from birdprobe.features import InputError
from birdprobe.finetune.data.augment import Augment
from birdprobe.finetune.models import members
from birdprobe.finetune.models.members import MEMBERS, Recipe, assemble, get

SMALL = ("birdmae-tiny", "efficientnet-b1", "tf_efficientnet_b1", "timm:vit_tiny_patch16_224")


@pytest.fixture(scope="module", params=SMALL)
def model(request):
    torch.manual_seed(0)
    return assemble(get(request.param), 3, drop_path=0.0).eval()


@pytest.mark.parametrize(
    ("name", "option", "known"),
    [
        ("birdmae-tiny", "dropout", "head or drop_path"),
        ("efficientnet-b1", "head", "drop_path or dropout"),
        ("timm:resnet10t", "head", "drop_path or picture"),
        ("sed:resnet10t", "head", "drop_path or dropout"),
    ],
)
def test_an_option_of_another_member_is_named(name, option, known):
    with pytest.raises(InputError, match=f"^{name}: expected the options {known}, got {option}"):
        assemble(get(name), 3, **{option: "attentive"})


# --- recipes: golden values, written down here a second time ---


def test_birdmae_larges_recipe_is_the_model_cards():
    r = MEMBERS["birdmae-large"].recipe
    assert (r.learning_rate, r.weight_decay, r.layer_decay, r.batch_size) == (3e-4, 3e-4, 0.75, 32)
    assert (r.epochs, r.frozen_epochs, r.clip_norm, r.betas) == (30, 2, 2.0, (0.9, 0.95))
    assert (r.loss, r.gamma_neg, r.gamma_pos, r.asl_clip) == ("asl", 4.0, 0.0, 0.05)
    assert (r.warmup, r.min_lr, r.drop_path, r.selection) == (0.067, 1e-6, 0.1, "energy")
    a = r.augment
    assert (a.mixup_p, a.mixup_partners, a.roll_p, a.background_p, a.background_snr_db) == (
        0.9,
        (1, 3),
        1.0,
        0.5,
        (3, 30),
    )
    assert (a.noise_p, a.noise_slope, a.frequency_mask, a.frequency_p, a.time_mask, a.time_p) == (
        *(0.2, (-2.0, 2.0)),
        *(50, 0.3, 100, 0.3),
    )


def test_the_other_birdmaes_have_the_papers():
    for name in ("birdmae-base", "birdmae-huge"):
        r = MEMBERS[name].recipe
        assert (r.batch_size, r.epochs, r.frozen_epochs, r.gamma_pos) == (128, 30, 0, 1.0)


@pytest.mark.parametrize("name", ["efficientnet-b1", "tf_efficientnet_b1"])
def test_efficientnets_recipe_is_the_model_cards(name):
    r = MEMBERS[name].recipe
    assert (r.learning_rate, r.weight_decay, r.batch_size, r.epochs, r.loss) == (5e-4, 0.01, 64, 50, "bce")
    assert (r.layer_decay, r.clip_norm, r.frozen_epochs, r.warmup) == (1.0, 0.0, 0, 0.05)


def test_every_recipe_is_one_record_of_plain_values():
    for member in MEMBERS.values():
        values = {field.name: getattr(member.recipe, field.name) for field in fields(Recipe)}
        assert isinstance(values.pop("augment"), Augment)
        assert all(isinstance(value, int | float | str | tuple) for value in values.values())


# --- names ---


def test_members_are_found_by_name():
    assert all(get(name).name == name == member.name for name, member in MEMBERS.items())
    assert [name for name, member in MEMBERS.items() if member.hub_id is None] == ["birdmae-tiny"]
    assert all(member.window_samples == 160_000 for member in MEMBERS.values())
    dino = get("timm:vit_small_patch14_dinov2.lvd142m")
    assert (dino.hub_id, dino.licence) == ("timm/vit_small_patch14_dinov2.lvd142m", "apache-2.0")
    assert dino.recipe.layer_decay == 0.75
    assert get("timm:convnext_atto").recipe.layer_decay == 1.0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("birdmae-larg", "one of birdmae-large, "),
        ("efficientnet_b1", "efficientnet-b1, .*timm:efficientnet_b1"),
        ("zzz", "one of birdmae-base, .*birdmae-tiny, got 'zzz'. timm:NAME is any timm backbone"),
        (
            "timm:vit_smal_patch14_dinov2",
            "timm backbone: expected vit_small_patch14_dinov2.*got 'vit_smal_patch14_dinov2'",
        ),
        ("timm:vit_small_patch14_dinov2.lvd", "expected the weights lvd142m, got 'lvd'"),
    ],
)
def test_unknown_names_bring_the_near_ones(name, told):
    with pytest.raises(InputError, match=told):
        get(name)


# --- what every network promises to the training loop ---


def test_a_model_takes_waveforms(model):
    waveform = 0.1 * torch.randn(2, 160_000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model(waveform)
        x = model.frontend.finish(model.frontend.raw(waveform))
        torch.testing.assert_close(model.network(x), logits)
    assert logits.shape == (2, 3) and logits.dtype == torch.float32
    assert x.ndim == 4 and x.shape[:2] == (2, 1)


def test_logits_come_from_the_embedding(model):
    """What export reads: tokens, then the embedding, then the classifier."""
    network = model.network
    with torch.no_grad():
        tokens = network.tokens(model.frontend(torch.randn(2, 160_000)))
        embedding = network.embedding(tokens)
        assert embedding.shape == (2, network.classifier.in_features)
        torch.testing.assert_close(network.classifier(embedding), network.logits(tokens))


def test_every_parameter_has_a_layer_and_few_are_the_head(model):
    network = model.network
    ids = {name: network.layer_id(name) for name, _ in network.named_parameters()}
    assert set(ids.values()) <= set(range(network.depth + 2))
    heads = [name for name in ids if network.is_head(name)]
    assert heads and all(ids[name] == network.depth + 1 for name in heads)
    assert {name for name in ids if "classifier." in name or ".head." in f".{name}"} <= set(heads)
    assert len(heads) <= 4
    assert network.extra_loss() is None


def test_layers_of_a_timm_transformer_follow_its_blocks():
    network = assemble(get("timm:vit_tiny_patch16_224"), 3).network
    assert network.depth == 12
    found = [network.layer_id(f"net.{name}") for name in ("pos_embed", "patch_embed.proj.weight", "head.weight")]
    assert found == [0, 0, 13]
    assert [network.layer_id(f"net.blocks.{i}.attn.qkv.weight") for i in range(12)] == list(range(1, 13))


def test_all_parameters_get_gradients(model):
    network = model.network.train()
    network(model.frontend(torch.randn(2, 160_000))).square().sum().backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    network.zero_grad(set_to_none=True)
    network.eval()


def test_the_published_sizes():
    """Without their weights' memory: 85.3, 302.6 and 630 million parameters without a head."""
    for name, millions in (("birdmae-base", 85.3), ("birdmae-large", 302.6), ("birdmae-huge", 630)):
        with torch.device("meta"):
            network = members.MEMBERS[name].network(1)
        assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.8)


def test_options_reach_the_network():
    assert type(assemble(get("birdmae-tiny"), 3, head="attentive").network.head).__name__ == "AttentiveHead"
    with pytest.raises(InputError, match="head"):
        assemble(get("birdmae-tiny"), 3, head="tall")
