"""Sequence heads against their own definitions: equations, sizes, padding, what they start from."""

import hashlib
from inspect import signature

import numpy as np
import pytest
import torch

from birdprobe.features import InputError
from birdprobe.heads.modules import parameters_count
from birdprobe.heads.sequences import KINDS, ProtoSSM
from birdprobe.heads.training.specs import build
from tests.sequence_loops import protossm

WIDTHS, CLASSES, SITES = {"a": 5, "b": 7}, 4, ("S01", "S02", "S09")
SMALL = {"dim": 16, "sites": SITES, "first_pass": True}


def recordings(lengths=(12, 3, 1), widths=WIDTHS, longest=12, seed=0, kind=torch.float64):
    """(xs, mask, site, hour, first pass); the padding holds large numbers that must not be seen."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=kind)

    xs = [torch.where(mask[..., None], draw(*mask.shape, width), 1e3) for width in widths.values()]
    first = torch.where(mask[..., None], draw(*mask.shape, CLASSES), -77.0)
    first[..., 2] = torch.nan
    site = torch.arange(len(lengths)) % (len(SITES) + 1)
    return xs, mask, site, torch.arange(len(lengths)) % 25, first


def trained(kind, widths=WIDTHS, seed=0, **options):
    """In evaluation mode, no parameter where it starts."""
    torch.manual_seed(seed)
    head = build(kind, widths, CLASSES, **SMALL | options).double().eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return head


@pytest.mark.parametrize("first_pass", [True, False])
def test_protossm_is_its_equations(first_pass):
    head = trained("protossm", {"a": 5}, first_pass=first_pass).float()
    xs, mask, site, hour, first = recordings(widths={"a": 5}, kind=torch.float32)
    head.windows.fit_statistics([xs[0][mask]])
    head.place.fit(torch.tensor([0, 1]))
    first = first if first_pass else None
    with torch.no_grad():
        found = head(xs, mask, site, hour, first).numpy()
    weights = {name: value.double().numpy() for name, value in head.state_dict().items()}
    weights["place.seen"] = head.place.seen.numpy()
    for i, n in enumerate(mask.sum(dim=1)):
        given = None if first is None else first[i, :n].double().numpy()
        expected = protossm(weights, xs[0][i, :n].double().numpy(), int(site[i]), int(hour[i]), given)
        assert np.abs(found[i, :n] - expected).max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("widths", [WIDTHS, {"a": 5}])
def test_padding_and_the_batch_change_nothing(kind, widths):
    head = trained(kind, widths)
    xs, mask, site, hour, first = recordings(widths=widths)
    with torch.no_grad():
        together = head(xs, mask, site, hour, first)
        for i, n in enumerate(mask.sum(dim=1)):
            one = slice(i, i + 1)
            alone = head([x[one, :n] for x in xs], mask[one, :n], site[one], hour[one], first[one, :n])
            torch.testing.assert_close(together[one, :n], alone, atol=1e-6, rtol=0)
    assert torch.isfinite(together).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_window_counts_for_every_other(kind):
    head = trained(kind)
    xs, mask, site, hour, first = recordings((6,), longest=6)
    with torch.no_grad():
        before = head(xs, mask, site, hour, first)
        for t in (0, 5):
            moved = [x.clone() for x in xs]
            moved[1][0, t] += 1
            assert bool(((head(moved, mask, site, hour, first) - before).abs().amax(-1)[0] > 0).all())
        assert not torch.equal(head(xs, mask, site + 1, hour, first), before)
        assert not torch.equal(head(xs, mask, site, hour + 1, first), before)


def test_parameters_of_the_published_head():
    width, d, n, k, sites = 1536, 192, 16, 234, 20
    scan = 3 * d * d + 7 * d + 3 * d * n
    count = (
        width * d + d + 2 * d  # projection, LayerNorm
        + 12 * d + 16 * (sites + 1 + 25) + 33 * d  # positions, site and hour (each with an unknown), their projection
        + 2 * (2 * scan + 2 * d * d + 3 * d)  # two layers, each way, merged
        + 8 * d * d + 11 * d  # attention block
        + k * d + 1 + k + k  # prototypes, temperature, biases, gates
        + 5 * (d + 1)  # groups
    )  # fmt: skip
    groups = [f"g{i % 5}" for i in range(k)]
    sized = {"sites": [f"S{i:02d}" for i in range(sites)], "first_pass": True}
    assert parameters_count(build("protossm", {"embedding": width}, k, groups=groups, **sized)) == count


@pytest.mark.parametrize("first_pass", [False, True])
def test_parameters_of_the_others(first_pass):
    width, k, sites = 1536, 234, 20
    given = {"sites": [f"S{i:02d}" for i in range(sites)], "first_pass": first_pass}

    def shared(d):
        return width * d + d + 2 * d + 12 * d + 16 * (sites + 1 + 25) + 33 * d

    def count(kind):
        return parameters_count(build(kind, {"embedding": width}, k, **given))

    d, gates = 192, k * first_pass
    assert count("sequence-gru") == shared(d) + 2 * (6 * d * d + 6 * d) + (2 * d + 1) * k + gates
    assert count("sequence-attention") == shared(d) + 2 * (8 * d * d + 11 * d) + 2 * d + (d + 1) * k + gates
    if first_pass:
        d, n = 128, 16
        scan = 3 * d * d + 7 * d + 3 * d * n
        layers = 2 * (2 * scan + 2 * d * d + 3 * d)
        assert count("residual-ssm") == shared(d) + (k + 1) * d + layers + (d + 1) * k


def test_prototypes_start_at_class_means():
    head = ProtoSSM(WIDTHS, CLASSES, dim=16)
    before = head.prototypes.detach().clone()
    xs, mask, *_ = recordings((12, 12), kind=torch.float32)
    xs = [3 + x[mask] for x in xs]
    targets = torch.zeros(24, CLASSES)
    targets[:10, 0] = targets[5:20, 1] = targets[23, 2] = 1
    head.fit_statistics(xs, targets, torch.tensor([0]), None)
    head.eval()
    with torch.no_grad():
        embedded = head.windows(xs)
    assert abs(float(head.windows.standardised(xs)[0].mean())) < 1e-5
    for c, own in enumerate((slice(0, 10), slice(5, 20), slice(23, 24))):
        torch.testing.assert_close(head.prototypes[c].detach(), embedded[own].mean(dim=0), atol=1e-5, rtol=1e-5)
    assert torch.equal(head.prototypes[3], before[3])  # no window of it: as it was drawn


def test_the_residual_head_starts_at_the_first_pass():
    torch.manual_seed(0)
    head = build("residual-ssm", WIDTHS, CLASSES, **SMALL).double().eval()
    xs, mask, site, hour, first = recordings()
    with torch.no_grad():
        assert torch.equal(head(xs, mask, site, hour, first)[mask], first.nan_to_num()[mask])
        head.correct.bias.fill_(1.0)
        moved = head(xs, mask, site, hour, first)[mask]
    wanted = first[mask] + 0.35
    wanted[:, 2] = 1.0  # it has no first pass
    torch.testing.assert_close(moved, wanted)


def test_taxonomic_groups_of_a_recording():
    head = ProtoSSM(WIDTHS, CLASSES, dim=16, groups=("birds", "frogs", "birds", "insects")).eval()
    mask = torch.tensor([[True, True, False]])
    targets = torch.tensor([[[0.0, 0, 0, 0], [0, 0, 0.5, 0], [0, 1, 0, 0]]])
    assert head.group_targets(targets, mask).tolist() == [[0.5, 0.0, 0.0]]
    encoded = torch.randn(1, 3, 16)
    torch.testing.assert_close(head.group_logits(encoded, mask), head.group(encoded[:, :2].mean(dim=1)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_learns(kind):
    head = trained(kind).train()
    xs, mask, site, hour, first = recordings()
    (head(xs, mask, site, hour, first)[mask] - 1).square().sum().backward()
    still = [name for name, p in head.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert [name for name in still if not name.endswith("key.bias")] == []


@pytest.mark.parametrize(
    ("kind", "options", "match"),
    [
        ("residual-ssm", {}, "corrects a first pass, got none. Give --first-pass"),
        ("protossm", {"dim": 18}, "`dim` must be a multiple of its 4 heads, got 18"),
        ("protossm", {"length": 0}, "`--sequence-length` must be at least 1, got 0"),
        ("sequence-gru", {"state": 3}, "head sequence-gru: expected the options sites or .*got state"),
    ],
)
def test_bad_heads(kind, options, match):
    with pytest.raises(InputError, match=match):
        build(kind, WIDTHS, CLASSES, **options)


EARLIER = {  # tensors of a checkpoint, and a hash of their names and shapes, as version 0.2 wrote them
    "protossm": (96, "bceed1ec4ff09c67"),
    "residual-ssm": (86, "d15e8e08753d08ac"),
    "sequence-gru": (47, "314dc7dd4ba6f105"),
    "sequence-attention": (65, "3c2061a645e8602c"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints_of_earlier_runs_still_fit(kind):
    state = build(kind, {"x": 3, "y": 2}, 2, sites=["s"], first_pass=True, length=4, dim=8).state_dict()
    text = " ".join(f"{name}{list(tensor.shape)}" for name, tensor in sorted(state.items()))
    assert (len(state), hashlib.sha256(text.encode()).hexdigest()[:16]) == EARLIER[kind]


def test_the_options_of_a_kind_are_those_of_all_and_its_own():
    shared = ["widths", "n_classes", "sites", "first_pass", "length", "dim", "dropout"]
    assert list(signature(ProtoSSM).parameters) == [*shared, "state", "layers", "heads", "groups"]
    assert list(signature(KINDS["sequence-gru"]).parameters) == shared
