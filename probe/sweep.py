"""The main job: extract every tap once, rank the taps, write the run folder.

    MODEL + AUDIO -> recordings -> folds -> extract -> features.h5 -> units -> k-NN, linear, LogME -> ranking -> RUN

Pictures and the page are made from the finished folder by `probe.report`. The protocol is that of Table 1 in Yadav 2026
(its kNN-5 is our `knn`), with what it lacked: the final embedding and the logits among the taps, groups, intervals,
paired tests and the cost of each tap.
"""

import hashlib
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import knn, linear, projection, ranking
from analysis.tables import Table
from features import InputError
from features.recordings import Recordings, assign_folds, choose, read_recordings
from features.store import FeatureStore
from features.windows import Selection
from probe.answer import Answer, answer
from probe.backbone import Backbone
from probe.cost import ms_per_window
from probe.extract import Extraction, extract

# What a run folder holds besides features.h5.
OURS = ("config.json", "ranking.csv", "ranking.md", "projection.csv", "predictions.csv", "report.html", "figures")
TRAJECTORY_BLOCKS = 5  # published Figure 2 follows the last five blocks
PACKAGES = ("birdprobe", "onnx", "onnxruntime", "numpy", "scikit-learn", "umap-learn", "soundfile", "soxr", "h5py")


@dataclass(frozen=True)
class Settings:
    """Everything a sweep can be told; the defaults are the command's. Lengths in seconds, rates in Hz."""

    taps: str = "all"
    pool: str = "mean"
    select: str = "all"
    dtype: str = "float32"
    sample_rate: int | None = None
    window_s: float | None = None
    normalise: str | None = None
    batch_size: int = 8
    jobs: int = 1
    cluster: str | None = None
    classes: int | None = 30
    per_class: int | None = 20
    group_regex: str | None = None
    groups: str | None = None
    fold_regex: str | None = None
    k: int = 5
    folds: int = 5
    metric: str = "euclidean"
    unit: str = "clip"
    projection: str = "umap"
    seed: int = 0


@dataclass(frozen=True)
class Units:
    """The rows that are ranked: clips (mean over their windows) or single windows.

    `table` has one row a unit: file, start_s, end_s, label, group, fold (n rows); `rows` maps each of the store's rows
    to its unit.
    """

    table: pd.DataFrame
    rows: np.ndarray

    def vectors(self, features: np.ndarray) -> np.ndarray:
        """float32 [rows, ...] of a store -> [units, dims]: the mean over a unit's rows."""
        flat = features.reshape(len(features), -1)
        if len(self.table) == len(flat):
            return flat.astype(np.float32, copy=False)
        sums = np.zeros((len(self.table), flat.shape[1]))
        np.add.at(sums, self.rows, flat)
        return (sums / np.bincount(self.rows)[:, None]).astype(np.float32)


@dataclass(frozen=True)
class Swept:
    """A finished sweep: its folder, its answer and the table that `ranking.csv` holds."""

    run: Path
    answer: Answer
    table: pd.DataFrame


def sweep(
    model: Path,
    audio: Path,
    run: Path,
    settings: Settings = Settings(),
    *,
    overwrite: bool = False,
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> Swept:
    """Rank every tap of the ONNX file `model` on the labelled recordings `audio`, into the folder `run`.

    An unfinished run of the same settings is resumed; a finished one is refused unless `overwrite`. With `overwrite`
    the features are kept where their key still fits, since they are a cache and not a result. `say` hears one line a
    stage. Raises InputError for anything wrong with what the user gave.
    """
    started = time.perf_counter()
    check_settings(settings)
    prepare(run, overwrite)
    say(f"opening {model}")
    backbone = Backbone.open(
        model,
        taps=settings.taps,
        pooling=settings.pool,
        sample_rate=settings.sample_rate,
        window_s=settings.window_s,
        normalise=settings.normalise,
    )
    recordings = choose(
        read_recordings(
            audio,
            group_regex=settings.group_regex,
            groups_column=settings.groups,
            fold_regex=settings.fold_regex,
        ),
        settings.classes,
        settings.per_class,
        settings.seed,
    )
    fold_clips(recordings, settings)  # too few clips or groups is said before an hour of extraction, not after
    say(f"{len(recordings.clips)} clips of {len(recordings.labels)} classes, {len(backbone.taps)} taps, one pass")
    extraction = extract(
        backbone,
        recordings,
        run / "features.h5",
        selection=Selection.parse(settings.select),
        dtype=settings.dtype,
        batch_size=settings.batch_size,
        jobs=settings.jobs,
        seed=settings.seed,
        overwrite=overwrite,
        cluster=settings.cluster,
        progress=progress,
    )
    say("timing the model up to each tap")
    taps = [backbone.architecture.taps[name] for name in backbone.taps]
    cost = ms_per_window(backbone.model, taps, backbone.window_samples)
    with FeatureStore.open(extraction.store) as store:
        say("ranking")
        clips, folds_said, fold_warnings = fold_clips(recordings, settings, skipped=set(store.skipped()["clip"]))
        units = make_units(store.rows(), clips, settings.unit)
        table, predictions, found = rank_taps(store, units, backbone, settings, cost)
        say(f"{settings.projection} of the last blocks")
        projected = project(store, units, backbone, settings)
        data_hash = hash_of_audio(store.rows())
    config = {
        "command": command,
        "model": describe_model(backbone),
        "audio": {
            "path": str(audio),
            "clips": int(units.table["file"].nunique()),
            "classes": int(units.table["label"].nunique()),
            "windows": len(units.rows),
            "units": len(units.table),
            "groups": int(units.table["group"].nunique()),
            "sha256": data_hash,
        },
        "settings": asdict(settings),
        "folds": {"n": int(units.table["fold"].nunique()), "description": folds_said},
        "grouping": recordings.grouping,
        "warnings": list(dict.fromkeys([*recordings.warnings, *fold_warnings])),
        "skipped": [{"file": s.file, "reason": s.reason} for s in extraction.skipped],
        "answer": found.to_json(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "seconds": {"extract": round(extraction.seconds, 2), "all": round(time.perf_counter() - started, 2)},
    }
    write(run, table, predictions, projected, config)
    return Swept(run, found, table)


def check_settings(settings: Settings) -> None:
    """Refuse what no later stage would explain as well."""
    choices = {"metric": ("euclidean", "cosine"), "unit": ("clip", "window"), "projection": ("umap", "pca")}
    for name, allowed in choices.items():
        if getattr(settings, name) not in allowed:
            raise InputError(f"--{name}: {getattr(settings, name)!r} found, one of {', '.join(allowed)} wanted")
    for name in ("k", "folds", "batch_size", "jobs"):
        least = 2 if name == "folds" else 1
        if getattr(settings, name) < least:
            raise InputError(f"--{name.replace('_', '-')}: {getattr(settings, name)} found, at least {least} wanted")


def prepare(run: Path, overwrite: bool) -> None:
    """Make the run folder, or refuse it. Of an old run only files that a sweep writes are ever removed."""
    if run.exists() and not run.is_dir():
        raise InputError(f"{run}: a file found, a folder wanted for the run")
    existing = sorted(path.name for path in run.iterdir()) if run.exists() else []
    strangers = [name for name in existing if name not in OURS and not name.startswith("features.h5")]
    finished = "config.json" in existing  # written last
    if (finished or strangers) and not overwrite:
        what = "a finished run" if finished else f"other files ({', '.join(strangers[:3])})"
        raise InputError(f"{run}: {what} found, a new folder wanted. Use --overwrite to replace the results in it.")
    for name in set(existing) & set(OURS):
        if (run / name).is_dir():
            for picture in (run / name).glob("*.p[nd][gf]"):
                picture.unlink()
        else:
            (run / name).unlink()
    run.mkdir(parents=True, exist_ok=True)


def fold_clips(
    recordings: Recordings, settings: Settings, skipped: set[int] = frozenset()
) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """A table of the clips that could be read, indexed by clip number: file, label, group, fold."""
    kept = {i: clip for i, clip in enumerate(recordings.clips) if i not in skipped}
    labels = np.array([clip.label for clip in kept.values()])
    # A clip without a known group is a group of its own.
    groups = np.array([clip.group if clip.group is not None else clip.name for clip in kept.values()])
    given = [clip.fold for clip in kept.values()]
    folds, said, warnings = assign_folds(
        labels,
        None if recordings.grouping == "none" else groups,
        None if None in given else given,
        settings.folds,
        settings.seed,
    )
    table = pd.DataFrame({"label": labels, "group": groups, "fold": folds}, index=pd.Index(kept, name="clip"))
    return table, said, warnings


def make_units(rows: pd.DataFrame, clips: pd.DataFrame, unit: str) -> Units:
    """Rows of the store -> what is ranked. Label, group and fold come from `clips`, so that all agree on one split."""
    if unit == "clip":
        ids, of_row = np.unique(rows["clip"].to_numpy(), return_inverse=True)
        spans = rows.groupby("clip").agg(file=("file", "first"), start_s=("start_s", "min"), end_s=("end_s", "max"))
        table = spans.loc[ids].reset_index(names="clip")
    else:
        of_row = np.arange(len(rows))
        table = rows[["clip", "file", "start_s", "end_s"]].reset_index(drop=True)
    return Units(table.join(clips, on="clip"), of_row)


def rank_taps(
    store: FeatureStore, units: Units, backbone: Backbone, settings: Settings, cost: dict[str, float]
) -> tuple[pd.DataFrame, pd.DataFrame, Answer]:
    """Every tap's k-NN, linear probe and LogME -> the columns of ranking.csv, each unit's predictions, the answer."""
    y, folds = units.table["label"].to_numpy(), units.table["fold"].to_numpy()
    predicted, scores = {}, {}
    for tap in store.taps:
        x = units.vectors(store.read(tap))
        predicted[tap] = knn.predict(x, y, folds, settings.k, settings.metric)
        scores[tap] = {
            "dim": x.shape[1],
            "linear": float(np.mean(linear.predict(x, y, folds) == y)),
            "logme": linear.logme(x, y),
            "ms_per_window": cost[tap],
        }
    reference = last_before_classifier(store.taps)
    ranked = ranking.rank(
        {tap: labels == y for tap, labels in predicted.items()},
        units.table["group"].to_numpy(),
        reference,
        seed=settings.seed,
    )
    architecture = backbone.architecture.taps
    places = pd.DataFrame(
        {"index": [architecture[t].index for t in store.taps], "stage": [architecture[t].stage for t in store.taps]},
        index=list(store.taps),
    ).astype("Int64")
    table = places.join(pd.DataFrame(scores).T).join(ranked.table).astype({"dim": int}).rename_axis("tap")
    table = table[list(COLUMNS)].reset_index()
    chance = float(units.table["label"].value_counts(normalize=True).iloc[0])
    return table, units.table.assign(**predicted), answer(ranked, reference, cost, chance)


COLUMNS = (
    *("index", "stage", "dim", "knn", "knn_lo", "knn_hi", "p_best"),
    *("vs_last", "vs_last_lo", "vs_last_hi", "vs_last_p", "linear", "logme", "ms_per_window"),
)


def last_before_classifier(taps: tuple[str, ...]) -> str:
    """The tap that people read by default: the embedding, or the deepest one that is not the class scores."""
    return "embedding" if "embedding" in taps else ([tap for tap in taps if tap != "logits"] or list(taps))[-1]


def project(store: FeatureStore, units: Units, backbone: Backbone, settings: Settings) -> pd.DataFrame:
    """The last blocks in one joint plane (published Figure 2): tap, item, label, x, y."""
    blocks = [tap for tap in store.taps if backbone.architecture.taps[tap].index is not None]
    taps = blocks[-TRAJECTORY_BLOCKS:] or list(store.taps)[-TRAJECTORY_BLOCKS:]
    features = {tap: units.vectors(store.read(tap)) for tap in taps}
    labels = units.table["label"].to_numpy()
    return projection.trajectories(features, labels, method=settings.projection, seed=settings.seed)


def describe_model(backbone: Backbone) -> dict:
    return {
        "path": str(backbone.path),
        "sha256": backbone.sha256,
        "preset": backbone.preset,
        "sample_rate": backbone.sample_rate,
        "window_s": backbone.window_s,
        "normalise": backbone.normalise,
        "architecture": backbone.architecture.to_json(),
        "proof": backbone.proof.to_json(),
    }


def hash_of_audio(rows: pd.DataFrame) -> str:
    """One hash for all the audio that was read: over the sorted (file, sha256) pairs."""
    pairs = sorted(set(zip(rows["file"], rows["sha256"])))
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()


def write(run: Path, table: pd.DataFrame, predictions: pd.DataFrame, projected: pd.DataFrame, config: dict) -> None:
    """The run's files. config.json comes last: its presence says that the sweep is whole."""
    table.to_csv(run / "ranking.csv", index=False, float_format="%.6g")
    (run / "ranking.md").write_text(ranking_table(table, config["settings"]["k"]).to_markdown() + "\n")
    predictions.to_csv(run / "predictions.csv", index=False)
    projected.to_csv(run / "projection.csv", index=False, float_format="%.6g")
    (run / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def ranking_table(table: pd.DataFrame, k: int) -> Table:
    """ranking.csv as people read it: intervals beside their figure, differences in points."""
    shown = pd.DataFrame(
        {
            "tap": table["tap"],
            "dim": table["dim"],
            f"{k}-NN top-1 [95 %]": [f"{a:.3f} [{b:.3f}, {c:.3f}]" for a, b, c in zip(table.knn, table.knn_lo, table.knn_hi)],
            "P(best)": table["p_best"].map("{:.2f}".format),
            "vs last, points [95 %]": [
                f"{100 * a:+.1f} [{100 * b:+.1f}, {100 * c:+.1f}]"
                for a, b, c in zip(table.vs_last, table.vs_last_lo, table.vs_last_hi)
            ],
            "p": ["<0.001" if p < 0.001 else f"{p:.3f}" for p in table["vs_last_p"]],
            "linear": table["linear"].map("{:.3f}".format),
            "LogME": table["logme"].map("{:.3f}".format),
            "ms/window": table["ms_per_window"].map("{:.1f}".format),
        }
    )
    return Table.from_frame(shown)
