"""What a blend is refused for, before anything is read and before anything is written; the names of its files."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ...features import InputError
from ...features.files import check_new
from ...features.recordings.names import SoundscapeName
from .. import predictions
from ..postprocess.chain import Wanted
from ..postprocess.recipes import Recipe

ROWS_PER_FILE = 12  # a minute of 5-s windows: what a BirdCLEF+ soundscape must have
COMPARISON = (".csv", ".md", ".tex", ".png", ".pdf")  # the pictures are drawn by the command


def check_output(out: Path, given: Sequence[Path], compared: bool, prior: bool, overwrite: bool) -> None:
    """Refuse an output before anything is read: OUT.csv, and every file that is written beside it.

    InputError: another ending than .csv; one of the files `given`; existing files without `overwrite`.
    """
    if out.suffix != ".csv":
        raise InputError(
            f"{out}: ends in {out.suffix or 'nothing'}, expected .csv; its description is the .json beside it."
        )
    written = [out, out.with_name(f"{out.stem}.json")]
    written += [out.with_name(f"{out.stem}-prior.json")] if prior else []
    written += [comparison_stem(out).with_suffix(end) for end in COMPARISON] if compared else []
    for path in written:
        check_new(path, overwrite=True)
        for one in given:
            if path.exists() and Path(one).exists() and path.samefile(one):
                raise InputError(f"{path}: one of the files that are read, expected another name for the output.")
    for path in written:
        check_new(path, overwrite)


def require_recipe_alone(recipe: Recipe | None, how: tuple, wanted: Wanted, sonotypes: object) -> None:
    """InputError: weights or steps besides a recipe, whose own they would contradict; sonotypes without one.

    how: weights, space and what is done about missing classes.
    """
    if recipe is None:
        if sonotypes is not None:
            raise InputError("--sonotypes: only a recipe has a step for it; wanted together with --recipe.")
        return
    if how != (None, "prob", "error") or wanted != Wanted(taxonomy=wanted.taxonomy):
        raise InputError(
            f"--recipe {recipe.name}: the recipe has weights and steps of its own, expected no others beside it. "
            f"Copy {recipe.path} and change it?"
        )


def ordered_as(table: pd.DataFrame, row_ids: pd.Index, classes: pd.Index, place: str) -> pd.DataFrame:
    """These rows and classes of the table, in this order. InputError: some that the table has not."""
    for what, have, want in (("rows", table.index, row_ids), ("columns", table.columns, classes)):
        absent = want[~want.isin(have)]
        if len(absent):
            raise InputError(
                f"{place}: {len(absent)} {what} that no member predicts (the first {absent[0]!r}). Another competition?"
            )
    return table.loc[row_ids, classes]


def rows_of(row_ids: Iterable[str]) -> int | None:
    """12 where every recording is named as a BirdCLEF+ test soundscape (of others, some windows alone may be labelled
    and predicted), else None."""
    names = [SoundscapeName.parse(name) for name in set(predictions.files(row_ids).tolist())]
    return ROWS_PER_FILE if all(name and name.split == "Test" for name in names) else None


def comparison_stem(out: Path) -> Path:
    return out.with_name(f"{out.stem}-comparison")
