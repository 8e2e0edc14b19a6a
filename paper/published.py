"""The published numbers, read from `published.toml` beside this module, with what each says of itself.

    read().frame("table1")                         DataFrame: block, stage, dim, knn
    read().section("protocol")["species"].value    30; .text as printed, .unit, .source, .note
    read()["table1.24.knn"].text                   "0.648": every number has a key, those of tables TABLE.ROW.COLUMN

The file comes with the package; `tests/paper/test_published.py` holds its form.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

PATH = Path(__file__).with_name("published.toml")
TABLES = {  # table -> its columns, the one that names a row first
    "table1": ("block", "stage", "dim", "knn"),  # ten blocks of Perch v2, accuracies in 0..1
    "weights": ("block", "weight"),  # of the scalar-mix head
    "table2": ("version", "change", "public"),  # macro ROC-AUC
    "table3": ("attempt", "change", "public", "private", "drop"),  # drop: private - public, as printed
    "table4": ("attempt", "change", "public", "private"),
    "card": ("field", "setting", "birdmae-large", "efficientnet-b1"),  # named as our members, fields as in their recipe
    "augmentation": ("field", "setting", "value"),
    "scoreboard": ("place", "private"),
    "frozen": ("head", "reads", "cmap"),
    "finetuned": ("dataset", "birdmae", "perch"),
}
MIXED = {"birdmae-large", "efficientnet-b1", "value"}  # columns of numbers, text and pairs
SECTIONS = (
    *("protocol", "head", "training", "postprocess", "blend", "pseudo", "residual", "position"),
    *("figure1", "figure2", "figure3", "ensemble", "plateau"),
)
Value = int | float | str | tuple[int | float | str, ...]


@dataclass(frozen=True)
class Work:
    """A published work. author is empty where none is named."""

    key: str
    title: str
    author: str
    kind: str


@dataclass(frozen=True)
class Entry:
    """One published statement. text: as the source prints it ("0.950", "about 430k"); source: "WORK, place"; unit and
    note may be empty."""

    key: str
    value: Value
    text: str
    source: str
    unit: str = ""
    note: str = ""

    @classmethod
    def of(cls, key: str, given: dict) -> "Entry":
        return cls(key, **{"text": _text(given["value"])} | given | {"value": _value(given["value"])})

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
    def of(cls, key: str, given: dict) -> "Listing":
        first, *others = columns = TABLES[key]
        cells = tuple(
            Entry(
                f"{key}.{_value(row[first])}.{column}",
                _value(row[column]),
                _text(row[column]),
                given["source"],
                note=row.get("note", ""),
            )
            for row in given["rows"]
            for column in others
            if column in row
        )
        rows = [[_value(row[column]) if column in row else None for column in columns] for row in given["rows"]]
        frame = pd.DataFrame(rows, columns=list(columns))
        frame = frame.astype({column: object for column in columns if column in MIXED})
        return cls(key, given["title"], given["source"], given.get("note", ""), frame, cells)


@dataclass(frozen=True)
class Contradiction:
    """Two statements of one source that cannot both be true, or one and a fact. about: keys of the entries."""

    key: str
    source: str
    about: list[str]
    says: str
    but: str


@dataclass(frozen=True, eq=False)
class Published:
    """works, listings: by key. entries: every statement by key, in the file's order, cells of tables included."""

    works: Mapping[str, Work]
    listings: Mapping[str, Listing]
    entries: Mapping[str, Entry]
    contradictions: tuple[Contradiction, ...]

    def __getitem__(self, key: str) -> Entry:
        return self.entries[key]

    def change(self, before: str, after: str) -> str:
        """From one number to another, "0.861 to 0.879: +0.018"."""
        one, other = self[before], self[after]
        return f"{one.text} to {other.text} in public: {other.number - one.number:+.3f}"

    def section(self, name: str) -> dict[str, Entry]:
        """The entries of a section of single values, by their names in it. KeyError: no such section."""
        if name not in SECTIONS:
            raise KeyError(name)
        start = f"{name}."
        return {key.removeprefix(start): entry for key, entry in self.entries.items() if key.startswith(start)}

    def frame(self, name: str) -> pd.DataFrame:
        """A copy of a table, columns `TABLES[name]`."""
        return self.listings[name].frame.copy()


class Printed(float):
    """A float of the file that remembers its digits: 0.950 stays "0.950"."""

    text: str

    def __new__(cls, text: str) -> "Printed":
        made = super().__new__(cls, text)
        made.text = text
        return made


def read() -> Published:
    """What is published, from the file of this package."""
    data = tomllib.loads(PATH.read_text(encoding="utf-8"), parse_float=Printed)
    works = {key: Work(key, **given) for key, given in data["works"].items()}
    listings = {key: Listing.of(key, data["tables"][key]) for key in TABLES}
    entries = {entry.key: entry for listing in listings.values() for entry in listing.cells}
    for section in SECTIONS:
        for name, given in data[section].items():
            entries[f"{section}.{name}"] = Entry.of(f"{section}.{name}", given)
    doubts = tuple(Contradiction(key, **given) for key, given in data["contradictions"].items())
    return Published(MappingProxyType(works), MappingProxyType(listings), MappingProxyType(entries), doubts)


def _value(given) -> Value:
    if isinstance(given, list):
        return tuple(float(one) if isinstance(one, float) else one for one in given)
    return float(given) if isinstance(given, float) else given


def _text(given) -> str:
    """As printed: digits as they stand in the file, thousands apart from 10,000 on."""
    if isinstance(given, list):
        return ", ".join(_text(one) for one in given)
    if isinstance(given, Printed):
        return given.text
    return f"{given:,}" if isinstance(given, int) and abs(given) >= 10_000 else str(given)
