"""The sound event detector: its outputs by the written equations, its training, its file."""

import librosa
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import soundfile
import torch

from birdprobe.features import InputError
from birdprobe.finetune import checkpoint, export
from birdprobe.finetune.data.augment import Augment
from birdprobe.finetune.frontends.melspec import sed_mel_spec
from birdprobe.finetune.models import members
from birdprobe.finetune.models.sed import FrequencyPool, SoundEventDetector, mean_of_sigmoids
from birdprobe.finetune.predictor import open_member
from birdprobe.finetune.training import fold_training
from birdprobe.finetune.training.loop import Loop
from birdprobe.finetune.training.recipe import Settings
from birdprobe.finetune.training.train import train
from birdprobe.heads.soundscapes import find_events, open_predictor
from birdprobe.probe.runtime.backbone import Backbone
from tests import pebble, textures

TINY = "sed:test_efficientnet"  # 0.1 M parameters
LABELS = ("ash", "birch", "cedar")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def waves(n=2, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal((n, 160_000), dtype=np.float32)


def model_of(seed=0):
    """Tiny with weights and running statistics that say something."""
    torch.manual_seed(seed)
    model = members.assemble(members.get(TINY), 3)
    loudness = torch.tensor([0.5, 0.1, 0.01, 0.0])[:, None]
    with torch.no_grad():
        for _ in range(4):
            model.train()(loudness * torch.randn(4, 160_000))
        torch.nn.init.normal_(model.network.detector.classes.weight, std=0.3)
        torch.nn.init.normal_(model.network.detector.attention.weight, std=0.3)
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return model_of()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(models of two folds, their run, what was exported of fold 0)."""
    run = tmp_path_factory.mktemp("run")
    models = [model_of(fold) for fold in (0, 1)]
    for fold, one in enumerate(models):
        checkpoint.save(
            run / f"fold{fold}" / "best", one.network, checkpoint.Description(TINY, LABELS, "sigmoid", fold=fold)
        )
    return models, run, export.export(run, run / "sed.onnx", fold=0)


# --- the network ---


def test_generalised_mean_lies_between_mean_and_maximum():
    pool, x = FrequencyPool(), torch.rand(2, 5, 7, 4) - 0.2
    clamped = x.numpy().clip(1e-6).astype(np.float64)
    np.testing.assert_allclose(pool(x).detach().numpy(), (clamped**3).mean(2) ** (1 / 3), atol=1e-6)
    for power, wanted, near in ((1.0, clamped.mean(2), 1e-5), (30.0, clamped.max(2), 0.08)):
        pool.power.data.fill_(power)
        np.testing.assert_allclose(pool(x).detach().numpy(), wanted, atol=near)
    pool(x).sum().backward()
    assert pool.power.grad is not None and torch.isfinite(pool.power.grad).all()


def reference(model, windows):
    """(frame logits, clip logits), float64, by the equations, of the backbone's map."""
    with torch.no_grad():
        x = model.network.tokens(model.frontend(torch.from_numpy(windows))).double().numpy()
    own = {name: value.detach().double().numpy() for name, value in model.network.detector.named_parameters()}
    p = own["pool.power"]
    x = (x.clip(1e-6) ** p).mean(2) ** (1 / p)  # [N, C, T]
    beside = np.pad(x, ((0, 0), (0, 0), (1, 1)))
    three = np.stack([beside[..., :-2], beside[..., 1:-1], beside[..., 2:]])
    x = (three.max(0) + three.mean(0)).transpose(0, 2, 1)  # values are above 0, so the zeros are never the maximum
    x = np.maximum(0, x @ own["hidden.weight"].T + own["hidden.bias"])
    frames = x @ own["classes.weight"].T + own["classes.bias"]
    weights = np.exp(np.tanh(x @ own["attention.weight"].T + own["attention.bias"]))
    return frames, (frames * weights / weights.sum(1, keepdims=True)).sum(1)


def test_outputs_equal_the_equations(model):
    frames, clip = reference(model, waves())
    with torch.no_grad():
        x = model.frontend(torch.from_numpy(waves()))
        found = model.network.detect(model.network.tokens(x))
        p = model(torch.from_numpy(waves())).sigmoid().numpy()
    assert x.shape == (2, 1, 128, 501) and frames.shape == (2, 16, 3) and np.ptp(frames) > 0.1
    np.testing.assert_allclose(found[0].numpy(), frames, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found[1].numpy(), clip, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(p, 0.5 * sigmoid(clip) + 0.5 * sigmoid(frames.max(1)), atol=1e-5)


def test_the_mean_of_probabilities_is_exact_far_out():
    frames = torch.tensor([[[-90.0, 30.0, 3.0]], [[-80.0, 25.0, -200.0]]])
    clip = torch.tensor([[-91.0, 40.0, -1.0], [-300.0, 200.0, -201.0]])
    a, b = frames.amax(1).double().numpy(), clip.double().numpy()
    p, q = 0.5 * (sigmoid(a) + sigmoid(b)), 0.5 * (sigmoid(-a) + sigmoid(-b))
    np.testing.assert_allclose(mean_of_sigmoids(frames, clip).numpy(), np.log(p) - np.log(q), rtol=1e-5)


def test_training_sees_clip_and_highest_frame(model):
    network = model.network.train()
    network.detector.dropout.p = 0.0
    x = model.frontend(torch.from_numpy(waves()))
    both = network(x)
    assert both.shape == (2, 2, 3)
    both.square().sum().backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    network.zero_grad(set_to_none=True)
    network.detector.dropout.p = 0.5
    network.eval()
    network.detector.train()  # as while the backbone is frozen
    assert network(x).shape == (2, 2, 3) and network.eval()(x).shape == (2, 3)
    assert {name for name, _ in network.named_parameters() if network.is_head(name)} == {
        *("detector.pool.power", "detector.hidden.weight", "detector.hidden.bias"),
        *(f"detector.{layer}.{name}" for layer in ("attention", "classes") for name in ("weight", "bias")),
    }
    ids = [network.layer_id(name) for name, _ in network.named_parameters()]
    assert set(ids) <= set(range(network.depth + 2)) and max(ids) == network.depth + 1


def test_the_front_end_is_librosas():
    found = sed_mel_spec().raw(torch.from_numpy(waves())).numpy()
    for one, waveform in zip(found, waves()):
        power = librosa.feature.melspectrogram(
            **{"y": waveform, "sr": 32000, "n_fft": 2048, "hop_length": 320, "pad_mode": "reflect", "n_mels": 128},
            **{"htk": True, "norm": None, "fmin": 0, "fmax": 16000},
        )
        np.testing.assert_allclose(one, librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=80.0).T, atol=5e-3)


def test_any_map_of_timm_will_do_and_tokens_will_not():
    last = SoundEventDetector("test_convnext", 2)
    assert last.detect(last.tokens(torch.zeros(1, 1, 128, 501)))[0].shape[::2] == (1, 2)
    with pytest.raises(InputError, match=r"sed:test_vit: expected a backbone whose last output is a map .*got one of"):
        members.get("sed:test_vit")
    with pytest.raises(InputError, match=r"timm backbone: expected .*efficientnet_b0.*got 'eficientnet_b0'"):
        members.get("sed:eficientnet_b0")


def test_weights_of_timm_and_of_a_checkpoint_fit(model):
    fresh = SoundEventDetector("test_efficientnet", 5)
    fresh.load_weights(model.network.state_dict(), "checkpoint")
    assert all(torch.equal(a, b) for a, b in zip(fresh.net.parameters(), model.network.net.parameters()))
    published = {name.removeprefix("net."): value for name, value in fresh.state_dict().items() if "net." in name}
    published |= {"classifier.weight": torch.zeros(1000, 256), "classifier.bias": torch.zeros(1000)}
    assert "head replaced" in SoundEventDetector("test_efficientnet", 5).load_weights(published, "timm's")


# --- training ---


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return pebble.read_audio(pebble.write_audio(tmp_path_factory.mktemp("audio") / "tones", 6))


def settings(**changes) -> Settings:
    recipe = {"epochs": 2, "batch_size": 8, "augment": Augment.none()} | changes
    machine = {"device": "cpu", "threads": 1, "state_every_s": 0.0}
    return Settings(members.get(TINY).recipe, folds=3, **machine).with_recipe(**recipe)


class Killed(BaseException):
    pass


def test_it_trains_and_goes_on_where_it_was_stopped(recordings, tmp_path, monkeypatch):
    whole = train(TINY, recordings, tmp_path / "whole", settings())
    real = Loop.train_step

    def stops(self, *args):
        if self.step == 1:
            raise Killed
        return real(self, *args)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(fold_training.Loop, "train_step", stops)
        train(TINY, recordings, tmp_path / "killed", settings())
    said = []
    again = train(TINY, recordings, tmp_path / "killed", settings(), log=said.append)
    assert "going on at step 1 of 2" in said
    columns = ["step", "lr", "loss", "macro_auc"]
    pd.testing.assert_frame_equal(whole.log[columns], again.log[columns], check_exact=False, rtol=1e-4)
    assert checkpoint.describe(again.best, checkpoint.Description).member == TINY


def test_a_softmax_is_refused(recordings, tmp_path):
    with pytest.raises(InputError, match=r"`--loss` must be asl or bce for sed:test_efficientnet, got 'ce'"):
        train(TINY, recordings, tmp_path / "run", settings(loss="ce"))


@pytest.mark.slow
def test_it_learns(tmp_path):
    recordings = textures.read(textures.write(tmp_path / "audio", 8))
    trained = train(TINY, recordings, tmp_path / "run", settings(epochs=12, batch_size=4, learning_rate=3e-3))
    assert trained.log["loss"].iloc[-1] < 0.5 * trained.log["loss"].iloc[0] and trained.metrics["macro_auc"] > 0.9


# --- predicting, exporting ---


def test_folds_give_probabilities_and_frames(tiny):
    models, run, _ = tiny
    predictor = open_member(run, tta=("reverse",))
    assert predictor.has_frames
    parts = [reference(model, waves()) for model in models] + [
        (frames[:, ::-1], clip) for frames, clip in (reference(model, waves()[:, ::-1].copy()) for model in models)
    ]
    np.testing.assert_allclose(predictor.frames(waves()), sigmoid(np.mean([f for f, _ in parts], axis=0)), atol=1e-5)
    p = np.stack([0.5 * sigmoid(clip) + 0.5 * sigmoid(frames.max(1)) for frames, clip in parts])
    np.testing.assert_allclose(predictor(waves()), sigmoid(np.log(p / (1 - p)).mean(0)), atol=1e-5)


def test_the_file_equals_torch(tiny):
    models, run, made = tiny
    assert made.outputs == ("logits", "embedding", "probabilities", "frames")
    session = onnxruntime.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
    for n in (1, 3):
        found = dict(zip(made.outputs, session.run(list(made.outputs), {"waveform": waves(n, n)})))
        frames, clip = reference(models[0], waves(n, n))
        np.testing.assert_allclose(found["frames"], sigmoid(frames), atol=1e-5)
        wanted = 0.5 * sigmoid(clip) + 0.5 * sigmoid(frames.max(1))
        np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-5)
        np.testing.assert_allclose(found["logits"], np.log(wanted / (1 - wanted)), atol=1e-4)
    predictor = open_predictor(made.path)
    assert predictor.labels == LABELS
    np.testing.assert_allclose(predictor(waves()), open_member(run, 0, ())(waves()), atol=1e-5)


def test_a_run_and_its_file_hear_the_same_events(tiny, tmp_path):
    _, run, made = tiny
    wave = textures.recording([("clicks", 0.5, 2.0), ("tones", 1.5, 3.0)], 7.0, 0)
    soundfile.write(tmp_path / "r.wav", wave, textures.RATE)
    found = [
        find_events(what, tmp_path / "r.wav", tmp_path / f"{fold}.csv", threshold=0.05, fold=fold).table
        for what, fold in ((run, 0), (made.path, None))
    ]
    assert len(found[0]) > 1
    pd.testing.assert_frame_equal(*found, atol=1e-4)


def test_the_probe_opens_it_at_every_block(tiny):
    backbone = Backbone.open(tiny[2].path, threads=1)
    assert backbone.taps[-2:] == ("embedding", "logits") and "block_00" in backbone.taps
