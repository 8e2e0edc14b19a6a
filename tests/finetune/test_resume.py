"""What a training needs to go on, besides the loop itself: states, averages, settings, the start, company."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from birdprobe.features import InputError
from birdprobe.finetune import checkpoint
from birdprobe.finetune.initial_weights import begin
from birdprobe.finetune.models import members, published_weights
from birdprobe.finetune.training import resume, throughput, tracking
from birdprobe.finetune.training.averaging import Average
from birdprobe.finetune.training.recipe import Settings, flat
from tests import pebble


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def steps(network, optimizer, n, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n):
        optimizer.zero_grad()
        network(torch.randn(8, 4, generator=generator)).square().mean().backward()
        optimizer.step()


def groups(network, reverse=False):
    parameters = [{"params": [p], "lr": 0.1 / (i + 1)} for i, p in enumerate(network.parameters())]
    return parameters[::-1] if reverse else parameters


def test_an_optimizer_comes_back_by_name(tmp_path):
    one, other = net(), net()
    first = torch.optim.AdamW(groups(one))
    one[2].requires_grad_(False)  # frozen: the optimizer knows nothing of it yet
    steps(one, first, 3)
    tensors = resume.prefixed("net", one.state_dict()) | resume.prefixed("o", resume.optimizer_tensors(first, one))
    resume.save(tmp_path / "state", 3, tensors, {"loss": 1 / 3})
    found = resume.load(tmp_path / "state")
    assert found.facts == {"loss": 1 / 3}
    second = torch.optim.AdamW(groups(other))
    other.load_state_dict(resume.under("net", found.tensors))
    resume.restore_optimizer(second, other, resume.under("o", found.tensors))
    for network, optimizer in ((one, first), (other, second)):
        network.requires_grad_(True)
        steps(network, optimizer, 4, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values()))


def test_a_state_takes_the_place_of_the_older_one(tmp_path):
    folder = tmp_path / "state"
    assert resume.load(folder) is None
    resume.save(folder, 1, {"x": torch.zeros(2)}, {})
    resume.save(folder, 2, {"x": torch.ones(2)}, {})
    (folder / "step-9.safetensors.part").touch()  # half of one, after a kill: not what state.json names
    assert torch.equal(resume.load(folder).tensors["x"], torch.ones(2))
    resume.save(folder, 2, {"x": torch.full((2,), 5.0)}, {})  # the same step again
    assert torch.equal(resume.load(folder).tensors["x"], torch.full((2,), 5.0))
    assert sorted(path.name for path in folder.iterdir()) == ["state.json", "step-2.safetensors"]
    resume.clear(folder)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda text: text[:20], r"state.json: damaged .*--overwrite begins the fold anew"),
        (lambda text: text.replace("state 1", "state 7"), "got 'birdprobe training state 7'"),
        (lambda text: text.replace("step-1", "step-0"), "damaged .*step-0"),
    ],
)
def test_a_damaged_state_is_told(tmp_path, change, match):
    resume.save(tmp_path, 1, {"x": torch.zeros(2)}, {})
    text = tmp_path / "state.json"
    text.write_text(change(text.read_text()))
    with pytest.raises(InputError, match=match):
        resume.load(tmp_path)


def test_average_follows_its_formula_and_gives_the_weights_back():
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    average = Average(network, 0.5)
    wanted = 0.0
    for step, value in enumerate([1.0, 4.0, -2.0]):
        network.weight.data.fill_(value)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * value
    with average.applied() as averaged:
        assert averaged.weight.item() == pytest.approx(wanted)
    assert network.weight.item() == -2.0
    with pytest.raises(KeyError), average.applied():
        raise KeyError
    assert network.weight.item() == -2.0
    with Average(network, 0.0).applied() as averaged:
        assert averaged.weight.item() == -2.0


def test_settings_refuse_and_compare():
    plain = pebble.settings()
    for changes, match in (
        ({"precision": "half"}, "`--precision` must be one of auto, bfloat16, float32, got 'half'"),
        ({"loss": "mse"}, r"`--loss` must be .*got 'mse'"),
        ({"accumulate": 0}, "`--accumulate` must be at least 1, got 0"),
        ({"ema": 1.0}, r"`--ema` must be .*got 1.0"),
        ({"learning_rate": 0.0}, r"`--lr` must be more than 0, got 0.0"),
    ):
        with pytest.raises(InputError, match=match):
            pebble.settings(**changes)
    assert flat({"recipe": {"augment": {"gain_p": 1}, "betas": (1, 2)}}) == {"augment.gain_p": 1, "betas": [1, 2]}
    assert json.loads(json.dumps(plain.to_json()))["recipe"]["learning_rate"] == 0.02
    assert Settings(members.get("birdmae-large").recipe).autocast(torch.device("cpu")) is None


def test_weights_begin_where_it_says(tmp_path, monkeypatch):
    monkeypatch.setitem(members.MEMBERS, "pebble", pebble.PEBBLE)
    there, here = (pebble.Network(n) for n in (3, 5))
    description = checkpoint.Description("pebble", ("a", "b", "c"), "sigmoid")
    file = checkpoint.save(tmp_path / "best", there, description).with_suffix(".safetensors")
    assert begin(here, pebble.PEBBLE) == {"source": "random"}
    assert not torch.equal(here.patch_embed.weight, there.patch_embed.weight)
    found = begin(here, pebble.PEBBLE, init=file)
    assert torch.equal(here.patch_embed.weight, there.patch_embed.weight)
    assert found["source"] == "file" and found["sha256"] == checkpoint.sha256(file)
    with pytest.raises(InputError, match="--pretrained: pebble has no published weights"):
        begin(here, pebble.PEBBLE, pretrained=True)
    with pytest.raises(InputError, match="expected --init or --pretrained, got both"):
        begin(here, pebble.PEBBLE, init=file, pretrained=True)
    # from the hub, patched at its boundary: the commit is kept
    asked = []
    monkeypatch.setattr(
        published_weights, "from_hub", lambda repo, *args, **_: asked.append((repo, *args)) or (file, "c0ffee")
    )
    found = begin(pebble.Network(2), replace(pebble.PEBBLE, hub_id="owner/pebble"), pretrained=True)
    assert (found["source"], found["repo"], found["revision"]) == ("hub", "owner/pebble", "c0ffee")
    assert asked == [("owner/pebble",), ("owner/pebble", "config.json", "c0ffee")]


def test_operations_and_the_rate_of_the_chip():
    network = nn.Linear(64, 32, bias=False)
    x = torch.randn(5, 64, requires_grad=True)
    # forward, and backward to weights and to the input: 2 operations a multiply-add each
    assert throughput.operations_per_clip(network, x, lambda y: y.sum()) == 3 * 2 * 64 * 32
    assert network.weight.grad is None
    rate = throughput.measure_matmul_rate("cpu")
    assert 1e8 < rate < 1e14
    found = throughput.report(torch.device("cpu"), 10.0, rate / 40, torch.float32)
    assert found["clips_per_s"] == 10.0 and found["peak_memory_gb"] is None
    assert 0.05 < found["share"] < 1.25  # a quarter, when both measurements agree; the machine may be busy


def test_company_is_optional(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "trackio", None)  # as if it were not installed
    with pytest.raises(InputError, match="--track: the package trackio is wanted and not installed"):
        tracking.check("project", None)
    with pytest.raises(InputError, match="`--push-to-hub` must be OWNER/NAME, got 'name'"):
        tracking.check(None, "name")
    with tracking.Tracker(None, "run", {}) as tracker:  # asks for nothing
        tracker.log({"loss": 1.0}, 1)

    heard = []
    board = SimpleNamespace(
        init=lambda **known: heard.append(known["project"]),
        log=lambda numbers, step: heard.append((numbers, step)),
        finish=lambda: heard.append("finished"),
    )
    monkeypatch.setitem(sys.modules, "trackio", board)
    with tracking.Tracker("project", "run", {"lr": 1}) as tracker:
        tracker.log({"loss": 0.5, "cmap": None}, 7)
    assert heard == ["project", ({"loss": 0.5}, 7), "finished"]


def test_a_fold_goes_to_the_hub(monkeypatch, tmp_path):
    import huggingface_hub

    calls, said = [], []
    api = SimpleNamespace(
        create_repo=lambda *args, **known: calls.append((*args, known["private"])),
        upload_file=lambda **known: calls.append((known["path_in_repo"], known["repo_id"])),
    )
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    for name in ("best.safetensors", "best.json", "last.json"):
        (tmp_path / name).touch()
    tracking.push("owner/name", tmp_path, 2, said.append)
    where = [(f"fold2/best.{end}", "owner/name") for end in ("safetensors", "json")]
    assert calls == [("owner/name", True), *where] and "pushed" in said[0]

    def unreachable(*args, **known):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(api, "create_repo", unreachable)
    tracking.push("owner/name", tmp_path, 2, said.append)
    assert "owner/name not pushed (no route to host)" in said[1] and str(tmp_path) in said[1]
