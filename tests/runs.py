"""Run folders for the tests of figures and report: real block tables, made-up predictions, everything else computed.

The accuracy of every tap is given; clips get a latent difficulty (shared within a group), a tap is right where its own
noisy reading of the clip clears the bar that its accuracy sets, and every column of the ranking follows from that.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pandas as pd

from birdprobe.analysis.ranking import Ranking, rank
from birdprobe.analysis.readout_ranking import rank_readouts
from birdprobe.analysis.runs import RANKING_COLUMNS
from birdprobe.probe.sweep.conclusion import conclude
from birdprobe.probe.sweep.published_answer import Answer, answer
from birdprobe.probe.sweep.ranking import conclusion_json, readouts_table
from birdprobe.probe.sweep.shift import rank_shift
from birdprobe.probe.sweep.studies.finding import Finding

BIRDS = [
    "Turdus merula",
    "Erithacus rubecula",
    "Parus major",
    "Fringilla coelebs",
    "Sylvia atricapilla",
    "Phylloscopus collybita",
    "Troglodytes troglodytes",
    "Columba palumbus",
    "Cyanistes caeruleus",
    "Corvus corone",
    "Pica pica",
    "Sturnus vulgaris",
    "Dendrocopos major",
    "Strix aluco",
    "Cuculus canorus",
    "Luscinia megarhynchos",
    "Emberiza citrinella",
    "Alauda arvensis",
    "Motacilla alba",
    "Hirundo rustica",
    "Apus apus",
    "Buteo buteo",
    "Garrulus glandarius",
    "Sitta europaea",
    "Certhia brachydactyla",
    "Regulus regulus",
    "Carduelis carduelis",
    "Chloris chloris",
    "Passer domesticus",
    "Prunella modularis",
]
SOUNDS = [
    "chainsaw",
    "clock_tick",
    "crackling_fire",
    "crying_baby",
    "dog",
    "helicopter",
    "rain",
    "rooster",
    "sea_waves",
    "sneezing",
]


@dataclass(frozen=True)
class Backbone:
    """A block table and how well each tap does: stages of (channels, blocks, map), embedding and logits sizes."""

    name: str
    kind: str
    stages: tuple[tuple[int, int, tuple[int, ...]], ...]
    stem: tuple[int, tuple[int, ...]] | None
    embedding: int
    logits: int
    window_s: float
    sample_rate: int
    accuracy: tuple[float, ...]  # blocks (interpolated over depth), embedding, logits
    classes: tuple[str, ...] = tuple(BIRDS)
    per_class: int = 20
    growth: int = 0  # channels added by every block (dense modules)
    staged: bool = True


BIRDNET = Backbone(
    *("BirdNET V2.4", "mbconv"),
    ((36, 3, (24, 128)), (72, 4, (12, 64)), (108, 5, (6, 32)), (192, 4, (3, 16))),
    *((24, (48, 256)), 1024, 6522, 3.0, 48000),
    (0.55, 0.62, 0.7, 0.75, 0.79, 0.82, 0.845, 0.878, 0.89, 0.9, 0.902, 0.91, 0.887, 0.878, 0.85, 0.805, 0.812, 0.722),
    *(tuple(SOUNDS), 40),
)
PERCH = Backbone(
    *("Perch v2", "mbconv"),
    (
        *((24, 2, (249, 63)), (32, 3, (125, 32)), (48, 3, (63, 16)), (96, 5, (32, 8))),
        *((136, 5, (32, 8)), (232, 6, (16, 4)), (384, 2, (16, 4))),
    ),
    *((40, (249, 63)), 1536, 14795, 5.0, 32000),
    (0.06, 0.075, 0.1, 0.12, 0.13, 0.14, 0.14, 0.14, 0.16, 0.25, 0.4, 0.55, 0.49, 0.49, 0.65, 0.6, 0.62, 0.5),
)
VIT = Backbone(
    *("vit_base_patch16_224", "transformer", ((768, 12, (197,)),), None, 768, 527, 10.0, 16000),
    (0.2, 0.25, 0.31, 0.36, 0.42, 0.48, 0.53, 0.57, 0.6, 0.63, 0.66, 0.64, 0.645, 0.55),
    staged=False,
)
DENSE = Backbone(
    *("densenet121", "dense"),
    ((64, 6, (56, 56)), (128, 12, (28, 28)), (256, 24, (14, 14)), (512, 16, (7, 7))),
    *((64, (112, 112)), 1024, 1000, 4.0, 32000),
    (0.08, 0.1, 0.12, 0.15, 0.2, 0.26, 0.33, 0.38, 0.41, 0.44, 0.45, 0.43, 0.42, 0.4),
    growth=32,
)


def architecture(backbone: Backbone) -> dict:
    """The block table as `birdprobe blocks --json` gives it; macs as of 3x3 depthwise blocks with expansion 6."""
    blocks, macs = [], 30_000_000
    for stage, (channels, count, size) in enumerate(backbone.stages, start=1):
        for number in range(1, count + 1):
            width = channels + backbone.growth * number
            macs += int(np.prod(size)) * 6 * width * (2 * width + 9)
            index = len(blocks)
            blocks.append(
                {"index": index, "name": f"block_{index:02d}", "kind": backbone.kind}
                | {"stage": stage if backbone.staged else None, "channels": width, "map": list(size)}
                | {"tensor": f"block{index}/out", "macs": macs}
            )
    last = blocks[-1]
    ends = {}
    for name, width in (("embedding", backbone.embedding), ("logits", backbone.logits)):
        macs += width * last["channels"]
        ends[name] = last | {"index": None, "name": name, "kind": name, "stage": None, "channels": width, "map": []}
        ends[name] |= {"tensor": name, "macs": macs}
    stem = None
    if backbone.stem:
        stem = last | {
            "index": None,
            "name": "stem",
            "kind": "stem",
            "stage": None,
            "tensor": "stem",
            "macs": 30_000_000,
        }
        stem |= {"channels": backbone.stem[0], "map": list(backbone.stem[1])}
    samples = int(backbone.window_s * backbone.sample_rate)
    return {
        "blocks": blocks,
        "stem": stem,
        **ends,
        "inputs": [{"name": "inputs", "shape": ["N", samples]}],
        "outputs": [{"name": "label", "shape": ["N", backbone.logits]}],
        "notes": [],
    }


def predictions(backbone: Backbone, taps: dict[str, float], rng: np.random.Generator) -> pd.DataFrame:
    names, n = backbone.classes, backbone.per_class
    label = np.repeat(names, n)
    group = np.array([f"{name[:3]}{i // 2:02d}" for name in names for i in range(n)])
    _, which = np.unique(group, return_inverse=True)
    ease = 0.9 * rng.normal(size=len(names)).repeat(n) + 0.5 * rng.normal(size=which.max() + 1)[which]
    ease += 0.8 * rng.normal(size=len(label))
    table = pd.DataFrame({"file": [f"{a}/{g}-{i}.ogg" for i, (a, g) in enumerate(zip(label, group))]})
    table["start_s"], table["end_s"] = 0.0, 5.0
    table["label"], table["group"], table["fold"] = label, group, which % 5
    for tap, accuracy in taps.items():
        reading = ease + 0.7 * rng.normal(size=len(label))
        bar = np.quantile(reading, 1 - accuracy)
        wrong = np.array(names)[
            (np.repeat(np.arange(len(names)), n) + rng.integers(1, len(names), len(label))) % len(names)
        ]
        table[tap] = np.where(reading >= bar, label, wrong)
    return table


def ranks_of(arch: dict, ranked: Ranking) -> pd.DataFrame:
    """ranking.csv of a ranking: linear probe, LogME and cost are made up from the accuracy and the macs."""
    place = {row["name"]: row for row in (*arch["blocks"], arch["embedding"], arch["logits"])}
    table = ranked.table.reset_index()
    for column, key in (("index", "index"), ("stage", "stage"), ("dim", "channels")):
        table[column] = [place[tap][key] for tap in table.tap]
    table["linear"] = [min(0.99, NormalDist().cdf(NormalDist().inv_cdf(knn) + 0.12)) for knn in table.knn]
    table["logme"] = 2.4 * table.knn - 0.3
    table["ms_per_window"] = [place[tap]["macs"] / 2.2e7 + 1.5 for tap in table.tap]
    return table[list(RANKING_COLUMNS)]


def projection(table: pd.DataFrame, taps: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """Every class a smooth walk, every item a point beside it."""
    names = list(dict.fromkeys(table.label))
    at = rng.normal(size=(len(names), 2)) * 4
    turn = rng.normal(size=(len(names), 2)) * rng.gamma(1.5, 0.7, size=(len(names), 1))
    rows = []
    for tap in taps:
        at = at + turn + rng.normal(size=at.shape) * 0.4
        turn = turn * 0.8 + rng.normal(size=at.shape) * 0.25
        points = at[[names.index(label) for label in table.label]] + rng.normal(size=(len(table), 2)) * 0.6
        rows.append(
            pd.DataFrame({"tap": tap, "item": table.file, "label": table.label, "x": points[:, 0], "y": points[:, 1]})
        )
    return pd.concat(rows, ignore_index=True)


def make_run(folder: Path, backbone: Backbone = BIRDNET, only: tuple[int, ...] | None = None, seed: int = 1) -> Path:
    """Write a run folder. `only` lists the blocks that were tapped; all when None, none when empty."""
    rng = np.random.default_rng(seed)
    arch = architecture(backbone)
    n = len(arch["blocks"])
    curve = np.interp(np.linspace(0, 1, n), np.linspace(0, 1, len(backbone.accuracy) - 2), backbone.accuracy[:-2])
    chosen = range(n) if only is None else only
    accuracy = {f"block_{i:02d}": float(curve[i]) for i in chosen}
    accuracy |= dict(zip(("embedding", "logits"), backbone.accuracy[-2:]))
    table = predictions(backbone, accuracy, rng)
    correct = {tap: (table[tap] == table.label).to_numpy() for tap in accuracy}
    ranked = rank(correct, table.group.to_numpy(), "embedding", n_boot=500, n_perm=2000, seed=seed)
    ranks = ranks_of(arch, ranked)
    folder.mkdir(parents=True, exist_ok=True)
    ranks.astype({"index": "Int64", "stage": "Int64"}).to_csv(folder / "ranking.csv", index=False)
    table.to_csv(folder / "predictions.csv", index=False)
    followed = [f"block_{i:02d}" for i in chosen][-5:] or list(accuracy)
    projection(table, followed, rng).to_csv(folder / "projection.csv", index=False)
    cost = dict(zip(ranks.tap, ranks.ms_per_window))
    linear = dict(zip(ranks.tap, ranks.linear))
    found = answer(ranked, "embedding", cost, linear, 1 / len(backbone.classes))
    config = configuration(backbone, arch, table, found)
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return folder


def configuration(backbone: Backbone, arch: dict, table: pd.DataFrame, found: Answer) -> dict:
    n = len(table)
    return {
        "model": {
            "path": f"models/{backbone.name.replace(' ', '_')}.onnx",
            "sha256": "5a1c" * 16,
            "preset": backbone.name if backbone.staged and not backbone.growth else None,
            "architecture": arch,
            "proof": {
                "taps": {tap: {"max_abs": 1.2e-6, "rel_l2": 3.1e-7} for tap in table.columns[6:]},
                "outputs": {"label": {"max_abs": 0.0, "rel_l2": 0.0}},
                "windows": 2,
                "tolerance": 1e-4,
            },
            "sample_rate": backbone.sample_rate,
            "window_s": backbone.window_s,
            "normalise": "none",
        },
        "audio": {
            **{"path": "data/esc10", "clips": n, "classes": len(backbone.classes), "windows": 2 * n, "units": n},
            **{"groups": int(table.group.nunique()), "sha256": "9e02" * 16},
        },
        "settings": {
            **{"taps": "all", "pool": "mean", "select": "all", "dtype": "float32", "k": 5, "folds": 5, "seed": 0},
            **{"metric": "euclidean", "unit": "clip", "projection": "umap"},
        },
        "folds": {"description": r"5 given folds (file-name pattern '^(\d)-')", "n": 5},
        "grouping": r"file-name pattern '^\d-(\d+)-'",
        "warnings": ["2 clips are shorter than one window; they were zero-padded."],
        "skipped": [{"file": "rain/1-17367-A.ogg", "reason": "silent: all 220,500 samples equal"}],
        "answer": found.to_json(),
        "versions": {"birdprobe": "0.1.0", "python": "3.11.7", "onnxruntime": "1.20.0", "numpy": "2.1.0"},
        "command": r"birdprobe sweep BirdNET.onnx esc10 -o runs/esc10 --group-regex '^\d-(\d+)-' --fold-regex '^(\d)-'",
        "seconds": {"extract": 61.2, "all": 74.9},
    }


# read-out -> share of the wrong predictions that it sets right, at inner taps and at the embedding
MENDS = {"knn": (0.0, 0.0), "knn-standard": (0.1, 0.6), "centroid": (0.0, 0.95), "linear": (0.3, 0.8)}


def add_readouts(run: Path, shifted: bool = False, seed: int = 2) -> Path:
    """Make a run of `make_run` one of this edition: readouts.csv, the conclusion, and a shift where asked for.

    By `knn`, the predictions as they are, an inner tap leads; read any other way the embedding does.
    """
    rng = np.random.default_rng(seed)
    table = pd.read_csv(run / "predictions.csv")
    classes = sorted(set(table.label))
    targets = (table.label.to_numpy()[:, None] == classes).astype(bool)
    taps = list(pd.read_csv(run / "ranking.csv").tap)
    scores = {
        (tap, readout): read(table, tap, classes, targets, MENDS[readout][tap == "embedding"], rng)
        for tap in taps
        for readout in MENDS
    }
    groups = table.group.to_numpy()
    ranked = rank_readouts(scores, targets, groups, "embedding", n_boot=100, n_perm=500)
    verdict = SimpleNamespace(readouts=ranked, conclusion=conclude(ranked, 5))
    shift = None
    if shifted:
        elsewhere = {cell: part * (rng.random((len(part), 1)) < 0.8) for cell, part in scores.items()}
        shift = rank_shift(elsewhere, targets, groups, ranked, 5, "top1")
    readouts_table(verdict, shift).to_csv(run / "readouts.csv", index=False, float_format="%.6g")
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    config["conclusion"] = conclusion_json(verdict, shift, Finding())
    (run / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return run


def read(table, tap, classes, targets, mended, rng) -> np.ndarray:
    """Class scores of a read-out: the tap's predictions, a share of the wrong ones set right."""
    predicted = (table[tap].to_numpy()[:, None] == classes).astype(float)
    return np.where(rng.random((len(table), 1)) < mended, targets.astype(float), predicted)
