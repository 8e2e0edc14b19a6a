"""The classes of a competition: taxonomy.csv, whose row order is the order of a submission's columns."""

from collections import Counter
from pathlib import Path

from .. import InputError
from .tables import read_csv


def read_classes(path: Path | str) -> tuple[str, ...]:
    """The primary_label column in the file's order, as text (many labels look like numbers).

    InputError: no such table or column, an empty or doubled label.
    """
    path = Path(path)
    labels = [row["primary_label"].strip() for _, row in read_csv(path, ("primary_label",))[1]]
    doubled = sorted(label for label, n in Counter(labels).items() if n > 1)
    if "" in labels or doubled:
        raise InputError(
            f"{path}: {'label ' + doubled[0] + ' twice' if doubled else 'an empty label'}, expected each once."
        )
    return tuple(labels)


def read_groups(path: Path | str) -> dict[str, str] | None:
    """Class -> taxonomic group, the class_name column; None where there is no such column or a class has none.

    InputError: as `read_classes`.
    """
    labels = read_classes(path)
    groups = [row.get("class_name", "").strip() for _, row in read_csv(Path(path), ("primary_label",))[1]]
    return dict(zip(labels, groups)) if all(groups) else None
