"""Heads against their own definitions: parameter counts, standardisation, attention that equals torch's own layer."""

import pytest
import torch
from torch import nn

from birdprobe.features import InputError
from birdprobe.finetune.losses import probabilities
from birdprobe.heads.modules import ConcatLinear, build, parameters_count

PERCH = {"block_21": 232, "block_24": 384, "block_25": 384}
SMALL = {"a": 3, "b": 5, "c": 4}


def inputs(widths, n=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [3 + 2 * torch.randn(n, width, generator=generator) for width in widths.values()]


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        # projections + LayerNorms, block embeddings, [CLS], norms, attention, FFN, classifier
        ("attention", 256768 + 1536 + 768 + 256 + 1024 + 4 * 65792 + 131584 + 131328 + 234 * 257),
        ("scalarmix", 256768 + 1536 + 3 + 234 * 257),
        ("concat", 234 * 1001),
    ],
)
def test_parameters_of_the_published_heads(kind, count):
    assert parameters_count(build(kind, PERCH, 234)) == count


@pytest.mark.parametrize("kind", ["attention", "scalarmix", "concat"])
@pytest.mark.parametrize("widths", [SMALL, {"only": 7}])
def test_logits_and_shares(kind, widths):
    head = build(kind, widths, 4).eval()
    xs = inputs(widths)
    head.fit_statistics(xs)
    assert head(xs).shape == (6, 4)
    shares = head.tap_weights(xs)
    assert shares.shape[-1] == len(widths) and bool((shares >= 0).all())
    torch.testing.assert_close(shares.sum(dim=-1), torch.ones(shares.shape[:-1]))


def test_inputs_are_standardised_inside():
    head, xs = build("attention", SMALL, 4).eval(), inputs(SMALL)
    head.fit_statistics(xs)
    one = head(xs)
    moved = [1000 * x - 7 for x in xs]
    head.fit_statistics(moved)
    torch.testing.assert_close(head(moved), one, atol=1e-4, rtol=1e-4)


def test_a_column_that_never_varies_is_ignored():
    head, x = ConcatLinear({"a": 2}, 3), torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    head.fit_statistics([x])
    torch.testing.assert_close(head.standardised([x + 1])[0], torch.tensor([[0.0, 0.0], [2.0, 0.0]]))


def test_attention_equals_torchs_transformer_layer():
    head, xs = build("attention", SMALL, 4, dim=16, heads=2, hidden=24).eval(), inputs(SMALL)
    reference = nn.TransformerEncoderLayer(16, 2, 24, activation="gelu", norm_first=True, batch_first=True).eval()
    own = dict(head.named_parameters())
    with torch.no_grad():
        for part in ("weight", "bias"):
            whole = torch.cat([own[f"{name}.{part}"] for name in ("query", "key", "value")])
            getattr(reference.self_attn, f"in_proj_{part}").copy_(whole)
            for theirs, ours in [
                ("self_attn.out_proj", "out"),
                ("linear1", "ffn.0"),
                ("linear2", "ffn.3"),
                ("norm1", "norm_attention"),
                ("norm2", "norm_ffn"),
            ]:
                reference.get_parameter(f"{theirs}.{part}").copy_(own[f"{ours}.{part}"])
        sequence = head._sequence(xs)
        torch.testing.assert_close(head(xs), head.classify(reference(sequence)[:, 0]))
        _, theirs = reference.self_attn(*[reference.norm1(sequence)] * 3)
        shares = theirs[:, 0, 1:] / theirs[:, 0, 1:].sum(dim=-1, keepdim=True)
        torch.testing.assert_close(head.tap_weights(xs), shares)


def test_scalar_mix_of_one_extreme_weight_reads_that_tap_alone():
    head, xs = build("scalarmix", SMALL, 4).eval(), inputs(SMALL)
    with torch.no_grad():
        head.mix[1] = 100.0
    other = [torch.randn_like(xs[0]), xs[1], torch.randn_like(xs[2])]
    torch.testing.assert_close(head(xs), head(other))
    torch.testing.assert_close(head.tap_weights(xs), torch.tensor([0.0, 1.0, 0.0]))


def test_concat_shares_are_weight_norms():
    head = build("concat", {"a": 1, "b": 1}, 1)
    with torch.no_grad():
        head.classify.weight.copy_(torch.tensor([[-3.0, 1.0]]))
    torch.testing.assert_close(head.tap_weights([]), torch.tensor([0.75, 0.25]))


def test_every_parameter_learns():
    for kind in ("attention", "scalarmix", "concat"):
        head, xs = build(kind, SMALL, 4), inputs(SMALL)
        head.fit_statistics(xs)
        head(xs).square().sum().backward() if kind != "concat" else (head(xs) - 1).square().sum().backward()
        still = [n for n, p in head.named_parameters() if p.grad is None or not p.grad.abs().sum()]
        # a bias of the keys moves all scores of a query alike, and the softmax takes that out
        assert [n for n in still if n != "key.bias"] == []


def test_probabilities():
    logits = torch.tensor([[0.0, 0.0]])
    assert probabilities(logits, "sigmoid").tolist() == [[0.5, 0.5]]
    assert probabilities(logits + 9, "softmax").tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize(
    ("args", "match"),
    [
        (("mlp", SMALL, 4), "`--head` must be one of attention, scalarmix.*got 'mlp'"),
        (("linear", SMALL, 4), r"expected 1 tap.*got 3 \(a, b, c\)"),
        (("attention", {}, 4), "expected taps and classes, got 0 and 4"),
    ],
)
def test_bad_heads(args, match):
    with pytest.raises(InputError, match=match):
        build(*args)


def test_an_option_of_another_head():
    with pytest.raises(InputError, match="head scalarmix: expected the options dim or dropout, got hidden"):
        build("scalarmix", SMALL, 4, hidden=3)
    with pytest.raises(InputError, match="a multiple of its 3 heads"):
        build("attention", SMALL, 4, heads=3)
