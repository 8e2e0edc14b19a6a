"""The outcome of an experiment: its table, one plain sentence, and the files that hold them.

outcome.csv   one row an arm: macro AUC out of fold and held out, gains, inflation, with 95 % intervals
outcome.md    the sentence, the table for people, what it was measured on
config.json   everything resolved, and the sentence; written last
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ...analysis.tables import Column, Table
from ...analysis.wording import interval
from ...features.csv_files import write_csv
from ...features.files import write_json, write_text
from ...features.output_folder import Kind, OutputFolder

KIND = Kind(
    "experiment",
    "a finished experiment",
    ("outcome.csv", "outcome.md", "grid.csv", "figures/experiment.png", "figures/experiment.pdf"),
    ("experiment", "measured"),
    kept=("stores", "runs"),  # used again
)


@dataclass(frozen=True, eq=False)
class Finding:
    """What an experiment hands back: its arms, scored (see `arms.score`); a sentence; notes for the reader; the grid
    that was searched, if any."""

    frame: pd.DataFrame
    sentence: str
    notes: tuple[str, ...] = ()
    grid: pd.DataFrame | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """A finished experiment. frame: outcome.csv; sentence: what came out; seconds: what it took."""

    name: str
    folder: Path
    frame: pd.DataFrame
    sentence: str
    notes: tuple[str, ...]
    seconds: float

    @property
    def table(self) -> Table:
        return table(self.frame)


def table(frame: pd.DataFrame, caption: str = "") -> Table:
    """The arms as people read them."""

    def bracketed(name: str, sign: str = "") -> str:
        return f"{{{name}:{sign}.3f}} [{{{name}_lo:{sign}.3f}}, {{{name}_hi:{sign}.3f}}]"

    columns = (
        Column("arm", "{arm}", "left"),
        Column("out of fold [95 %]", bracketed("oof")),
        Column("held out [95 %]", bracketed("heldout")),
        Column("against", "{against}", "left"),
        Column("gain out of fold", bracketed("oof_gain", "+")),
        Column("gain held out", bracketed("heldout_gain", "+")),
        Column("inflation", bracketed("inflation", "+")),
    )
    return Table.from_frame(frame, columns, caption)


def write(folder: Path, name: str, finding: Finding, config: dict, about: dict[str, dict]) -> None:
    """The files of the folder. about: see `Truths.about`."""
    notes = (*finding.notes, *_between(finding.frame))
    words = [f"# Experiment: {name}", finding.sentence, table(finding.frame, measured(about)).to_markdown().strip()]
    if notes:
        words.append("\n".join(f"- {note}" for note in notes))
    whole = {"experiment": name, **config, "measured": about, "sentence": finding.sentence, "notes": notes}
    with OutputFolder(folder, KIND).replacing() as draft:
        for frame, stem in ((finding.frame, "outcome"), (finding.grid, "grid")):
            if frame is not None:
                write_csv(frame, draft / f"{stem}.csv", index=False, float_format="%.6g", lineterminator="\n")
        write_text(draft / "outcome.md", "\n\n".join(words) + "\n")
        write_json(draft / "config.json", whole)


def _between(frame: pd.DataFrame) -> list[str]:
    """What chance in the training does, where there are repeats."""
    rows = frame[frame["oof_gain_sd"].notna()]
    if rows.empty:
        return ["One training: its own chance is in no interval."]
    spread = "; ".join(
        f"{row['arm']} {row['oof_gain_sd']:.3f} out of fold, {row['heldout_gain_sd']:.3f} held out"
        for _, row in rows.iterrows()
    )
    return [
        f"Means over {rows['repeats'].iloc[0]} trainings with other seeds and folds. Standard deviation of the gains "
        f"between them: {spread}."
    ]


def measured(about: dict[str, dict]) -> str:
    """The caption: on how little this stands."""
    oof, heldout = (
        f"{part['windows']} windows of {part['recordings']} recordings, {part['classes_scored']} of "
        f"{part['classes']} classes"
        for part in (about["oof"], about["heldout"])
    )
    return (
        f"Macro ROC-AUC. Out of fold: {oof}; held out: {heldout}. 95 % intervals from a bootstrap over recordings, of "
        "which there are few, so they are wide and rough."
    )


def signed(row: pd.Series, name: str) -> str:
    """`+0.012 [-0.003, +0.027]`."""
    return interval(*(row[f"{name}{end}"] for end in ("", "_lo", "_hi")), signed=True)


def moved(rows: Sequence[pd.Series], names: Sequence[str]) -> str:
    """How many of the intervals of `names` in these rows exclude 0, in words."""
    n = sum(bool(row[f"{name}_lo"] > 0 or row[f"{name}_hi"] < 0) for row in rows for name in names)
    if not n:
        return "no interval excludes 0"
    return f"{n} of {len(rows) * len(names)} intervals exclude{'s' if n == 1 else ''} 0"


def verdict(row: pd.Series, name: str, above: str, below: str, unclear: str) -> str:
    """One of three wordings, by whether the interval of `name` lies above 0, below it, or holds it."""
    if row[f"{name}_lo"] > 0:
        return above
    return below if row[f"{name}_hi"] < 0 else unclear
