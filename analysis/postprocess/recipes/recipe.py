"""A recipe read from TOML and turned into steps for the members and tables at hand."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ....features import InputError
from ....features.recordings.tables import read_csv
from .. import file_confidence, nocall, taxonomic, temporal
from ..gates import classes, mixing, spikes
from ..step import Step

OURS = Path(__file__).parent
WHOLE, TEXTS = ("member", "top", "reach_windows"), ("space", "unit")
KINDS = dict.fromkeys(WHOLE, "a whole number") | dict.fromkeys(TEXTS, "text") | {"temperature": "a table of numbers"}


@dataclass(frozen=True)
class Part:
    """One step of a recipe. do: which of `PARTS`; settings: its numbers."""

    do: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """name, about: for people. parts: in the order of application. path: where it was read."""

    name: str
    about: str
    parts: tuple[Part, ...]
    path: str


@dataclass(frozen=True, eq=False)
class Built:
    """steps: to be applied to the first member's table. left_out: one line a part that could not be, and why.

    weights: the members' shares in what comes out, by name.
    """

    steps: tuple[Step, ...]
    left_out: tuple[str, ...]
    weights: dict[str, float]


@dataclass(frozen=True, eq=False)
class Given:
    """What parts are built from: the members' tables by name, in order; taxonomy.csv; a table of sonotype groups."""

    members: Mapping[str, pd.DataFrame]
    taxonomy: Path | None = None
    sonotypes: Path | None = None
    ranked: dict[int, pd.DataFrame] = field(default_factory=dict)
    built: list[Step] = field(default_factory=list)

    def member(self, number: int) -> tuple[str, pd.DataFrame]:
        if number > len(self.members):
            raise _Absent(f"member {number} is not given")
        return list(self.members.items())[number - 1]

    def ranks(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Percentile ranks of the first two members, over the first one's rows and columns."""
        if len(self.members) < 2:
            raise _Absent("it needs two members")
        first, second = list(self.members.values())[:2]
        if not self.ranked:
            name = list(self.members)[1]
            mixing.values_of(second, first, name)
            self.ranked.update({1: mixing.ranks(first), 2: mixing.ranks(second.loc[first.index, first.columns])})
        return self.ranked[1], self.ranked[2]

    def groups(self) -> Mapping[str, str]:
        """label -> class_name."""
        if self.taxonomy is None:
            raise _Absent("it needs a taxonomy")
        return taxonomic.Taxonomic.read(self.taxonomy).group

    def sonotype_groups(self) -> Mapping[str, str]:
        if self.sonotypes is not None:
            return classes.read_groups(self.sonotypes)
        if self.taxonomy is None or classes.GROUP_COLUMN not in read_csv(self.taxonomy, ("primary_label",))[0]:
            raise _Absent(f"no table says which sonotypes sound the same (a column {classes.GROUP_COLUMN})")
        return classes.read_groups(self.taxonomy)


class _Absent(Exception):
    """What a part needs and was not given."""


def _mix(given: Given, member: int = 2, **settings) -> Step:
    name, table = given.member(member)
    return mixing.Mix(table, name, **settings)


def _continuity(given: Given, **settings) -> Step:
    gate = given.built[-1] if given.built else None
    if not isinstance(gate, spikes.SilentSpikes):
        raise _Absent("it belongs right behind silent-spikes")
    return spikes.Continuity(gate, **settings)


def _taxonomic(given: Given, **settings) -> Step:
    given.groups()
    assert given.taxonomy is not None
    return taxonomic.Taxonomic.read(given.taxonomy, **settings)


# name in a recipe -> (its settings, what builds it from what is given and the settings)
PARTS: dict[str, tuple[tuple[str, ...], Callable[..., Step]]] = {
    "mix": (("member", "weight", "space"), _mix),
    "silent-spikes": (("keep", "high", "low"), lambda given, **s: spikes.SilentSpikes(*given.ranks(), **s)),
    "continuity": (("reach_windows", "scale", "dof", "level"), _continuity),
    "second-spikes": (("keep", "high", "low"), lambda given, **s: spikes.SecondSpikes(*given.ranks(), **s)),
    "shared-maximum": ((), lambda given: classes.SharedMaximum(given.sonotype_groups())),
    "rare-classes": (
        ("share", "margin", "factor"),
        lambda given, **s: classes.RareClasses(given.groups(), **s),
    ),
    "temperatures": (
        ("temperature",),
        lambda given, temperature: classes.Temperatures(temperature, given.groups()),
    ),
    "gaussian": (("sigma",), lambda given, **s: temporal.Gaussian(**s)),
    "adaptive": (("alpha",), lambda given, **s: temporal.Adaptive(**s)),
    "power": (("exponent", "top"), lambda given, **s: file_confidence.Power(**s)),
    "no-call": (("threshold", "factor", "unit"), lambda given, **s: nocall.Damping(**s)),
    "taxonomic": (("a", "b"), _taxonomic),
}


def read_recipe(name: Path | str) -> Recipe:
    """The recipe of a name (`eos7`) or of a TOML file. InputError: none, no TOML, an unknown step or setting."""
    path = Path(name)
    known = sorted(one.stem for one in OURS.glob("*.toml"))
    if str(name) in known:
        path = OURS / f"{name}.toml"
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{name}: {reason}; expected a recipe's name ({', '.join(known)}) or a TOML file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no TOML ({error}), expected a recipe.") from error
    parts = found.get("step")
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise InputError(f"{path}: no [[step]] found, expected one or more. Copy eos7.toml?")
    steps = tuple(_part(f"{path}, step {i}", part) for i, part in enumerate(parts, 1))
    return Recipe(str(found.get("name", path.stem)), str(found.get("about", "")), steps, str(path))


def _fits(key: str, value: object) -> bool:
    if key in TEXTS:
        return isinstance(value, str)
    if key == "temperature":
        return isinstance(value, dict) and all(type(one) in (int, float) for one in value.values())
    return type(value) is int or (type(value) is float and key not in WHOLE)


def _part(place: str, given: dict[str, Any]) -> Part:
    do = given.get("do")
    if do not in PARTS:
        raise InputError(f"{place}: expected do to be one of {', '.join(PARTS)}, got {do!r}.")
    allowed, _ = PARTS[do]
    settings = {key: value for key, value in given.items() if key != "do"}
    for key, value in settings.items():
        if key not in allowed:
            raise InputError(f"{place}, {do}: expected {', '.join(allowed) or 'no settings'}, got {key!r}.")
        if not _fits(key, value):
            raise InputError(f"{place}, {do}: expected {key} to be {KINDS.get(key, 'a number')}, got {value!r}.")
    if settings.get("member", 2) < 2:
        raise InputError(
            f"{place}, {do}: expected member 2 or later (the first is mixed into), got {settings['member']}."
        )
    if do == "temperatures" and "temperature" not in settings:
        raise InputError(f"{place}, {do}: expected temperature = {{ Aves = 1.1 }} or the like, got nothing.")
    return Part(do, settings)


def build(
    recipe: Recipe,
    members: Mapping[str, pd.DataFrame],
    taxonomy: Path | None = None,
    sonotypes: Path | None = None,
) -> Built:
    """The steps of a recipe for these members, in order of their roles.

    Args:
        recipe: as read.
        members: name -> table.
        taxonomy: taxonomy.csv.
        sonotypes: a CSV with primary_label and sonotype_group; otherwise that column of taxonomy.csv.

    Returns:
        The steps, and what was left out: a member, a table or an earlier step is missing.

    Raises:
        InputError: More members than the recipe mixes; whatever a step or a table is refused for.
    """
    given, left_out = Given(members, taxonomy, sonotypes), []
    used = max([1, *(part.settings.get("member", 2) for part in recipe.parts if part.do == "mix")])
    if len(members) > used:
        raise InputError(f"recipe {recipe.name}: mixes {used} members, got {len(members)}. A recipe for more?")
    shares = dict.fromkeys(members, 0.0)
    shares[next(iter(members))] = 1.0
    for part in recipe.parts:
        try:
            step = PARTS[part.do][1](given, **part.settings)
        except _Absent as absent:
            left_out.append(f"{part.do}: {absent}")
            continue
        given.built.append(step)
        if isinstance(step, mixing.Mix):
            shares = {name: share * step.weight for name, share in shares.items()}
            shares[step.name] += 1 - step.weight
    return Built(tuple(given.built), tuple(left_out), shares)
