"""Finding: what one study adds to a run folder."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd


@dataclass(frozen=True, eq=False)
class Finding:
    """What one study, or several joined, adds to a run.

    tables: file name -> its table. lines: sentences that follow the conclusion. warnings: what the reader has to know
    before believing a number. answer, config: further entries of answer.json and of config.json.
    """

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    answer: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


def joined(findings: Sequence[Finding]) -> Finding:
    """Several findings as one, in their order."""
    return Finding(
        tables={name: table for one in findings for name, table in one.tables.items()},
        lines=tuple(line for one in findings for line in one.lines),
        warnings=tuple(words for one in findings for words in one.warnings),
        answer={name: value for one in findings for name, value in one.answer.items()},
        config={name: value for one in findings for name, value in one.config.items()},
    )


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON holds them: missing numbers are null."""
    rows = table.to_dict("records")
    return [{str(name): None if value != value else value for name, value in row.items()} for row in rows]
