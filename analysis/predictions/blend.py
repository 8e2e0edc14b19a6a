"""blend(): anybody's predictions to one checked submission, and compared where the truth is known.

A.csv, B.csv -> weights (given, or searched on out-of-fold tables) -> blend -> steps -> checked -> OUT.csv, OUT.json
                 or a recipe: A.csv -> its steps, which mix B.csv in
                                                 every member and the blend, step by step -> OUT-comparison.*
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...features import InputError
from ...features.progress import Log, listener
from ...features.schema import checked, forwards, numbers
from .. import predictions
from ..blending import blend as weighted_mean
from ..blending import diversity
from ..postprocess import effects
from ..postprocess.chain import Wanted, chain
from ..postprocess.recipes import Built, build, read_recipe
from . import comparison
from .refusals import check_output, ordered_as, require_recipe_alone, rows_of
from .submission import BLEND, Made, cells, prior_of, search_weights, write
from .verdict import verdict

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
    say, out = listener(log, progress), Path(output)
    if (weights == SEARCH) != (oof is not None and oof_truth is not None):
        raise InputError("--weights search: --oof and --oof-truth belong to it, all three or none wanted.")
    if steps.get("kernel") is not None:
        steps["kernel"] = numbers("--kernel", steps["kernel"])
    wanted = Wanted(**steps)
    paths = _named([Path(path) for path in members], names)
    searching = [Path(path) for path in _split(oof or ())]
    shares = None if weights is None or searching else numbers("--weights", weights)
    beside = [Path(path) for path in (oof_truth, truth, sample_submission, sonotypes) if path is not None]
    check_output(out, [*paths.values(), *searching, *beside], truth is not None, wanted.prior is not None, overwrite)
    if BLEND in paths:
        raise InputError(f"member {BLEND!r}: a name that the result has; expected another one.")
    cooking = read_recipe(recipe) if recipe is not None else None
    require_recipe_alone(cooking, (weights, space, missing), wanted, sonotypes)
    tables = {name: predictions.read_predictions(path) for name, path in paths.items()}
    sample = predictions.read(sample_submission) if sample_submission else next(iter(tables.values()))
    searched = None
    if oof_truth is not None and searching:
        say(f"searching weights on {len(searching)} out-of-fold tables")
        searched = search_weights(list(tables), searching, Path(oof_truth), space, seed)
        shares = tuple(searched.weights.values())
    blended = next(iter(tables.values()))
    if cooking is not None:
        built = build(cooking, tables, wanted.taxonomy, None if sonotypes is None else Path(sonotypes))
        for line in built.left_out:
            say(f"warning: recipe {cooking.name}, left out: {line}")
    else:
        blended = weighted_mean(list(tables.values()), shares, space, names=list(tables), missing=missing)
        weight = dict(zip(tables, shares or [1.0] * len(tables)))
        built = Built(chain(wanted, blended.index, blended.columns, say), (), weight)
    expected = predictions.read_truth(truth) if truth else None
    result, found = effects.apply(blended, built.steps, expected, seed)
    for line in effects.warnings(found):
        say(f"warning: {line}")
    place, classes = str(sample_submission or next(iter(paths.values()))), sample.columns
    if not sample_submission:
        classes = classes.drop(wanted.no_call_class or [], errors="ignore")  # its step has dropped the column
    result = ordered_as(result, sample.index, classes, place)
    per_file = rows_per_file or rows_of(result.index)
    predictions.require(result, str(out), row_ids=sample.index, classes=classes, rows_per_file=per_file)
    compared, judged = None, None
    if expected is not None:
        say("comparing with the truth")
        ignore = [wanted.no_call_class] if wanted.no_call_class else ()
        judged = verdict(expected, tables, result, found, seed, ignore)
        parts = cells(tables, blended, built.steps, cooking is not None)
        compared = comparison.compare(expected, parts, seed=seed, ignore=ignore)
    made = Made(
        path=out,
        table=result,
        weights={name: one / sum(built.weights.values()) for name, one in built.weights.items()},
        searched=searched,
        effects=found,
        alike=diversity(tables) if len(tables) > 1 and missing == "error" else None,
        compared=compared,
        prior=prior_of(built.steps),
        verdict=judged,
        recipe=cooking.name if cooking else None,
        left_out=built.left_out,
    )
    write(made, paths, space, command)
    return made


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
