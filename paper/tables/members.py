"""The model card against our members: every setting, ours as the code has it, and what differs."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ...analysis.tables import Column, Table, text_columns
from ..published import Published
from ..runs.discovery import Sources

PRESETS = Path(__file__).with_name("presets.json")  # the members' code needs PyTorch; a test compares the two
MEMBERS = ("birdmae-large", "efficientnet-b1")
# What the card calls otherwise -> ours, and how to bring it to the card's terms.
OURS = {"sources": "mixup_partners"}
NONE = {"layer_decay": 1.0, "frozen_epochs": 0, "clip_norm": 0.0}  # how a recipe says that it has none
LOSS_OF = {"gamma_neg": "asl", "gamma_pos": "asl", "asl_clip": "asl"}  # settings of one loss alone
UNSET = "–"
NO_PRESET = "not one of our presets"


def read_presets() -> dict[str, dict]:
    """member -> its recipe, augmentations under "augment", and its sample rate in Hz."""
    return json.loads(PRESETS.read_text(encoding="utf-8"))


def members(sources: Sources, published: Published) -> Table:
    """A row a setting of the card: its value for either member, ours, and whether the two differ."""
    ours, rows = read_presets(), []
    for row in published.frame("card").itertuples(index=False):
        record = {"field": row.field, "setting": row.setting}
        differs = []
        for name in MEMBERS:
            key = f"card.{row.field}.{name}"
            said = published[key] if key in published.entries else None
            record[f"{name} card"] = said.text if said else UNSET
            mine = _setting(ours[name], str(row.field))
            record[f"{name} ours"] = _show(mine)
            if mine is not None and (said is None or not _same(said.value, mine)):
                differs.append(name)
        record["differs"] = ", ".join(differs)
        rows.append(record)
    columns = text_columns("setting")
    for name in MEMBERS:
        columns += [Column(f"{name}, card", f"{{{name} card}}"), Column("ours", f"{{{name} ours}}")]
    columns += text_columns("differs")
    words = (
        f"{published.listings['card'].title}, and our presets. A dash: not stated, or not part of a recipe (hardware, "
        "memory and hours are measured, not set)."
    )
    return Table.from_frame(pd.DataFrame(rows), columns, words)


def augmentation(sources: Sources, published: Published) -> Table:
    """The card's augmentations against our preset of Bird-MAE-Large, which EfficientNet-B1 shares."""
    ours, rows = read_presets(), []
    frame = published.frame("augmentation")
    for row in frame.itertuples(index=False):
        said = published[f"augmentation.{row.field}.value"]
        mine = _augment(ours["birdmae-large"], str(row.field))
        same = _same(said.value, mine)
        rows.append((row.field, row.setting, said.text, _show(mine), "" if same else "yes", said.note))
    table = pd.DataFrame(rows, columns=["field", "setting", "card", "ours", "differs", "note"])
    numbers = [Column("card", "{card}"), Column("ours", "{ours}")]
    columns = [*text_columns("setting"), *numbers, *text_columns("differs", "note")]
    return Table.from_frame(table, columns, f"{published.listings['augmentation'].title}, and our presets.")


def changed(sources: Sources, published: Published) -> Table:
    """Runs of members: what each was trained with other than its preset says. Runs that changed nothing have a row."""
    rows, known = [], read_presets()
    for run in sources.members:
        preset, recipe = _flat(known.get(run.member, {})), _flat(run.recipe)
        other = [name for name in recipe if preset and not _same(preset.get(name), recipe[name])]
        folds = f"{len(run.finished)} of {run.config['settings'].get('folds', UNSET)}"
        for name in other or [None]:
            told = ("none" if preset else NO_PRESET, "", "")
            if name is not None:
                told = (name, _show(preset.get(name)), _show(recipe[name]))
            rows.append((run.name, run.member, folds, *told))
    frame = pd.DataFrame(rows, columns=["run", "member", "folds", "setting", "preset", "trained"])
    columns = [*text_columns("run", "member"), Column("folds finished", "{folds}"), *text_columns("setting")]
    columns += [Column("preset", "{preset}"), Column("trained with", "{trained}")]
    return Table.from_frame(frame, columns, "Runs of members, and where each was trained otherwise than its preset.")


def _flat(recipe: Mapping) -> dict:
    """Augmentations beside the rest, named augment.X."""
    found = {name: value for name, value in recipe.items() if name != "augment"}
    return found | {f"augment.{name}": value for name, value in (recipe.get("augment") or {}).items()}


def _setting(recipe: Mapping, name: str):
    """Our value in the card's terms: None where the recipe has no such setting, or sets it to none."""
    value = recipe.get(name)
    off = value == NONE.get(name, math.nan) or (name in LOSS_OF and recipe["loss"] != LOSS_OF[name])
    return None if off else value


def _augment(recipe: Mapping, name: str):
    """The same of an augmentation."""
    if name == "selection":
        return recipe["selection"]
    value = recipe["augment"][OURS.get(name, name)]
    return max(value) if name == "sources" else value  # at most so many, whatever the least


def _same(said, mine) -> bool:
    if isinstance(said, list | tuple) and isinstance(mine, list | tuple):
        return len(said) == len(mine) and all(map(_same, said, mine))
    if isinstance(said, int | float) and isinstance(mine, int | float):
        return math.isclose(said, mine, rel_tol=1e-9)
    return said == mine


def _show(value) -> str:
    if value is None:
        return UNSET
    if isinstance(value, list | tuple):
        return ", ".join(map(_show, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
