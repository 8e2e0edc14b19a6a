"""From members' CSVs to one checked submission: blended, post-processed, and compared where the truth is known.

A.csv, B.csv -> weights (given, or searched on out-of-fold tables) -> blend -> steps -> checked -> OUT.csv, OUT.json
                 or a recipe: A.csv -> its steps, which mix B.csv in
                                                 every member and the blend, step by step -> OUT-comparison.*
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from ...features import InputError
from ...features.csv_files import write_csv
from ...features.files import json_text, replacing, sha256
from .. import predictions
from ..blending import Search, blend, diversity, search
from ..postprocess import effects
from ..postprocess.chain import Wanted, chain
from ..postprocess.recipes import build, read_recipe
from ..postprocess.site_hour import Prior, SiteHour
from ..postprocess.step import Step
from . import comparison
from .refusals import check_output, comparison_stem, ordered_as, require_recipe_alone, rows_of
from .verdict import verdict

BLEND = "blend"


@dataclass(frozen=True, eq=False)
class Tuning:
    """Where to search the weights: the members' out-of-fold tables, in the members' order, and their truth."""

    oof: tuple[Path, ...]
    truth: Path


@dataclass(frozen=True, eq=False)
class Made:
    """What `make` wrote to `path`: the table, the weights by member, and what there was to say about them.

    effects: one a step, on the blend. compared: the long frame of `comparison.compare`, None without truth.
    alike: Spearman between members (`blending.diversity`), None for one member. prior: the site/hour prior that was
    fitted or read, on all its labels (rows that have labels of their own met a cross-fitted one).
    """

    path: Path
    table: pd.DataFrame
    weights: dict[str, float]
    searched: Search | None
    effects: tuple[effects.Effect, ...]
    alike: pd.DataFrame | None
    compared: pd.DataFrame | None
    prior: Prior | None
    verdict: str | None  # what was written against the best single member, None without truth
    recipe: str | None = None
    left_out: tuple[str, ...] = ()  # the recipe's steps that could not be applied, and why


def make(
    members: Mapping[str, Path],
    out: Path | str,
    *,
    weights: Sequence[float] | None = None,
    space: str = "prob",
    tuning: Tuning | None = None,
    wanted: Wanted = Wanted(),  # noqa: B008 (frozen)
    recipe: Path | str | None = None,
    sonotypes: Path | None = None,
    truth: Path | None = None,
    sample_submission: Path | None = None,
    rows_per_file: int | None = None,
    missing: str = "error",
    seed: int = 0,
    overwrite: bool = False,
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Made:
    """Blend the members' tables, apply the wanted steps, check the result, write it.

    members: name -> CSV; one is enough to post-process it. weights: one a member, any scale, None for equal; or
    `tuning`. recipe: a name (`eos7`) or a TOML file: its steps take the place of weights, space and wanted, of which
    taxonomy alone counts; the members stand in the order of its roles. sonotypes: a CSV of groups for it.
    sample_submission: whose rows and columns the result gets, in its order; otherwise the first member's.
    rows_per_file: None means 12 where all names are those of BirdCLEF+ test soundscapes, else unchecked. truth: a 0/1
    table; then OUT-comparison.csv, .md and .tex hold members and blend, step by step, with paired intervals.
    InputError: `out` exists (without overwrite); whatever a table, a weight or a step is refused for; a result at
    fault.
    """
    out = Path(out)
    read = [*members.values(), *((*tuning.oof, tuning.truth) if tuning else ()), truth, sample_submission, sonotypes]
    check_output(out, [path for path in read if path], truth is not None, wanted.prior is not None, overwrite)
    if BLEND in members:
        raise InputError(f"member {BLEND!r}: a name that the result has; expected another one.")
    cooking = read_recipe(recipe) if recipe is not None else None
    require_recipe_alone(cooking, weights, space, tuning, wanted, missing, sonotypes)
    tables = {name: predictions.read_predictions(path) for name, path in members.items()}
    sample = predictions.read(sample_submission) if sample_submission else next(iter(tables.values()))
    searched, built = None, None
    if tuning is not None:
        say(f"searching weights on {len(tuning.oof)} out-of-fold tables")
        searched = search_weights(list(tables), tuning, space, seed)
        weights = list(searched.weights.values())
    steps: tuple[Step, ...]
    if cooking is not None:
        built = build(cooking, tables, wanted.taxonomy, sonotypes)
        shares, blended, steps = built.weights, next(iter(tables.values())), built.steps
        for line in built.left_out:
            say(f"warning: recipe {cooking.name}, left out: {line}")
    else:
        shares = dict(zip(tables, weights if weights is not None else [1.0] * len(tables)))
        blended = blend(list(tables.values()), weights, space, names=list(tables), missing=missing)
        steps = chain(wanted, blended.index, blended.columns, say)
    expected = predictions.read_truth(truth) if truth else None
    result, found = effects.apply(blended, steps, expected, seed)
    for line in effects.warnings(found):
        say(f"warning: {line}")
    place, classes = str(sample_submission or next(iter(members.values()))), sample.columns
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
        parts = cells(tables, blended, steps, built is not None)
        compared = comparison.compare(expected, parts, seed=seed, ignore=ignore)
    alike = diversity(tables) if len(tables) > 1 and missing == "error" else None
    total = sum(shares.values())
    shares = {name: weight / total for name, weight in shares.items()}
    name, left_out = (cooking.name, built.left_out) if cooking is not None and built is not None else (None, ())
    made = Made(out, result, shares, searched, found, alike, compared, prior_of(steps), judged, name, left_out)
    write(made, members, space, command)
    return made


def cells(tables, blended, steps, by_recipe: bool) -> dict[str, tuple[tuple[str, pd.DataFrame], ...]]:
    """What is compared: every member and the blend after each step; where a recipe mixes members, its steps are the
    blend's alone and the members stand as they came."""
    if by_recipe:
        whole = comparison.stages(blended, steps)
        return {name: ((comparison.RAW, table),) for name, table in tables.items()} | (
            {BLEND: whole[1:]} if len(whole) > 1 else {}
        )
    found = {name: comparison.stages(table, steps) for name, table in tables.items()}
    return found | ({BLEND: comparison.stages(blended, steps)} if len(tables) > 1 else {})


def search_weights(names: Sequence[str], tuning: Tuning, space: str, seed: int) -> Search:
    """`blending.search` on the members' out-of-fold CSVs. InputError: not one a member."""
    if len(tuning.oof) != len(names):
        raise InputError(f"--oof: expected {len(names)} tables, one a member in their order, got {len(tuning.oof)}.")
    tables = {name: predictions.read_predictions(path) for name, path in zip(names, tuning.oof)}
    return search(tables, predictions.read_truth(tuning.truth), space, seed=seed)


def prior_of(steps: Sequence[Step]) -> Prior | None:
    found = (getattr(step, "others", step) for step in steps if step.stage == "prior")
    return next((step.prior for step in found if isinstance(step, SiteHour)), None)


def write(made: Made, members: Mapping[str, Path], space: str, command: str) -> None:
    """OUT.csv, OUT.json; OUT-prior.json where there is a prior, for a kernel to ship; with truth OUT-comparison.csv,
    .md, .tex. All of them are written before the first takes its place."""
    with ExitStack() as drafts:
        draft = drafts.enter_context(replacing(made.path))
        write_csv(made.table, draft, index_label=predictions.ROW_ID, float_format="%.9g")
        predictions.check_submission(draft, made.table.index, made.table.columns)  # the file itself, as it will be read
        texts = {".json": json_text(description(made, members, space, command, sha256(draft)))}
        if made.prior is not None:
            texts["-prior.json"] = json_text(made.prior.to_json(), indent=1)
        for end, text in texts.items():
            beside = drafts.enter_context(replacing(made.path.with_name(made.path.stem + end)))
            beside.write_bytes(text.encode("utf-8", "backslashreplace"))
        if made.compared is not None:
            comparison.write(made.compared, comparison_stem(made.path))


def description(made: Made, members: Mapping[str, Path], space: str, command: str, digest: str) -> dict:
    """OUT.json. digest: of OUT.csv."""
    return {
        "command": command,
        "members": [
            {"name": name, "path": str(path), "sha256": sha256(path), "weight": made.weights[name]}
            for name, path in members.items()
        ],
        "space": space if made.recipe is None else "recipe",
        "recipe": made.recipe,
        "left_out": list(made.left_out),
        "rows": len(made.table),
        "classes": made.table.shape[1],
        "csv_sha256": digest,
        "search": made.searched.to_json() if made.searched else None,
        "steps": [asdict(effect) for effect in made.effects],
        "verdict": made.verdict,
        "diversity": made.alike.to_dict("records") if made.alike is not None else None,
        "versions": {"birdprobe": version("birdprobe")},
    }
