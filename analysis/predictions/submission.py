"""What a blend wrote: the record of it, its files, and what it is compared with."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from ...features import InputError
from ...features.csv_files import write_csv
from ...features.files import json_text, replacing, sha256
from .. import predictions
from ..blending import Search, search
from ..postprocess import effects
from ..postprocess.site_hour import Prior, SiteHour
from ..postprocess.step import Step
from . import comparison
from .refusals import comparison_stem

BLEND = "blend"


@dataclass(frozen=True, eq=False)
class Made:
    """What `blend` wrote to `path`: the table, the weights by member, and what there was to say about them.

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


def search_weights(names: Sequence[str], oof: Sequence[Path], truth: Path, space: str, seed: int) -> Search:
    """`blending.search` on the members' out-of-fold CSVs. InputError: not one a member."""
    if len(oof) != len(names):
        raise InputError(f"--oof: expected {len(names)} tables, one a member in their order, got {len(oof)}.")
    tables = {name: predictions.read_predictions(path) for name, path in zip(names, oof)}
    return search(tables, predictions.read_truth(truth), space, seed=seed)


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
