"""The numbers of the text, by name: published ones and ours, written once and never typed again.

    numbers.json  for text/macros.typ: #num("table1.24.knn"), #have("sweep"), #left-out
    macros.tex    for a venue's class: \\birdprobe{table1.24.knn}

A name that does not exist stops either compiler, so that no text can keep a number that no run gives any more.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..analysis.tables import escape_latex
from ..features import InputError
from .typeset import minus


@dataclass(frozen=True)
class Missing:
    """What could not be made: `what` it is, `why`, and the `command` that makes it possible ("" where none does)."""

    key: str
    what: str
    why: str
    command: str = ""


@dataclass(frozen=True)
class Macros:
    """values: name -> text as it is to be printed. missing: what the text says in place of a part. tables: the names of
    those that there are, in their order."""

    values: Mapping[str, str]
    missing: tuple[Missing, ...] = ()
    tables: tuple[str, ...] = ()

    def __post_init__(self):
        for name, text in self.values.items():
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"macros: {name} is {text!r}, expected the text of a number.")

    def to_json(self) -> str:
        """What `text/macros.typ` reads: values, the names of the tables, and what is missing by its key."""
        missing = {one.key: {"what": one.what, "why": one.why, "command": one.command} for one in self.missing}
        values = {name: minus(" ".join(text.split())) for name, text in sorted(self.values.items())}
        whole = {"values": values, "tables": list(self.tables), "left-out": missing}
        return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"

    def to_latex(self) -> str:
        r"""\birdprobe{NAME} prints a number; one that does not exist is an error. Needs nothing but LaTeX."""
        lines = [
            "% Written by birdprobe from published.toml and the runs. Do not edit: the next build replaces it.",
            r"\newcommand*{\birdprobe}[1]{\ifcsname birdprobe@#1\endcsname\csname birdprobe@#1\endcsname"
            r"\else\errmessage{birdprobe: no number is called #1}\fi}",
        ]
        lines += [
            rf"\expandafter\def\csname birdprobe@{name}\endcsname{{{escape_latex(text)}}}"
            for name, text in sorted(self.values.items())
        ]
        return "\n".join(lines) + "\n"
