"""The heads that read tokens against plain numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from birdprobe.finetune.models.birdmae import build
from tests.finetune.test_birdmae import CLASSES, network, pictures


def arrays(net):
    return {name: value.detach().double().numpy() for name, value in net.state_dict().items()}


def layer_norm(x, weight, bias):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * weight + bias


def test_attentive_head_is_one_query_over_the_patches():
    net, x = network(head="attentive"), pictures()
    with torch.no_grad():
        tokens = net.tokens(x)
        nn.init.normal_(net.head.query)
        found, embedding = net.logits(tokens).numpy(), net.embedding(tokens).numpy()
    w, patches = arrays(net), tokens.double().numpy()[:, 1:]
    pooled = np.empty((2, 128))
    for n in range(2):
        keys, values = patches[n] @ w["head.k.weight"].T, patches[n] @ w["head.v.weight"].T
        for at in range(0, 128, 32):  # 4 heads of 32 channels
            scores = keys[:, at : at + 32] @ w["head.query"][0, 0, at : at + 32] / np.sqrt(32)
            share = np.exp(scores - scores.max())
            pooled[n, at : at + 32] = share / share.sum() @ values[:, at : at + 32]
    normed = layer_norm(pooled, w["fc_norm.weight"], w["fc_norm.bias"])
    np.testing.assert_allclose(embedding, normed, atol=1e-4)
    np.testing.assert_allclose(found, normed @ w["head.linear.weight"].T + w["head.linear.bias"], atol=1e-4)


def enlarged(image):
    """[D, h, w] -> [D, 2h, 2w], bilinear between pixel centres, edges held."""
    for axis in (1, 2):
        n = image.shape[axis]
        at = np.clip((np.arange(2 * n) + 0.5) / 2 - 0.5, 0, n - 1)
        low = np.floor(at).astype(int)
        high, part = np.minimum(low + 1, n - 1), at - low
        part = part[:, None] if axis == 1 else part
        image = image.take(low, axis) * (1 - part) + image.take(high, axis) * part
    return image


def test_prototype_head_is_the_published_formula():
    net, x = network(head="prototype"), pictures()
    with torch.no_grad():
        nn.init.normal_(net.head.prototypes)  # fresh ones are all positive and nearly alike
        nn.init.normal_(net.head.weight)  # negative ones must count as 0
        nn.init.normal_(net.head.bias)
        tokens = net.tokens(x)
        found = net.logits(tokens).numpy()
    w = arrays(net)
    normed = layer_norm(tokens.double().numpy(), w["norm.weight"], w["norm.bias"])
    wanted = np.zeros((2, CLASSES))
    for n in range(2):
        z = enlarged((normed[n, 1:] - normed[n, 0]).T.reshape(128, 8, 32)).reshape(128, 16 * 64)
        z = np.vstack([z, np.full((2, 1024), 1e-4)])
        z = 64 * z / np.sqrt((z**2).sum(0) + 1e-4)
        for c in range(CLASSES):
            for j in range(20):
                p = np.append(w["head.prototypes"][c, j], [1e-4, 1e-4])
                p /= np.sqrt((p**2).sum() + 1e-4) + 1e-4
                activation = np.maximum(p @ z / (64 * 1.01), 0).max()
                wanted[n, c] += max(w["head.weight"][c, j], 0) * activation
    wanted += w["head.bias"]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert wanted.std() > 0.1


def test_fresh_prototypes():
    net = build("tiny", 50, head="prototype")
    p = net.head.prototypes.detach()
    assert p.shape == (50, 20, 128)
    assert 0 <= p.min() < 0.01 < 0.99 < p.max() < 1
    assert p.mean() == pytest.approx(0.5, abs=0.01)
    assert (net.head.weight == 1).all()
    assert (net.head.bias == -2).all()


def test_extra_loss_is_the_prototypes_orthogonality():
    net = build("tiny", 3, head="prototype")
    p = net.head.prototypes.detach().double().numpy()
    p /= np.linalg.norm(p, axis=2, keepdims=True)
    apart = p @ p.transpose(0, 2, 1) - np.eye(20)
    assert net.extra_loss().item() == pytest.approx(np.sqrt((apart**2).sum()) / (3 * 20 * 20), rel=1e-4)
    with torch.no_grad():
        net.head.prototypes.zero_()[:, range(20), range(20)] = 3.0  # at right angles: whatever their length
    assert net.extra_loss().item() == pytest.approx(0, abs=1e-5)
    assert build("tiny", 3).extra_loss() is None
    assert build("tiny", 3, head="attentive").extra_loss() is None
