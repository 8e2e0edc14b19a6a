"""blend(): anybody's predictions to one checked submission, by the names of the command's options."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...features import InputError
from ...features.progress import Log, listener
from ...features.schema import checked, forwards, numbers
from ..postprocess.chain import Wanted
from .submission import Made, Tuning, make

SEARCH = "search"


@checked
@forwards(Wanted)
def blend(
    members: Sequence[Path | str],
    output: Path | str,
    *,
    weights: str | Sequence[float] | None = None,
    space: str = "prob",
    oof: str | Sequence[Path | str] | None = None,
    oof_truth: Path | str | None = None,
    names: str | Sequence[str] | None = None,
    missing: str = "error",
    recipe: Path | str | None = None,
    sonotypes: Path | str | None = None,
    truth: Path | str | None = None,
    sample_submission: Path | str | None = None,
    rows_per_file: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
    log: Log | None = None,
    command: str = "",
    **steps: Any,
) -> Made:
    """Blend submissions, post-process the blend, validate it, and compare it with the truth where there is one.

    Args:
        members: CSVs of any pipeline, row_id and one column a class; one of them is post-processed alone.
        output: the submission to write; OUT.json beside it says how, and with `truth` OUT-comparison.csv, .md and .tex
            hold members and blend, step by step.
        weights: one a member, on any scale; "search": on the tables of `oof`; None: equal.
        space: what is averaged: prob, logit or rank.
        oof, oof_truth: with "search", the members' out-of-fold tables in their order, and the 0/1 table of these rows.
        names: of the members; None: their files', with the folder's where two are called the same.
        missing: a member without some classes: error, or skip (blended from the others there).
        recipe: `eos7`, the published chain, or a TOML file, in the place of weights and steps.
        sonotypes: for a recipe, a CSV of primary_label and sonotype_group.
        truth: a 0/1 table of the same rows.
        sample_submission: whose rows and columns the result gets; None: the first member's.
        rows_per_file: None: 12 where all names are those of BirdCLEF+ test soundscapes, else unchecked.
        seed: of folds and resampling.
        overwrite: replace `output` and what stands beside it.
        progress: lines on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.
        command: what is recorded as the command that made it.
        **steps: named as the command's options: taxonomy, genus, group, prior, prior_kind, prior_weight, gaussian,
            kernel, power, power_top, no_call, no_call_factor, no_call_class.

    Returns:
        What was written: `.table`, `.weights`, `.effects` of the steps, `.compared`, `.verdict`.

    Raises:
        InputError: a table, a weight or a step that cannot be used, or a result at fault; nothing is replaced then.
    """
    searched = weights == SEARCH
    if searched != (oof is not None and oof_truth is not None):
        raise InputError("--weights search: --oof and --oof-truth belong to it, all three or none wanted.")
    if steps.get("kernel") is not None:
        steps["kernel"] = numbers("--kernel", steps["kernel"])
    return make(
        _named([Path(path) for path in members], names),
        Path(output),
        weights=None if weights is None or searched else numbers("--weights", weights),
        space=space,
        tuning=Tuning(tuple(map(Path, _split(oof))), Path(oof_truth)) if oof and oof_truth else None,
        wanted=Wanted(**steps),
        recipe=recipe,
        sonotypes=_path(sonotypes),
        truth=_path(truth),
        sample_submission=_path(sample_submission),
        rows_per_file=rows_per_file,
        missing=missing,
        seed=seed,
        overwrite=overwrite,
        command=command,
        say=listener(log, progress),
    )


def _path(place: Path | str | None) -> Path | None:
    return None if place is None else Path(place)


def _split(texts: str | Sequence[Path | str]) -> list[str]:
    """The command's text with commas, or a list, as a list."""
    return [part.strip() for part in texts.split(",")] if isinstance(texts, str) else [str(part) for part in texts]


def _named(members: Sequence[Path], names: str | Sequence[str] | None) -> dict[str, Path]:
    """name -> path. Without names the file's, with its folder's where two are called the same."""
    if names is not None:
        chosen = _split(names)
    else:
        chosen = [path.stem for path in members]
        if len(set(chosen)) < len(chosen):
            chosen = [f"{path.absolute().parent.name}/{path.stem}" for path in members]
    if not members:
        raise InputError("members: none found, at least one CSV wanted.")
    if len(chosen) != len(members) or len(set(chosen)) < len(chosen):
        raise InputError(f"--names: {', '.join(chosen)} found, {len(members)} different ones wanted, one a member.")
    return dict(zip(chosen, members))
