"""The scan against a plain loop, and what padding and the batch must not change."""

import numpy as np
import pytest
import torch

from birdprobe.heads.sequences.layers import Gate, Place, WindowAttention
from birdprobe.heads.sequences.selective_scan import BidirectionalScan, SelectiveScan, scan, turned
from tests.sequence_loops import selective_scan


def loop(decay, drive):
    h, found = torch.zeros_like(drive[:, 0]), []
    for t in range(drive.shape[1]):
        h = decay[:, t] * h + drive[:, t]
        found.append(h)
    return torch.stack(found, dim=1)


@pytest.mark.parametrize("length", [1, 2, 3, 12, 13, 64, 128])
@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
def test_the_scan_is_the_plain_loop(length, kind, tolerance):
    generator = torch.Generator().manual_seed(length)
    decay = torch.rand(3, length, 5, 4, generator=generator, dtype=kind)
    drive = torch.randn(3, length, 5, 4, generator=generator, dtype=kind)
    torch.testing.assert_close(scan(decay, drive), loop(decay, drive), atol=tolerance, rtol=tolerance)


def test_the_scan_neither_overflows_nor_forgets_at_extreme_decays():
    length = 512
    for decay in (0.0, 1e-30, 1.0):
        drive, decays = torch.ones(1, length, 1), torch.full((1, length, 1), decay)
        found = scan(decays, drive)[0, :, 0]
        assert torch.equal(found, torch.arange(1.0, length + 1) if decay == 1 else torch.ones(length))


def test_gradients_of_the_scan_are_those_of_the_loop():
    decay = torch.rand(2, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    drive = torch.randn(2, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    weight = torch.arange(42.0, dtype=torch.float64).reshape(2, 7, 3)
    ours, theirs = (torch.autograd.grad((form(decay, drive) * weight).sum(), (decay, drive)) for form in (scan, loop))
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)


def test_the_module_is_its_equations():
    torch.manual_seed(0)
    module = SelectiveScan(6, state=3).double()
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    weights = {name: value.detach().numpy() for name, value in module.named_parameters()}
    with torch.no_grad():
        found = module(x).numpy()
    assert np.allclose(found, [selective_scan(weights, one) for one in x.numpy()], atol=1e-10)


def test_parameters():
    dim, state = 192, 16
    one = 3 * dim * dim + 4 * dim + 3 * dim + 3 * dim * state  # enter and step, convolution, biases and skip, A B C
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert count(SelectiveScan(dim, state)) == one
    assert count(BidirectionalScan(dim, state)) == 2 * one + 2 * dim * dim + dim + 2 * dim
    assert count(WindowAttention(dim)) == 4 * (dim * dim + dim) + 4 * dim * dim + 3 * dim + 4 * dim
    assert count(Place(20, dim)) == 16 * (21 + 25) + 33 * dim
    assert count(Gate(234)) == 234


def test_recordings_are_turned_and_their_padding_is_not():
    x = torch.arange(8.0).reshape(2, 4, 1)
    mask = torch.tensor([[True, True, True, False], [True, True, True, True]])
    assert turned(x, mask)[..., 0].tolist() == [[2, 1, 0, 3], [7, 6, 5, 4]]
    assert torch.equal(turned(turned(x, mask), mask), x)


def test_a_scan_looks_back_and_two_look_both_ways():
    torch.manual_seed(0)
    x, mask = torch.randn(1, 6, 8), torch.ones(1, 6, dtype=torch.bool)
    moved = x.clone()
    moved[0, 3] += 1
    one, both = SelectiveScan(8), BidirectionalScan(8, dropout=0.0)
    changed = (one(x) - one(moved)).abs().amax(-1)[0]
    assert bool((changed[:3] == 0).all()) and bool((changed[3:] > 0).all())
    assert bool(((both(x, mask) - both(moved, mask)).abs().amax(-1)[0] > 0).all())


def test_the_gate_mixes_and_a_class_without_a_first_pass_stays():
    gate = Gate(2)
    with torch.no_grad():
        gate.weight[0] = np.log(3)  # alpha 0.75
    logits, first = torch.tensor([[[4.0, 8.0]]]), torch.tensor([[[0.0, np.nan]]])
    assert gate(logits, first).tolist() == [[[pytest.approx(3.0), 8.0]]]
    gate(logits, first).sum().backward()
    assert torch.isfinite(gate.weight.grad).all()


def test_sites_that_were_never_trained_on_are_unknown():
    place = Place(3, 8).eval()
    place.fit(torch.tensor([1, 0, 3]))
    hour = torch.tensor([5, 5])
    unseen, unknown = place(torch.tensor([2, 0]), hour)
    assert torch.equal(unseen, unknown)
    seen, unknown = place(torch.tensor([3, 0]), hour)
    assert not torch.equal(seen, unknown)
