"""What an experiment measured: an arm's gain out of fold, its gain held out, and what lies between."""

import math
from pathlib import Path

import pandas as pd

from ...analysis import runs
from ..runs.discovery import Sources
from ..runs.readers import PERCH_V2, Experiment
from .measure import Measure, model_name

PARTS = {"oof": "out of fold", "heldout": "held out"}


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
    value, low, high = (float(row.get(f"{column}{end}", math.nan)) for end in ("", "_lo", "_hi"))
    about, parts = run.config["measured"], ("oof", "heldout") if column == "inflation" else (column.split("_")[0],)
    n = "; ".join(
        f"{about[part]['windows']:,} windows, {about[part]['recordings']:,} recordings {PARTS[part]}" for part in parts
    )
    perch = str(run.config.get("model", {}).get("sha256", "")) in PERCH_V2
    against = f" against {row['against']}" if isinstance(row["against"], str) and row["against"] else ""
    return Measure(run.name, experiment_on(sources, run), value, low, high, n, f"{name}{against}", perch)


HEAD = "attention"  # of several heads with one role, the one that the note speaks of


def measure(sources: Sources, run: Experiment, role: str, column: str) -> Measure | None:
    """A column of the first arm that has a role; see `arm` and `arm_of_role`."""
    name = arm_of_role(run, role, HEAD if role == runs.RESIDUAL else None)
    return None if name is None else arm(sources, run, name, column)


def of_kind(sources: Sources, kind: str, role: str, column: str) -> list[Measure]:
    """A column of every arm that has a role, of every experiment of a kind."""
    found = [
        arm(sources, run, name, column)
        for run in sources.experiments
        if run.kind == kind
        for name in run.gains.loc[run.gains["role"] == role, "arm"]
    ]
    return [one for one in found if one is not None]


def arm_of_role(run: Experiment, role: str, against: str | None = None) -> str | None:
    """The first arm that has a role (and is compared with `against`, where one is named); None where there is none."""
    rows = run.gains[run.gains["role"] == role]
    rows = rows if against is None else rows[rows["against"] == against]
    return None if rows.empty else str(rows["arm"].iloc[0])
