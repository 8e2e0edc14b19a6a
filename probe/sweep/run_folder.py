"""The run folder: accepted or refused before anything is computed, written when everything is."""

import json
from pathlib import Path

import pandas as pd

from ...analysis import wording
from ...analysis.tables import Table
from ...features import InputError

# What a run folder holds besides features.h5.
OURS = ("config.json", "ranking.csv", "ranking.md", "projection.csv", "predictions.csv", "report.html", "figures")


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
            f"{k}-NN top-1 [95 %]": [wording.interval(*ends) for ends in zip(table.knn, table.knn_lo, table.knn_hi)],
            "P(best)": table["p_best"].map("{:.2f}".format),
            "vs last, points [95 %]": [
                wording.points(*ends).removesuffix(" points")
                for ends in zip(table.vs_last, table.vs_last_lo, table.vs_last_hi)
            ],
            "p": ["<0.001" if p < 0.001 else f"{p:.3f}" for p in table["vs_last_p"]],
            "linear": table["linear"].map("{:.3f}".format),
            "LogME": table["logme"].map("{:.3f}".format),
            "ms/window": table["ms_per_window"].map("{:.1f}".format),
        }
    )
    return Table.from_frame(shown)
