"""Wren: the recipe of `probe/assets/wren.onnx`, a model organism of 26 blocks and no bird model.

`python -m birdprobe.finetune.wren.train train` makes up species and recordings of them, trains the miniature of Perch
v2 to tell them apart, measures it on recordists and on species it never heard, and writes wren.onnx with wren.json
(recipe, versions, losses, scores, labels) beside it. `... export` does the last two steps from a checkpoint.

The network is fully convolutional and its early maps cost most, so it learns on crops of about two seconds and ends at
the full five. Log-mels are computed once: augmentation works on them.
"""

import argparse
import json
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...analysis import knn
from ...features.files import replacing, write_json
from ...features.recordings import assign_folds
from ...features.synthetic.clips import make_species, plan
from ...features.windows import PEAK
from .logmels import Songs, augment, log_mels
from .network import Miniature, write_onnx

ASSETS = Path(__file__).resolve().parents[2] / "probe" / "assets"
PREFIX, UNSEEN_PREFIX = "wren", "unseen"  # species names; the demo's prefix is another, so its species are others


@dataclass(frozen=True)
class Recipe:
    """Everything the trained file depends on, beside library versions and, with a time limit, the machine's speed."""

    seed: int = 7
    species: int = 200
    clips_per_species: int = 36
    recordists_per_species: int = 12
    held_out: int = 10  # every tenth recordist is for validation
    unseen_species: int = 24
    unseen_clips: int = 20
    unseen_seed: int = 1001
    steps: int = 4000
    crop_frames: tuple[int, ...] = (128, 128, 192)
    frames_per_step: int = 4096  # crops a step = this / crop length
    full_length_share: float = 0.12  # of the steps, at the end, on whole clips
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    warm_up: float = 0.08
    label_smoothing: float = 0.05
    dropout: float = 0.2
    mix: float = 0.2  # share of crops with another one mixed in
    report_every: int = 100  # steps: one entry of the log
    minutes: float | None = None  # time limit: squeezes the schedule to end in time, which then cannot be repeated


def learning_rate(progress: float, recipe: Recipe) -> float:
    """Linear warm-up, then cosine to a thousandth."""
    if progress < recipe.warm_up:
        return recipe.learning_rate * progress / recipe.warm_up
    along = (progress - recipe.warm_up) / (1 - recipe.warm_up)
    return recipe.learning_rate * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * min(1.0, along))))


def train(net: Miniature, songs: Songs, recipe: Recipe, checkpoint: Path | None = None) -> list[dict]:
    """Train in place; returns the log: step, minutes, learning rate, mean loss and accuracy on (mixed) crops."""
    rng = np.random.default_rng(recipe.seed)
    classes = net.classifier.out_features
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate)
    began, step, progress, log, recent, order = time.monotonic(), 0, 0.0, [], [], np.zeros(0, np.int64)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this documented form
    net.train()
    while progress < 1:
        whole = progress > 1 - recipe.full_length_share
        frames = songs.mels.shape[1] if whole else int(rng.choice(recipe.crop_frames))
        count = max(16, recipe.frames_per_step // frames)
        if len(order) < count:
            order = rng.permutation(len(songs.classes))
        rows, order = torch.from_numpy(order[:count]), order[count:]
        targets = nn.functional.one_hot(songs.classes[rows], classes).float()
        crops, targets = augment(songs.crops(rows, frames, rng), targets, recipe.mix, rng)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(progress, recipe)
        logits = net.from_log_mel(crops)
        loss = nn.functional.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimiser.step()
        recent.append((loss.item(), (logits.argmax(1) == targets.argmax(1)).float().mean().item()))
        step += 1
        elapsed = (time.monotonic() - began) / 60
        progress = max(step / recipe.steps, elapsed / recipe.minutes if recipe.minutes else 0.0)
        if step % recipe.report_every == 0 or progress >= 1:
            means = np.mean(recent, axis=0)
            entry = {"step": step, "minutes": elapsed, "lr": learning_rate(progress, recipe)}
            log.append({key: round(v, 6) for key, v in (entry | {"loss": means[0], "accuracy": means[1]}).items()})
            print(json.dumps(log[-1] | {"frames": frames, "progress": round(progress, 4)}), flush=True)
            recent = []
            if checkpoint:
                with replacing(checkpoint) as fresh:
                    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, fresh)
                write_json(checkpoint.with_suffix(".json"), {"log": log}, indent=None)
    return log


@torch.no_grad()
def calibrate(net: Miniature, songs: Songs, seed: int, clips: int = 512, batch: int = 32) -> None:
    """BatchNorm statistics as plain averages over whole training clips: the length that the exported graph sees."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    rows = np.random.default_rng(seed).permutation(len(songs.classes))[:clips]
    net.train()
    for at in range(0, len(rows), batch):
        net.spatial(songs.mels[torch.from_numpy(rows[at : at + batch])].float())
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    net.eval()


@torch.no_grad()
def top1(net: Miniature, songs: Songs, batch: int = 32) -> float:
    """Share of whole clips whose highest logit is their class."""
    net.eval()
    right = [
        (net.from_log_mel(songs.mels[at : at + batch].float()).argmax(1) == songs.classes[at : at + batch]).sum()
        for at in range(0, len(songs.classes), batch)
    ]
    return float(sum(right)) / len(songs.classes)


@torch.no_grad()
def neighbour_curve(net: Miniature, mels: Tensor, species: np.ndarray, recordists: np.ndarray, seed: int) -> dict:
    """5-NN accuracy (Euclidean, five folds that keep recordists whole) of every block, the embedding, the logits."""
    net.eval()
    rows: list[list[Tensor]] = []
    for at in range(0, len(mels), 32):
        pooled: list[Tensor] = []
        embedding = net.spatial(mels[at : at + 32].float(), pooled).mean((2, 3))
        rows.append([*pooled, embedding, net.classifier(embedding)])
    taps = [*(f"block_{i:02d}" for i in range(len(net.blocks))), "embedding", "logits"]
    folds, _, _ = assign_folds(species.tolist(), recordists.tolist(), None, 5, seed)
    return {
        tap: round(float(knn.correct(torch.cat(parts).numpy(), species, folds).mean()), 4)
        for tap, parts in zip(taps, zip(*rows))
    }


def _data(recipe: Recipe, cache: Path | None) -> tuple[Songs, Songs, tuple[str, ...]]:
    """Training and validation songs (disjoint recordists), class names. `cache`: a .npy of all log-mels."""
    species = make_species(recipe.species, recipe.seed, PREFIX)
    takes = plan(species, recipe.clips_per_species, recipe.seed, PREFIX, recipe.recordists_per_species)
    if cache is not None and cache.exists():
        mels = torch.from_numpy(np.load(cache))
    else:
        mels = log_mels(takes, species)
        if cache is not None:
            np.save(cache, mels.numpy())
    names = tuple(one.name for one in species)
    classes = torch.tensor([names.index(take.species.name) for take in takes])
    held = torch.tensor([int(take.recordist.name.removeprefix(PREFIX)) % recipe.held_out == 0 for take in takes])
    return Songs.of(mels[~held], classes[~held]), Songs.of(mels[held], classes[held]), names


def finish(net: Miniature, songs: Songs, valid: Songs, names: Sequence[str], recipe: Recipe, log: list, out: Path):
    """Calibrate, measure, write wren.onnx and wren.json into the folder `out`; returns the scores."""
    calibrate(net, songs, recipe.seed)
    unseen = make_species(recipe.unseen_species, recipe.unseen_seed, UNSEEN_PREFIX)
    takes = plan(unseen, recipe.unseen_clips, recipe.unseen_seed, UNSEEN_PREFIX)
    kinds, groups = (np.array(v) for v in zip(*((take.species.name, take.recordist.name) for take in takes)))
    scores = {
        "validation": {"clips": len(valid.classes), "classes": len(names), "top1": round(top1(net, valid), 4)},
        "unseen_species": {
            "clips": len(takes),
            "species": len(unseen),
            "chance": round(1 / len(unseen), 4),
            "knn5_by_recordist": neighbour_curve(net, log_mels(takes, unseen), kinds, groups, 0),
        },
    }
    write_onnx(net, out / "wren.onnx")
    about = {
        "what": "Wren, a miniature of Perch v2 trained on made-up species: a model organism, not a bird model.",
        "made_by": "python -m birdprobe.finetune.wren.train train",
        "input": {"sample_rate": 32000, "window_s": 5.0, "normalise": "peak", "peak": PEAK},
        "parameters": sum(p.numel() for p in net.parameters()),
        "recipe": asdict(recipe),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "training_clips": len(songs.classes),
        "scores": scores,
        "log": log,
        "labels": list(names),
    }
    write_json(out / "wren.json", about, indent=1)
    return scores


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m birdprobe.finetune.wren.train", description=(__doc__ or "").split("\n\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("train", "make the data, train, measure, export"),
        ("export", "measure and export a checkpoint"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("-o", "--output", type=Path, default=ASSETS, help="folder of wren.onnx and wren.json")
        command.add_argument("--checkpoint", type=Path, required=name == "export", help="a .safetensors file")
        command.add_argument("--cache", type=Path, help="a .npy file that keeps the log-mels between runs")
        command.add_argument("--seed", type=int, default=Recipe.seed)
        command.add_argument("--steps", type=int, default=Recipe.steps)
        command.add_argument("--minutes", type=float, help="time limit of the training: squeezes its schedule")
    args = parser.parse_args(arguments)
    recipe = Recipe(seed=args.seed, steps=args.steps, minutes=args.minutes)
    torch.manual_seed(recipe.seed)
    songs, valid, names = _data(recipe, args.cache)
    print(f"{len(songs.classes)} training clips, {len(valid.classes)} for validation, {len(names)} species", flush=True)
    net = Miniature(len(names), recipe.dropout)
    if args.command == "train":
        log = train(net, songs, recipe, args.checkpoint)
    else:
        net.load_state_dict(load_file(args.checkpoint))
        log = json.loads(args.checkpoint.with_suffix(".json").read_text())["log"]
    args.output.mkdir(parents=True, exist_ok=True)
    print(json.dumps(finish(net, songs, valid, names, recipe, log, args.output), indent=1))


if __name__ == "__main__":
    main()
