"""From predicted files to a table that is right by construction, and from the table to OUT.csv and OUT.json.

Rows that nothing predicted (a file that does not decode, a budget that ran out) are fallback rows: each class gets its
mean over all rows that were predicted, 0 where there is none. Classes that the model does not know are 0 everywhere.
Neither moves the ranks of the other rows, which is all that ROC-AUC sees.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...analysis import predictions
from ...features import InputError
from ...features.csv_files import write_csv
from ...features.files import replacing, sha256
from .journal import Entry
from .rows import Soundscape, expected, ids, most_common

FLOAT = "%.9g"  # a float32 comes back as it was


@dataclass(frozen=True)
class Form:
    """What the table has to look like. row_ids: None for what the files give; else a sample submission's."""

    columns: tuple[str, ...]
    row_ids: tuple[str, ...] | None = None

    @property
    def stems(self) -> set[str] | None:
        """The recordings that a sample submission asks for."""
        return None if self.row_ids is None else set(predictions.files(self.row_ids).tolist())

    @classmethod
    def of(cls, labels: Sequence[str], classes: Sequence[str] | None, sample: Path | str | None) -> "Form":
        """classes, else the sample submission's columns, else the model's labels.

        InputError: a sample that is none, classes that are not the sample's, or not one that the model knows.
        """
        if classes is not None and len(set(classes)) < len(classes):
            raise InputError("classes: a name twice found, each once wanted.")
        columns, row_ids = tuple(classes or labels), None
        if sample is not None:
            table = predictions.read(sample)
            table[:] = 0.0  # its values mean nothing
            predictions.require(table, str(sample), classes=classes)
            columns, row_ids = tuple(table.columns), tuple(table.index)
        if not set(columns) & set(labels):
            raise InputError(
                f"classes: none of the model's {len(labels)} (such as {labels[0]!r}) among the {len(columns)} wanted "
                f"(such as {columns[0]!r}). Another competition's taxonomy?"
            )
        return cls(columns, row_ids)


@dataclass(frozen=True)
class Submission:
    """table: float64, row_id x columns. fallback: row ids that nothing predicted. surplus: predicted rows that the
    sample submission does not ask for. rows_per_file: where all recordings have as many, else None."""

    table: pd.DataFrame
    fallback: tuple[str, ...]
    surplus: int
    rows_per_file: int | None


def assemble(
    files: Sequence[Soundscape],
    entries: Mapping[str, Entry],
    labels: Sequence[str],
    form: Form,
    row_s: float,
    sample_rate: float,
) -> Submission:
    """Rows in the order of the files, or of the sample submission. InputError: a file whose number of rows is unknown,
    with no other file to tell it."""
    done = {stem: len(entry.probabilities) for stem, entry in entries.items()}
    # a truncated file gets the rows that its header promises: those behind what decoded are fallback
    promised = {file.stem: expected(file, row_s, sample_rate) for file in files}
    counts = {stem: max(done.get(stem, 0), n or 0) or None for stem, n in promised.items()}
    usual = most_common(n for n in counts.values() if n)
    if form.row_ids is None and usual is None:
        raise InputError(f"none of the {len(files)} soundscapes tells how long it is, so no row can be written.")
    row_ids: list[str] = []
    where: dict[str, tuple[str, int]] = {}
    for file in files:
        own = ids(file.stem, counts[file.stem] or usual or 0, row_s)
        if file.stem in done:
            where |= {row_id: (file.stem, row) for row, row_id in enumerate(own[: done[file.stem]])}
        row_ids += own
    wanted = list(form.row_ids or row_ids)
    found = [where.get(row_id) for row_id in wanted]
    known = np.array([place is not None for place in found])
    values = np.zeros((len(wanted), len(labels)), np.float32)
    for row, place in enumerate(found):
        if place is not None:
            values[row] = entries[place[0]].probabilities[place[1]]
    if known.any():
        values[~known] = values[known].mean(axis=0, dtype=np.float64)
    table = pd.DataFrame(np.zeros((len(wanted), len(form.columns))), index=wanted, columns=list(form.columns))
    places = {name: place for place, name in enumerate(labels)}
    shared = [name for name in form.columns if name in places]
    table[shared] = values[:, [places[name] for name in shared]].astype(np.float64)
    table.index.name = predictions.ROW_ID
    per_file = set(pd.Series(predictions.files(wanted)).value_counts())
    return Submission(
        table=table,
        fallback=tuple(row_id for row_id, place in zip(wanted, found) if place is None),
        surplus=len(set(where) - set(wanted)),
        rows_per_file=per_file.pop() if len(per_file) == 1 else None,
    )


@contextmanager
def published(submission: Submission, out: Path) -> Iterator[str]:
    """Written beside OUT, read back, validated; gives its sha256, and OUT when the block ends."""
    with replacing(out) as path:
        write_csv(submission.table, path, float_format=FLOAT)
        predictions.require(
            predictions.read(path),
            str(out),
            row_ids=submission.table.index,
            classes=submission.table.columns,
            rows_per_file=submission.rows_per_file,
        )
        yield sha256(path)


def about_path(out: Path) -> Path:
    return out.with_suffix(".json") if out.suffix != ".json" else out.with_name(f"{out.name}.json")
