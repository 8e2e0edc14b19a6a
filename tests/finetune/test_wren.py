import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from birdprobe.features.synthetic.clips import make_species, plan
from birdprobe.finetune.frontends.logmel import PerchLogMel
from birdprobe.finetune.wren.logmels import Songs, augment, log_mels
from birdprobe.finetune.wren.network import OUTPUTS, STAGES, Miniature, folded, write_onnx
from birdprobe.finetune.wren.train import (
    PREFIX,
    UNSEEN_PREFIX,
    Recipe,
    calibrate,
    learning_rate,
    main,
    neighbour_curve,
    top1,
    train,
)

ASSET = Path(__file__).resolve().parents[2] / "probe" / "assets" / "wren.onnx"


def noise(n, seed=0):
    """float32 [n, 160000]: noise that swells, with a tone, so that quiet and loud mels are both covered."""
    rng = np.random.default_rng(seed)
    t = np.arange(160000) / 32000
    waves = rng.normal(0, 0.02, (n, 160000)) * np.linspace(0, 2, 160000) + 0.2 * np.sin(2 * np.pi * 2500 * t)
    return waves.astype(np.float32)


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def reference_log_mel(wave):
    """Perch v2's formula again, in float64 with an FFT and loops: [160000] -> [500, 128]."""
    padded = np.concatenate([np.zeros(160), wave.astype(np.float64), np.zeros(160)])
    n = np.arange(640)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / 639)
    window /= window.sum()
    spectrum = np.abs(np.stack([np.fft.rfft(padded[at : at + 640] * window, 1024) for at in range(0, 159681, 320)]))
    mel = 1127 * np.log(1 + np.arange(513) * 31.25 / 700)
    step = 1127 * (np.log(1 + 16000 / 700) - np.log(1 + 60 / 700)) / 129
    out = np.empty((500, 128))
    for band in range(128):
        centre = 1127 * np.log(1 + 60 / 700) + (band + 1) * step
        weights = np.maximum(0, 1 - np.abs(mel - centre) / step)
        weights[0] = 0
        out[:, band] = 0.1 * np.log(np.maximum(spectrum @ weights, 1e-5))
    return out


def settled(classes=11, seed=0):
    """An untrained net whose BatchNorms have seen data (else its deep activations are all but zero)."""
    torch.manual_seed(seed)
    net = Miniature(classes)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # plain averages: one pass is enough
    with torch.no_grad():
        mels = net.frontend(torch.from_numpy(noise(4, seed)))
        net.spatial(mels + 0.2 * torch.randn_like(mels))  # varied, so that rounding is not blown up
    return net.eval()


@pytest.fixture(scope="module")
def wren():
    return session(ASSET)


@pytest.fixture(scope="module")
def wren_outputs(wren):
    return dict(zip(OUTPUTS, wren.run(list(OUTPUTS), {"inputs": noise(3)})))


@pytest.fixture(scope="module")
def about():
    return json.loads(ASSET.with_suffix(".json").read_text())


# --- the committed file ---


def test_wren_has_perchs_contract(wren, wren_outputs, about):
    (given,) = wren.get_inputs()
    assert (given.name, given.type, given.shape[1]) == ("inputs", "tensor(float)", 160000)
    assert not isinstance(given.shape[0], int)  # any batch
    assert [output.name for output in wren.get_outputs()] == list(OUTPUTS)
    shapes = {name: array.shape for name, array in wren_outputs.items()}
    assert shapes == {
        "embedding": (3, 384),
        "spatial_embedding": (3, 16, 4, 384),
        "spectrogram": (3, 500, 128),
        "label": (3, len(about["labels"])),
    }
    one = wren.run(None, {"inputs": noise(3)[:1]})
    np.testing.assert_allclose(one[0], wren_outputs["embedding"][:1], atol=1e-5)


def test_wrens_embedding_is_the_mean_of_its_spatial_embedding(wren_outputs):
    mean = wren_outputs["spatial_embedding"].mean((1, 2))
    np.testing.assert_allclose(wren_outputs["embedding"], mean, atol=1e-5)
    assert np.ptp(mean) > 0.1


def test_wrens_spectrogram_is_perchs_formula(wren_outputs):
    for wave, found in zip(noise(3), wren_outputs["spectrogram"]):
        np.testing.assert_allclose(found, reference_log_mel(wave), atol=1e-3)


def test_wren_is_one_valid_small_file(about):
    assert ASSET.stat().st_size < 8e6
    model = onnx.load(ASSET, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    depthwise = [
        node
        for node in model.graph.node
        for attribute in node.attribute
        if node.op_type == "Conv" and attribute.name == "group" and attribute.i > 1
    ]
    assert len(depthwise) == 26
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert about["parameters"] < 1_000_000


def test_wrens_scores_are_neither_chance_nor_perfect(about):
    curve = about["scores"]["unseen_species"]["knn5_by_recordist"]
    assert list(curve) == [*(f"block_{i:02d}" for i in range(26)), "embedding", "logits"]
    chance = about["scores"]["unseen_species"]["chance"]
    assert max(curve.values()) > 8 * chance
    assert max(curve.values()) < 0.95
    assert curve["block_00"] < 0.5 * max(curve.values())
    assert about["scores"]["validation"]["top1"] > 20 / len(about["labels"])
    losses = [entry["loss"] for entry in about["log"]]
    assert losses[-1] < losses[0] - 1  # nats


def test_wren_never_heard_the_demos_species(about):
    recipe = Recipe(**{name: tuple(v) if isinstance(v, list) else v for name, v in about["recipe"].items()})
    heard = make_species(recipe.species, recipe.seed, PREFIX)
    assert [one.name for one in heard] == about["labels"]
    trained = {syllable for one in heard for syllable in one.syllables}
    for seed in (0, recipe.seed, recipe.unseen_seed):
        for prefix in ("species", UNSEEN_PREFIX):
            assert not trained & {syllable for one in make_species(60, seed, prefix) for syllable in one.syllables}


# --- the network ---


@pytest.mark.parametrize("scale", [1.0, 1e-4, 0.0])
def test_the_front_end_is_perchs_formula(scale):
    wave = scale * noise(1, seed=3)
    with torch.no_grad():
        found = PerchLogMel()(torch.from_numpy(wave))[0].numpy()
    assert found.shape == (500, 128)
    np.testing.assert_allclose(found, reference_log_mel(wave[0]), atol=1e-4)


def test_blocks_have_efficientnet_b3s_maps_and_residuals():
    net = settled()
    maps = []
    for block in net.blocks:
        block.register_forward_hook(lambda module, given, out: maps.append(tuple(out.shape[1:])))
    with torch.no_grad():
        net(torch.from_numpy(noise(1)))
    sizes = [(249, 63), (125, 32), (63, 16), (32, 8), (32, 8), (16, 4), (16, 4)]
    wanted = [(out, *size) for (_, out, n, _, _), size in zip(STAGES, sizes) for _ in range(n)]
    assert maps == wanted
    assert [i for i, block in enumerate(net.blocks) if not block.residual] == [0, 2, 5, 8, 13, 18, 24]
    kernels = [block.depthwise[0].kernel_size[0] for block in net.blocks]
    assert kernels == [3] * 5 + [5] * 3 + [3] * 5 + [5] * 11 + [3] * 2


def test_folding_batch_norms_changes_nothing():
    net, waves = settled(), torch.from_numpy(noise(2))
    plain = folded(net)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in plain.modules())
    with torch.no_grad():
        for one, other in zip(net(waves), plain(waves)):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_the_exported_graph_equals_the_module(tmp_path):
    net = settled()
    exported = session(write_onnx(net, tmp_path / "net.onnx"))
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]  # no data file, no half-written one
    for n in (1, 3):
        waves = noise(n, seed=n)
        with torch.no_grad():
            wanted = net(torch.from_numpy(waves))
        assert float(wanted[0].std()) > 1e-3
        for name, found, expected in zip(OUTPUTS, exported.run(None, {"inputs": waves}), wanted):
            error = np.linalg.norm(found - expected.numpy()) / np.linalg.norm(expected.numpy())
            assert error < 1e-4, name  # relative L2: activations of a settled net are of any size


# --- the recipe ---


def test_crops_follow_the_song():
    mels = torch.full((1, 500, 128), -0.8, dtype=torch.float16)
    mels[0, 300:320, 40] = -0.2
    songs = Songs.of(mels, torch.tensor([0]))
    rng = np.random.default_rng(0)
    hits = np.mean([float(songs.crops(torch.tensor([0]), 128, rng).max()) > -0.5 for _ in range(100)])
    assert hits > 0.6  # one random crop would reach it in 40 of 100


def test_augmented_targets_are_shares_and_levels_stay_above_the_floor():
    rng = np.random.default_rng(0)
    targets = torch.eye(8)
    crops, shares = augment(torch.full((8, 64, 128), -1.1), targets, 1.0, rng)
    torch.testing.assert_close(shares.sum(1), torch.ones(8))
    assert (shares.argmax(1) == targets.argmax(1)).all()  # the louder one keeps the larger share
    assert float(crops.min()) >= 0.1 * np.log(1e-5) - 1e-6
    same, unmixed = augment(torch.zeros(8, 64, 128) - 0.5, targets, 0.0, rng)
    assert torch.equal(unmixed, targets) and torch.isfinite(same).all()


def test_the_learning_rate_warms_up_and_ends_near_zero():
    recipe = Recipe()
    rates = [learning_rate(p, recipe) for p in np.linspace(0, 1, 201)]
    assert rates[0] == 0 and max(rates) == pytest.approx(recipe.learning_rate, rel=0.01)
    assert rates[-1] == pytest.approx(recipe.learning_rate / 1000)
    assert np.all(np.diff(rates[17:]) < 0)


@pytest.fixture(scope="module")
def few_songs():
    """Four classes that differ in band and rhythm, 12 clips each, as log-mels of 2.4 s."""
    rng = np.random.default_rng(0)
    classes = torch.arange(48) % 4
    mels = torch.from_numpy(rng.normal(-0.8, 0.05, (48, 240, 128))).to(torch.float16)
    for row, kind in enumerate(classes.tolist()):
        low = 20 + 25 * kind + int(rng.integers(0, 6))
        for start in range(int(rng.integers(0, 20)), 240, 30 + 10 * kind):
            mels[row, start : start + 12, low : low + 4] = -0.3
    return Songs.of(mels, classes)


TINY = Recipe(steps=20, crop_frames=(96,), frames_per_step=16 * 96, report_every=4, learning_rate=3e-3)


def test_the_recipe_learns(few_songs, tmp_path):
    torch.manual_seed(0)
    net = Miniature(4, TINY.dropout)
    log = train(net, few_songs, TINY, checkpoint=tmp_path / "net.safetensors")
    assert log[-1]["loss"] < 0.8 * log[0]["loss"]
    assert json.loads((tmp_path / "net.json").read_text())["log"] == log
    calibrate(net, few_songs, seed=0)
    assert top1(net, few_songs) > 0.5
    curve = neighbour_curve(net, few_songs.mels, few_songs.classes.numpy(), np.arange(48) // 4, seed=0)
    assert max(curve.values()) > 0.8
    again = Miniature(4)
    again.load_state_dict(load_file(tmp_path / "net.safetensors"))
    calibrate(again, few_songs, seed=0)
    assert top1(again, few_songs) == top1(net, few_songs)  # a checkpoint is the whole network


def test_the_seed_decides(few_songs):
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        log = train(Miniature(4), few_songs, replace(TINY, seed=seed, steps=2, report_every=1))
        losses.append([entry["loss"] for entry in log])
    assert losses[0] == losses[1] != losses[2]


def test_a_time_limit_ends_the_schedule_early(few_songs):
    torch.manual_seed(0)
    log = train(Miniature(4), few_songs, Recipe(steps=10**6, crop_frames=(96,), frames_per_step=800, minutes=0.02))
    assert log[-1]["step"] < 1000
    assert log[-1]["lr"] < Recipe.learning_rate / 100


def test_planned_clips_become_log_mels():
    species = make_species(2, 0, "wren")
    mels = log_mels(plan(species, 2, 0), species, jobs=1)
    assert mels.shape == (4, 500, 128) and mels.dtype == torch.float16
    assert float(mels.float().std()) > 0.01


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "train" in text and "export" in text
