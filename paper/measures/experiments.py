"""What an experiment measured: an arm's gain out of fold, its gain held out, and what lies between."""

import math
from pathlib import Path

import pandas as pd

from ..runs.discovery import Sources
from ..runs.readers import PERCH_V2, Experiment
from .measure import Measure, model_name

PARTS = {"oof": "out of fold", "heldout": "held out"}
# Arms as `birdprobe experiment` names them.
NAIVE, AS_PREDICTED, SAW, OTHERS = "naive student", "as predicted", "prior saw the windows", "prior of other folds"


def experiment_on(sources: Sources, run: Experiment) -> str:
    model = run.config.get("model", {})
    name = model_name(sources, str(model.get("sha256", "")), str(model.get("path", "")))
    return f"{name}, {Path(run.config.get('competition', run.name)).name}"


def arm(sources: Sources, run: Experiment, name: str, column: str) -> Measure | None:
    """A column of an arm's row (`oof_gain`, `heldout_gain`, `inflation`), macro ROC-AUC."""
    rows = run.outcome[run.outcome["arm"] == name]
    if rows.empty or column not in rows or pd.isna(rows[column].iloc[0]):
        return None
    row = rows.iloc[0]
    ends = (float(row.get(f"{column}{end}", math.nan)) for end in ("", "_lo", "_hi"))
    about, parts = run.config["measured"], ("oof", "heldout") if column == "inflation" else (column.split("_")[0],)
    n = "; ".join(
        f"{about[part]['windows']:,} windows, {about[part]['recordings']:,} recordings {PARTS[part]}" for part in parts
    )
    perch = str(run.config.get("model", {}).get("sha256", "")) in PERCH_V2
    against = f" against {row['against']}" if isinstance(row["against"], str) and row["against"] else ""
    return Measure(run.name, experiment_on(sources, run), *ends, n, f"{name}{against}", perch)


def moderate(run: Experiment) -> str | None:
    """The arm of the published prior, learned without the windows that are scored."""
    return _arm(run, lambda row: row["against"] == AS_PREDICTED and row["arm"].endswith(OTHERS))


def stronger(run: Experiment) -> str | None:
    """The arm of the prior tuned out of fold on windows that it saw, as the note's v7."""
    return _arm(run, lambda row: row["against"] not in (None, AS_PREDICTED) and row["arm"].endswith(SAW))


def residual(run: Experiment, head: str = "attention") -> str | None:
    return _arm(run, lambda row: row["against"] == head)


def _arm(run: Experiment, matches) -> str | None:
    return next((row["arm"] for row in run.gains.to_dict("records") if matches(row)), None)
