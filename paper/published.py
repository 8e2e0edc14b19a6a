"""The published numbers, read from `published.toml` beside this module, with what each says of itself.

    read().table1                       DataFrame: block, stage, dim, knn
    read().protocol["species"].value    30; .text as printed, .unit, .source, .note
    read()["table1.24.knn"].text        "0.648": every number has a key, those of tables TABLE.ROW.COLUMN

The file is read strictly: an unknown key, a missing one, or a source that is none of the works is an InputError.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from ..features import InputError
from .schema import TABLES, Contradiction, Entry, Listing, Note, Printed, Work, as_dict, check_keys

PATH = Path(__file__).with_name("published.toml")
SECTIONS = (
    *("protocol", "head", "training", "postprocess", "blend", "pseudo", "residual", "position"),
    *("figure1", "figure2", "figure3", "ensemble", "plateau"),
)


@dataclass(frozen=True, eq=False)
class Published:
    """works, listings: by key. entries: every statement by key, in the file's order, cells of tables included."""

    works: Mapping[str, Work]
    listings: Mapping[str, Listing]
    entries: Mapping[str, Entry]
    contradictions: tuple[Contradiction, ...]

    def __getitem__(self, key: str) -> Entry:
        return self.entries[key]

    def section(self, name: str) -> dict[str, Entry]:
        """The entries of a section of single values, by their names in it. KeyError: no such section."""
        if name not in SECTIONS:
            raise KeyError(name)
        start = f"{name}."
        return {key.removeprefix(start): entry for key, entry in self.entries.items() if key.startswith(start)}

    def frame(self, name: str) -> pd.DataFrame:
        """A copy of a table, its title, source and note in `.attrs`."""
        listing = self.listings[name]
        frame = listing.frame.copy()
        frame.attrs = {"title": listing.title, "source": listing.source, "note": listing.note}
        return frame

    @property
    def table1(self) -> pd.DataFrame:
        """block, stage, dim, knn: ten blocks of Perch v2, accuracies in 0..1."""
        return self.frame("table1")

    @property
    def weights(self) -> pd.DataFrame:
        """block, weight: of the scalar-mix head."""
        return self.frame("weights")

    @property
    def table2(self) -> pd.DataFrame:
        """version, change, public: macro ROC-AUC."""
        return self.frame("table2")

    @property
    def table3(self) -> pd.DataFrame:
        """attempt, change, public, private, drop (private - public, as printed)."""
        return self.frame("table3")

    @property
    def table4(self) -> pd.DataFrame:
        """attempt, change, public, private."""
        return self.frame("table4")

    @property
    def card(self) -> pd.DataFrame:
        """field, setting, birdmae-large, efficientnet-b1: columns named as our members, fields as in their recipe."""
        return self.frame("card")

    @property
    def protocol(self) -> dict[str, Entry]:
        return self.section("protocol")

    @property
    def notes(self) -> tuple[Note, ...]:
        """Every note, of tables and of entries, in the file's order. A row's note is given once, under TABLE.ROW."""
        found = {one.key: Note(one.key, one.note, one.source) for one in self.listings.values() if one.note}
        for entry in self.entries.values():
            if entry.note:
                row = entry.key.split(".")[0] in TABLES
                key = entry.key.rpartition(".")[0] if row else entry.key
                found[key] = Note(key, entry.note, entry.source)
        return tuple(found.values())


def read(path: Path = PATH) -> Published:
    """InputError: no such file, no TOML, or not of the form that `paper.schema` and SECTIONS tell."""
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Printed)
    except FileNotFoundError:
        raise InputError(f"{path}: not found. Was the package installed without its data?") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise InputError(f"{path}: no TOML ({fault}).") from None
    check_keys(f"{path}", data, ("works", "tables", *SECTIONS, "contradictions"))
    for part, given in data.items():
        as_dict(f"{path}, {part}", given)
    check_keys(f"{path}, tables", data["tables"], tuple(TABLES))
    works = {key: Work.of(f"{path}, works.{key}", key, given) for key, given in data["works"].items()}
    listings = {key: Listing.of(f"{path}, tables.{key}", key, data["tables"][key], works) for key in TABLES}
    entries = {entry.key: entry for listing in listings.values() for entry in listing.cells}
    for section in SECTIONS:
        for name, given in data[section].items():
            key = f"{section}.{name}"
            entries[key] = Entry.of(f"{path}, {key}", key, given, works)
    doubts = tuple(
        Contradiction.of(f"{path}, contradictions.{key}", key, given, works, entries)
        for key, given in data["contradictions"].items()
    )
    return Published(MappingProxyType(works), MappingProxyType(listings), MappingProxyType(entries), doubts)
