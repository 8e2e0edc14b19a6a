"""One graph a network and stage, whatever the batch's number; fused attention; what `--compile` says where it cannot."""

import os
import subprocess
import sys

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.attention import SDPBackend, sdpa_kernel

from birdprobe.finetune import torch_settings
from birdprobe.finetune.models import members
from birdprobe.finetune.models.network import Mixed
from birdprobe.finetune.training.loop import _heads

SHAPES = {"birdmae": (1, 512, 128), "efficientnet": (1, 64, 64), "sed": (1, 128, 64), "timm:resnet10t": (1, 64, 64)}


def network_of(name, **options):
    torch.manual_seed(0)
    return members.get(name).network(3, **options)


def picture(name, n=2, seed=0):
    shape = next(shape for start, shape in SHAPES.items() if name.startswith(start))
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


def stage(network, frozen):
    """As `Loop.stage` does."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not frozen or network.is_head(name))
    network.train(not frozen)
    for module in _heads(network) if frozen else ():
        module.train()


def step(network, mixed, x):
    with network.tracked():
        loss = mixed(x).square().mean() + (network.extra_loss() or 0.0)
        loss.backward()
    return float(loss.detach())


def slow(name, options, dtype):
    return pytest.param(name, options, dtype, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "options", "dtype"),
    [
        ("birdmae-tiny", {"head": "plain"}, torch.bfloat16),
        ("timm:resnet10t", {}, None),
        slow("birdmae-tiny", {"head": "attentive"}, torch.bfloat16),
        slow("birdmae-tiny", {"head": "prototype"}, torch.bfloat16),
        slow("birdmae-tiny", {}, None),
        slow("timm:resnet10t", {}, torch.bfloat16),
        slow("sed:resnet10t", {}, torch.bfloat16),
        slow("efficientnet-b1", {}, None),
        slow("sed-b0", {}, None),
    ],
)
def test_a_network_is_one_graph_a_stage_whatever_the_batch_s_number(name, options, dtype):
    """fullgraph refuses any break. In the fourth batch BatchNorm's share of a batch is no longer that of the first."""
    torch.compiler.reset()
    network, counter = network_of(name, **options), CompileCounterWithBackend("eager")
    mixed = torch.compile(Mixed(network, dtype), backend=counter, fullgraph=True)
    for graphs, frozen in ((1, True), (2, False)):
        stage(network, frozen)
        for n in range(4):
            step(network, mixed, picture(name, seed=n))
        network.eval()
        with torch.no_grad():
            network(picture(name, 1))  # held-out clips, the last few
        stage(network, frozen)
        step(network, mixed, picture(name))
        assert counter.frame_count == graphs
    torch.compiler.reset()


def test_a_compiled_network_learns_the_same():
    """The same draws of drop path and the same running statistics."""
    found = []
    for compile_it in (False, True):
        torch.compiler.reset()
        network = network_of("timm:resnet10t", drop_path=0.5)
        mixed = Mixed(network, None)
        mixed = torch.compile(mixed, backend="eager", fullgraph=True) if compile_it else mixed
        stage(network, False)
        torch.manual_seed(1)
        losses = [step(network, mixed, picture("timm:resnet10t", 4, n)) for n in range(3)]
        found.append((losses, network.state_dict()))
    torch.compiler.reset()
    torch.testing.assert_close(*found)


@pytest.mark.slow
def test_inductor_compiles_what_the_plain_network_computes():
    found = []
    torch_settings.check_compiling(torch.device("cpu"))
    for wrap in (lambda mixed: mixed, torch_settings.compiled):
        network = network_of("birdmae-tiny", drop_path=0.5)
        mixed = wrap(Mixed(network, None))
        stage(network, False)
        torch.manual_seed(1)
        losses = [step(network, mixed, picture("birdmae-tiny", 4, n)) for n in range(3)]
        found.append((losses, [p.grad for p in network.parameters()]))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("head", ["plain", "attentive"])
def test_attention_is_fused(head):
    """With every kernel but the fused one forbidden it still runs: no mask, no shape stands in its way."""
    network = network_of("birdmae-tiny", head=head).train()
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        network(picture("birdmae-tiny")).sum().backward()
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION), torch.autocast("cpu", torch.bfloat16):
        network.tokens(picture("birdmae-tiny")).sum().backward()


@pytest.mark.slow
def test_a_machine_that_cannot_compile_is_told(tmp_path):
    without = {"CXX": str(tmp_path / "no-compiler"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    code = "import torch\nfrom birdprobe.finetune import torch_settings\ntorch_settings.check_compiling(torch.device('cpu'))\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | without)
    assert done.returncode == 1
    assert "InputError: --compile: PyTorch cannot compile for cpu here (" in done.stderr.splitlines()[-1]
