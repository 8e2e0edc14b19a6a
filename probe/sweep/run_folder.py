"""The run folder: accepted or refused before anything is computed, written when everything is."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ...analysis import wording
from ...analysis.scored_items import Units
from ...analysis.tables import Table
from ...features.csv_files import write_csv
from ...features.files import write_json, write_text
from ...features.output_folder import Kind, OutputFolder, read_index
from ...features.store import FeatureStore
from ..extraction.extract import Extraction
from ..runtime.backbone import Backbone

FEATURES, TEST = "features.h5", "test.h5"  # in RUN, beside control.h5
TABLES = (
    "ranking.csv",
    "ranking.md",
    "readouts.csv",
    "answer.json",
    "projection.csv",
    "predictions.csv",
    "label_free.csv",
    "cka.csv",
    "shots.csv",
    "planes.csv",
    "plane_scores.csv",
    "control.csv",
    "control_readouts.csv",
    "report.html",
)
FIGURES = (
    *("readouts", "ranks", "depth", "architecture", "trajectories", "classes"),
    *("shots", "planes", "similarity"),
)
KIND = Kind(
    "sweep",
    "a finished run",
    (*TABLES, *(f"figures/{name}.{end}" for name in FIGURES for end in ("png", "pdf"))),
    ("model", "audio", "settings", "answer"),
    says={"settings": dict, "asked?": dict, "model": {"sha256": str}, "audio": {"sha256": str}},
    kept=("features.h5", ".features.h5", "test.h5", ".test.h5", "control.h5", ".control.h5"),
)


def prepare(run: Path, overwrite: bool, stores: Iterable[str]) -> tuple[OutputFolder, bool]:
    """The run folder, accepted by `OutputFolder.check`, and whether its stores may be replaced. Nothing is changed.

    stores: names of those that the sweep fills; in a folder that no sweep began they are never replaced. InputError:
    the folder is refused, or one of the stores would not be replaced and is none.
    """
    folder = OutputFolder(run, KIND)
    folder.check(overwrite)
    replaced = overwrite and folder.owned() is not None
    for name in stores:
        if not replaced and (run / name).exists():
            FeatureStore.open(run / name).close()
    return folder, replaced


def write(run: Path, tables: Mapping[str, pd.DataFrame], config: dict) -> None:
    """The run's tables by their file names, in the place of an older run's once all are written; pictures come later.

    Until `finish` the run counts as unfinished: after a kill the same command goes on, and replaces it.
    """
    with OutputFolder(run, KIND).replacing() as draft:
        for name, table in tables.items():
            rounded = None if name == "predictions.csv" else "%.6g"
            write_csv(table, draft / name, index=False, float_format=rounded)
        ranking = ranking_table(tables["ranking.csv"], config["settings"]["k"])
        write_text(draft / "ranking.md", ranking.to_markdown() + "\n")
        write_json(draft / "answer.json", config["conclusion"])
        write_json(draft / "config.json", config | {"unfinished": True})


def finish(run: Path) -> None:
    """The run is whole: from now on it is replaced by nothing but --overwrite."""
    config = read_index(run / KIND.index)
    config.pop("unfinished", None)
    write_json(run / KIND.index, config)


def describe_audio(audio: Path, units: Units, rows: pd.DataFrame) -> dict:
    """What was ranked on, for config.json."""
    return {
        "path": str(audio),
        "clips": int(units.table["file"].nunique()),
        "classes": int(units.table["label"].nunique()),
        "windows": len(units.rows),
        "units": len(units.table),
        "groups": int(units.table["group"].nunique()),
        "sha256": hash_of_audio(rows),
    }


def describe_model(backbone: Backbone) -> dict:
    """What was opened, for config.json."""
    fed = ("sha256", "preset", "sample_rate", "window_s", "normalise", "frontend", "inputs")
    return {
        "path": str(backbone.path),
        **{name: getattr(backbone, name) for name in fed},
        "architecture": backbone.architecture.to_json(),
        "proof": backbone.verification.to_json(),
        **{name: getattr(backbone, name) for name in ("folding", "without", "random_weights")},
        "device": backbone.device_check.to_json() if backbone.device_check else {"device": "cpu"},
    }


def describe_skipped(extraction: Extraction) -> list[dict]:
    """The clips that could not be used, for config.json."""
    return [{"file": one.file, "reason": one.reason} for one in extraction.skipped]


def hash_of_audio(rows: pd.DataFrame) -> str:
    """One hash for all the audio that was read: over the sorted (file, sha256) pairs."""
    pairs = sorted(set(zip(rows["file"], rows["sha256"])))
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()


def ranking_table(table: pd.DataFrame, k: int) -> Table:
    """ranking.csv as people read it: intervals beside their figure, differences in points."""
    shown = pd.DataFrame(
        {
            "tap": table["tap"],
            "dim": table["dim"],
            f"{k}-NN top-1 [95 %]": [wording.interval(*ends) for ends in zip(table.knn, table.knn_lo, table.knn_hi)],
            "P(best)": table["p_best"].map("{:.2f}".format),
            "vs last, points [95 %]": [
                wording.points(*ends).removesuffix(" points")
                for ends in zip(table.vs_last, table.vs_last_lo, table.vs_last_hi)
            ],
            "p": ["<0.001" if p < 0.001 else f"{p:.3f}" for p in table["vs_last_p"]],
            "linear": table["linear"].map("{:.3f}".format),
            "LogME": table["logme"].map("{:.3f}".format),
            "ms/window": ["-" if ms != ms else f"{ms:.1f}" for ms in table["ms_per_window"]],
        }
    )
    return Table.from_frame(shown)


def short_ranking(table: pd.DataFrame, k: int, metric: str = "euclidean") -> Table:
    """What of the ranking fits a terminal of 80 columns, and what its columns are; all of it is in ranking.md."""
    whole = ranking_table(table, k)
    names = {
        "tap": "tap",
        f"{k}-NN top-1 [95 %]": f"{k}-NN top-1 [95 %]",
        "vs last, points [95 %]": "vs last [95 %]",
        "p": "p",
        "linear": "linear",
        "ms/window": "ms",
    }
    columns = (column for column in whole.columns if column.title in names)
    read = wording.readout_name("knn" if metric == "euclidean" else f"knn-{metric}", k)
    caption = (
        f"{read} is one read-out of several, ridge (`linear`) another, both top-1 here; p is each row's own, "
        "not corrected for looking at all of them. The other read-outs: readouts.csv and the report."
    )
    return replace(
        whole, columns=tuple(replace(column, title=names[column.title]) for column in columns), caption=caption
    )
