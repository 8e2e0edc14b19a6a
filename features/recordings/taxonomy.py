"""The classes of a competition: taxonomy.csv, whose row order is the order of a submission's columns."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import InputError
from .tables import read_csv


@dataclass(frozen=True)
class Taxon:
    """A class. label: the submission's column; the names are empty where the table does not give them."""

    label: str
    scientific_name: str = ""
    common_name: str = ""

    @property
    def genus(self) -> str:
        return self.scientific_name.split()[0] if self.scientific_name else ""


def read_classes(path: Path | str) -> tuple[str, ...]:
    """The primary_label column in the file's order, as text (many labels look like numbers).

    InputError: no such table or column, an empty or doubled label.
    """
    return tuple(taxon.label for taxon in read_taxa(path))


def read_taxa(path: Path | str) -> tuple[Taxon, ...]:
    """The rows of a taxonomy.csv: primary_label and, where there are such columns, scientific_name and common_name.

    InputError: as `read_classes`.
    """
    path = Path(path)
    fields = ("primary_label", "scientific_name", "common_name")
    rows = [[row.get(name, "").strip() for name in fields] for _, row in read_csv(path, fields[:1])[1]]
    doubled = sorted(label for label, n in Counter(row[0] for row in rows).items() if n > 1)
    if doubled or any(not row[0] for row in rows):
        raise InputError(
            f"{path}: {'label ' + doubled[0] + ' twice' if doubled else 'an empty label'}, expected each once."
        )
    return tuple(Taxon(*row) for row in rows)


def taxa_of(classes: Sequence[str], path: Path | str | None = None) -> tuple[Taxon, ...]:
    """The classes with what a taxonomy.csv says of them; without one, a label that is a name stands for itself.

    InputError: as `read_classes`; a class that the table does not have.
    """
    if path is None:
        return tuple(Taxon(label, label, label) for label in classes)
    known = {taxon.label: taxon for taxon in read_taxa(path)}
    if missing := [label for label in classes if label not in known]:
        raise InputError(f"{path}: no row of class {missing[0]!r} ({len(missing)} such). Another competition's?")
    return tuple(known[label] for label in classes)


def read_groups(path: Path | str) -> dict[str, str] | None:
    """Class -> taxonomic group, the class_name column; None where there is no such column or a class has none.

    InputError: as `read_classes`.
    """
    labels = read_classes(path)
    groups = [row.get("class_name", "").strip() for _, row in read_csv(Path(path), ("primary_label",))[1]]
    return dict(zip(labels, groups)) if all(groups) else None
