"""What a step is, and the order in which steps belong."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import pandas as pd

# Members come together, and gates ask whether they agree; classes are pulled towards their relatives while the values
# still are the model's; the prior adds to the log-odds of a window, so it comes before windows are mixed; the file's
# confidence is read from smoothed windows; damping judges what is left, whole rows by their maximum.
ORDER = ("mixing", "gate", "taxonomic", "prior", "temporal", "power", "no-call")


@dataclass(frozen=True)
class Reach:
    """How many rows of a table a step can act on, and in words why not on the others (empty: on all)."""

    rows: int
    reason: str = ""


def all_or_none(table: pd.DataFrame, acts: object, reason: str) -> Reach:
    """All rows where `acts` is true or not empty, else none."""
    return Reach(len(table)) if acts else Reach(0, reason)


class Step(Protocol):
    """stage: one of ORDER. __str__: short, for tables.

    A step that looks at further members holds their tables, with at least the rows and columns of the one it is given.
    """

    stage: ClassVar[str]

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame: ...

    def reach(self, table: pd.DataFrame) -> Reach: ...


def ordered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The steps by their stage in ORDER; those of one stage stay in the order given."""
    return tuple(sorted(steps, key=lambda step: ORDER.index(step.stage)))
