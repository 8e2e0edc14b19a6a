"""The leaves of `published.toml`: a statement, a table of them, a contradiction, each with its place in a source.

Each is read strictly from what TOML gives; a fault is an InputError that names the place in the file.
"""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from ..features import InputError

# table -> its columns, the one that names a row first; those in OPTIONAL may be missing from a row.
TABLES = {
    "table1": ("block", "stage", "dim", "knn"),
    "weights": ("block", "weight"),
    "table2": ("version", "change", "public"),
    "table3": ("attempt", "change", "public", "private", "drop"),
    "table4": ("attempt", "change", "public", "private"),
    "card": ("field", "setting", "birdmae-large", "efficientnet-b1"),
    "augmentation": ("field", "setting", "value"),
    "scoreboard": ("place", "private"),
    "frozen": ("head", "reads", "cmap"),
    "finetuned": ("dataset", "birdmae", "perch"),
}
OPTIONAL = {"birdmae-large", "efficientnet-b1"}
WORDS = {"change", "setting", "reads", "version", "attempt", "field", "head", "dataset"}  # columns of text
MIXED = {"birdmae-large", "efficientnet-b1", "value"}  # columns of numbers, text and pairs
Value = int | float | str | tuple[int | float | str, ...]


@dataclass(frozen=True)
class Work:
    """A published work. author is empty where none is named."""

    key: str
    title: str
    author: str
    kind: str

    @classmethod
    def of(cls, place: str, key: str, given: object) -> "Work":
        table = as_dict(place, given)
        check_keys(place, table, ("title", "author", "kind"))
        return cls(key, **texts(place, table, ("title", "author", "kind")))


@dataclass(frozen=True)
class Entry:
    """One published statement. text: as the source prints it ("0.950", "about 430k"); source: "WORK, place"; unit and
    note may be empty."""

    key: str
    value: Value
    text: str
    unit: str
    source: str
    note: str

    @classmethod
    def of(cls, place: str, key: str, given: object, works: Collection[str]) -> "Entry":
        table = as_dict(place, given)
        check_keys(place, table, ("value", "source"), ("text", "unit", "note"))
        words = texts(place, {"text": _text(table["value"]), "unit": "", "note": ""} | table, ("text", "unit", "note"))
        return cls(key, _value(place, table["value"]), source=_source(place, table["source"], works), **words)

    @property
    def number(self) -> float:
        """The value as a float. TypeError where it is none."""
        if isinstance(self.value, str | tuple):
            raise TypeError(f"{self.key}: {self.value!r} is no number")
        return float(self.value)


@dataclass(frozen=True, eq=False)
class Listing:
    """A published table. frame: one row a row of it, columns `TABLES[key]`, None where a row leaves a cell empty.
    cells: the same as entries, keys TABLE.ROW.COLUMN, each with its row's note."""

    key: str
    title: str
    source: str
    note: str
    frame: pd.DataFrame
    cells: tuple[Entry, ...]

    @classmethod
    def of(cls, place: str, key: str, given: object, works: Collection[str]) -> "Listing":
        table = as_dict(place, given)
        check_keys(place, table, ("title", "source", "rows"), ("note",))
        words = texts(place, {"note": ""} | table, ("title", "note"))
        source, columns = _source(place, table["source"], works), TABLES[key]
        cells: list[Entry] = []
        rows: dict[Value, list[Value | None]] = {}
        for number, row in enumerate(_list(f"{place}, rows", table["rows"]), start=1):
            here = f"{place}, row {number}"
            values = _row(here, row, columns)
            name, note = values[columns[0]], texts(here, {"note": ""} | row, ("note",))["note"]
            if name in rows:
                raise InputError(f"{here}: expected one row for {columns[0]} {name}, got two.")
            rows[name] = [values.get(column) for column in columns]
            cells += [
                Entry(f"{key}.{name}.{column}", values[column], _text(row[column]), "", source, note)
                for column in columns[1:]
                if column in row
            ]
        frame = pd.DataFrame(list(rows.values()), columns=list(columns))
        frame = frame.astype({column: object for column in columns if column in MIXED})
        return cls(key, source=source, frame=frame, cells=tuple(cells), **words)


@dataclass(frozen=True)
class Contradiction:
    """Two statements of one source that cannot both be true, or one and a fact. about: keys of the entries."""

    key: str
    source: str
    about: tuple[str, ...]
    says: str
    but: str

    @classmethod
    def of(cls, place: str, key: str, given: object, works: Collection[str], entries: Collection[str]):
        table = as_dict(place, given)
        check_keys(place, table, ("source", "about", "says", "but"))
        about = tuple(_list(f"{place}, about", table["about"]))
        for one in about:
            if one not in entries:
                raise InputError(f"{place}: expected the key of an entry, got about {one!r}.")
        source = _source(place, table["source"], works)
        return cls(key, source, about, **texts(place, table, ("says", "but")))


@dataclass(frozen=True)
class Note:
    """What the reader has to know about the entry, row or table `key`."""

    key: str
    text: str
    source: str


class Printed(float):
    """A float of the file that remembers its digits: 0.950 stays "0.950"."""

    text: str

    def __new__(cls, text: str) -> "Printed":
        made = super().__new__(cls, text)
        made.text = text
        return made


# ---- what may stand in the file


def as_dict(place: str, given: object) -> dict:
    if not isinstance(given, dict):
        raise InputError(f"{place}: expected a table, got {given!r}.")
    return given


def check_keys(place: str, given: dict, needed: tuple[str, ...], allowed: Collection[str] = ()) -> None:
    for key in given:
        if key not in (*needed, *allowed):
            raise InputError(f"{place}: expected one of {', '.join((*needed, *allowed))}, got the key {key!r}.")
    for key in needed:
        if key not in given:
            raise InputError(f"{place}: expected the keys {', '.join(needed)}, got none called {key}.")


def texts(place: str, given: dict, names: tuple[str, ...]) -> dict[str, str]:
    for name in names:
        if not isinstance(given.get(name, ""), str):
            raise InputError(f"{place}: expected text, got {name} = {given[name]!r}.")
    return {name: given[name] for name in names if name in given}


def _row(place: str, given: object, columns: tuple[str, ...]) -> dict[str, Value]:
    """column -> value of a table's row. Numbers stand where numbers belong, text where text does."""
    optional = [column for column in columns if column in OPTIONAL]
    cells = as_dict(place, given)
    check_keys(place, cells, tuple(c for c in columns if c not in optional), ("note", *optional))
    values = {column: _value(place, cells[column]) for column in columns if column in cells}
    for column, value in values.items():
        if column not in MIXED and isinstance(value, str | tuple) != (column in WORDS):
            wanted = "text" if column in WORDS else "a number"
            raise InputError(f"{place}: expected {wanted}, got {column} = {value!r}.")
    return values


def _list(place: str, given: object) -> list:
    if not isinstance(given, list) or not given:
        raise InputError(f"{place}: expected a list, got {given!r}.")
    return given


def _source(place: str, given: object, works: Collection[str]) -> str:
    work, _, where = str(given).partition(", ")
    if work not in works or not where.strip():
        raise InputError(f"{place}: expected 'WORK, place' with one of {', '.join(works)}, got source {given!r}.")
    return str(given)


def _value(place: str, given: object) -> Value:
    if isinstance(given, list):
        return tuple(_scalar(place, one) for one in given)
    return _scalar(place, given)


def _scalar(place: str, given: object) -> int | float | str:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise InputError(f"{place}: expected a number, text or a list of them, got {given!r}.")
    return float(given) if isinstance(given, float) else given


def _text(given: object) -> str:
    """As printed: digits as they stand in the file, thousands apart from 10,000 on."""
    if isinstance(given, list):
        return ", ".join(_text(one) for one in given)
    if isinstance(given, Printed):
        return given.text
    return f"{given:,}" if isinstance(given, int) and abs(given) >= 10_000 else str(given)
