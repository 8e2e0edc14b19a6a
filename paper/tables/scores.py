"""Tables 2, 3 and 4, published against ours.

The published scores are of the competition's leaderboards, which no run of ours can repeat. Ours stand beside as what
the same step, or the same attempt, gave on our recordings: out of fold, and on recordings held out from everything.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from ...analysis import runs
from ...analysis.tables import Column, Table, text_columns
from ..measures import Measure, comparisons, experiments, heads
from ..measures.comparisons import BLEND, RAW
from ..measures.measure import caveat
from ..published import Published
from ..runs.discovery import Sources

ENDS = ("", "_lo", "_hi")
FIRST = "Ours: macro ROC-AUC of the first run that has the number, 95 % intervals over recordings; a dash: none has."


def table2(sources: Sources, published: Published) -> Table:
    """Step by step. Published: the score and its change; ours: the change that the same step makes in our runs."""
    frame = published.frame("table2")
    frame["score"] = [published[f"table2.{version}.public"].text for version in frame["version"]]
    frame["step"] = frame["public"].diff()
    frame = _beside(frame, frame["version"], steps(sources))
    columns = [
        *text_columns("version", "change"),
        Column("public", "{score}"),
        Column("step", "{step:+.3f}"),
        _ours("our step"),
        Column("on", "{ours_on}: {ours_at}", "left"),
    ]
    words = f"{published.listings['table2'].title}, and our steps. {FIRST} {_counted(frame)}"
    return Table.from_frame(frame, columns, words)


def steps(sources: Sources) -> dict[str, Measure]:
    """version of Table 2 -> what its change gave in the first run that made it."""
    mixing = (heads.head_gain(sources, run, "attention", "scalarmix") for run in sources.heads)
    found = {
        "v2": _first(mixing),
        "v5": _first(map(comparisons.tta_gain, sources.comparisons)),
        "v6": _first(_arms(sources, "priors", runs.MODERATE_HONEST, "heldout_gain")),
        "v7": _first(_arms(sources, "priors", runs.TUNED_LEAKY, "heldout_gain")),
    }
    return {version: one for version, one in found.items() if one is not None}


def table3(sources: Sources, published: Published) -> Table:
    """Public against private, published; out of fold against held out, ours: both are two sets of recordings, of which
    the first was looked at while choosing."""
    return _attempts("table3", sources, published)


def table4(sources: Sources, published: Published) -> Table:
    """The attempts of the final week, as `table3`."""
    return _attempts("table4", sources, published)


def attempts(sources: Sources) -> dict[str, tuple[Measure | None, Measure | None]]:
    """attempt -> (out of fold, held out) of its like in our runs: v4, v6, v7, the blend, the residual head."""
    found = {}
    for name, kind, role in (
        ("v4", "pseudo", runs.NAIVE),
        ("v6", "priors", runs.MODERATE_HONEST),
        ("v7", "priors", runs.TUNED_LEAKY),
        ("eos11", "residual", runs.RESIDUAL),
    ):
        found[name] = tuple(_first(_arms(sources, kind, role, column)) for column in ("oof", "heldout"))
    found["blend"] = found["eos7"] = _first(map(_blend, sources.comparisons)) or (None, None)
    return found


def _attempts(name: str, sources: Sources, published: Published) -> Table:
    frame, found = published.frame(name), attempts(sources)
    for part in ("public", "private"):
        frame[f"{part}_said"] = [published[f"{name}.{attempt}.{part}"].text for attempt in frame["attempt"]]
    frame["change_said"] = [
        published[key].text if (key := f"{name}.{attempt}.drop") in published.entries else f"{drop:+.3f}"
        for attempt, drop in zip(frame["attempt"], (frame["private"] - frame["public"]).round(6))
    ]
    for i, part in enumerate(("oof", "heldout")):
        mine = {attempt: one for attempt, ends in found.items() if (one := ends[i]) is not None}
        frame = _beside(frame, frame["attempt"], mine, part, "{:.3f}")
    frame["ours_change"] = frame["heldout"] - frame["oof"]
    columns = [
        *text_columns("attempt", "change"),
        Column("public", "{public_said}"),
        Column("private", "{private_said}"),
        Column("private - public", "{change_said}"),
        _ours("ours, out of fold", "oof"),
        _ours("ours, held out", "heldout"),
        Column("held out - out of fold", "{ours_change:+.3f}"),
        Column("on", "{heldout_on}: {heldout_at}", "left"),
    ]
    words = (
        f"{published.listings[name].title}, and the like of each in our runs, on our recordings: these are no "
        f"leaderboards, and their levels do not compare. {FIRST} {_counted(frame, 'heldout')}"
    )
    return Table.from_frame(frame, columns, words)


def _blend(run) -> tuple[Measure | None, Measure | None] | None:
    """The untouched blend out of fold, with weights that did not see the rows (no interval), and held out."""
    rows = run.frame[(run.frame["member"] == BLEND) & (run.frame["step"] == RAW)]
    if rows.empty or not comparisons.blends(run):
        return None
    row, search, on = rows.iloc[0], run.config.get("search") or {}, comparisons.members_of(run)
    value, low, high = (float(row[name]) for name in ("macro_auc", "lo", "hi"))
    held = Measure(run.name, on, value, low, high, comparisons.counted_rows(row), BLEND)
    if "nested_auc" not in search:
        return None, held
    n = f"{search['n_rows']:,} windows, {search['n_groups']:,} recordings"
    return Measure(run.name, on, float(search["nested_auc"]), math.nan, math.nan, n, BLEND), held


def _arms(sources: Sources, kind: str, role: str, column: str) -> Iterable[Measure | None]:
    return (experiments.measure(sources, run, role, column) for run in sources.experiments if run.kind == kind)


def _first(found: Iterable):
    return next((one for one in found if one is not None), None)


def _beside(
    frame: pd.DataFrame, keys: Iterable[str], found: Mapping[str, Measure], name: str = "ours", form: str = "{:+.3f}"
) -> pd.DataFrame:
    """The frame with NAME and NAME_lo, _hi, _run, _on, _at, _n, _said of each row's measure; gaps if none."""
    rows = [found.get(key) for key in keys]
    values = {f"{name}{end}": [getattr(one, field, math.nan) for one in rows] for end, field in zip(ENDS, _FIELDS)}
    told = ("run", "on", "at", "n")
    words: dict[str, Any] = {f"{name}_{field}": [getattr(one, field, None) for one in rows] for field in told}
    words[f"{name}_said"] = [None if one is None else one.said(form) for one in rows]
    return frame.assign(**values, **words)


_FIELDS = ("value", "low", "high")


def _ours(title: str, name: str = "ours") -> Column:
    return Column(title, f"{{{name}_said}}")


def _counted(frame: pd.DataFrame, name: str = "ours") -> str:
    told = frame[[f"{name}_run", f"{name}_n"]].dropna().drop_duplicates()
    words = " ".join(f"{run}: {n}." for run, n in told.itertuples(index=False))
    return words + caveat(frame[f"{name}_on"].dropna())
