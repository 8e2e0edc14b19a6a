"""Runs of untrained heads, and what their heads say in two steps."""

import torch

from birdprobe.features.store import StoreKey
from birdprobe.features.windows import normalise_windows
from birdprobe.finetune.checkpoint import save
from birdprobe.heads.ensemble import load_members
from birdprobe.heads.inputs import assemble
from birdprobe.heads.modules import build
from birdprobe.heads.training import checkpoint
from birdprobe.probe.runtime.sessions import audio_like

LABELS = ("Parus major", "Épervier d'Europe", "47158son01")


def make_run(folder, backbone, tokens, head="attention", folds=3, activation="sigmoid", name=None, seed=0, **of_key):
    """A run's heads/ with untrained heads, standardised by what the backbone gives for noise. Returns the folder."""
    torch.manual_seed(seed)
    noise = audio_like((24, backbone.window_samples), seed=seed)
    features = {tap: torch.from_numpy(x) for tap, x in backbone(normalise_windows(noise, backbone.normalise)).items()}
    xs = assemble(features, tokens)
    widths = {token: x.shape[1] for token, x in zip(tokens, xs)}
    key = StoreKey(
        *(backbone.sha256, backbone.taps, backbone.pooling, backbone.sample_rate, backbone.window_s),
        *("all", 0, backbone.normalise),
        **of_key,
    )
    for fold in range(folds):
        module = build(head, widths, len(LABELS))
        module.fit_statistics(xs)
        torch.nn.init.normal_(module.classify.weight, std=0.5)
        said = checkpoint.Description(head, widths, LABELS, activation, key, fold)
        save(folder / "heads" / f"{name or head}-fold{fold}", module, said)
    return folder


def two_steps(run, backbone, windows, head=None, fold=None):
    """The mean of the folds' probabilities, head by head in torch, on the backbone's own features."""
    features = {tap: torch.from_numpy(x) for tap, x in backbone(windows).items()}
    members = load_members(run, head, fold)
    xs = assemble(features, members.description.tokens)
    with torch.inference_mode():
        logits = [module(xs) for module in members.modules]
    one = torch.sigmoid if members.description.activation == "sigmoid" else lambda z: torch.softmax(z, -1)
    return torch.stack([one(z) for z in logits]).mean(0).numpy()
