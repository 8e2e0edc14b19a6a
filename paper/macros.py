"""The numbers of the text, by name: published ones and ours, written once and never typed again.

    macros.typ   for paper.typ: #num("table1.24.knn"), #have("sweep"), #left-out
    macros.tex   for a venue's class: \\birdprobe{table1.24.knn}

A name that does not exist stops either compiler, so that no text can keep a number that no run gives any more.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..analysis.tables import escape_latex
from ..features import InputError
from .typeset import minus, string


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
                raise InputError(f"macros: {name} is {text!r}, the text of a number wanted.")

    def to_typst(self) -> str:
        """A module with `num(name)`, `have(role)`, `tables`, and `left-out`, what is missing by its key."""
        pairs = [f"  {string(name)}: {string(minus(text))}," for name, text in sorted(self.values.items())]
        holes = [
            f"  {string(one.key)}: (what: {string(one.what)}, why: {string(one.why)}, "
            f"command: {json.dumps(one.command)}),"
            for one in self.missing
        ]
        return "\n".join(
            [
                "// Written by birdprobe from published.toml and the runs. Do not edit: the next build replaces it.",
                "#let values = (",
                *(pairs or ["  :"]),
                ")",
                "#let tables = (",
                *(f"  {string(name)}," for name in self.tables),
                ")",
                "#let left-out = (",
                *(holes or ["  :"]),
                ")",
                '#let num(name) = if name in values { values.at(name) } else { panic("no number is called " + name) }',
                '#let have(role) = values.keys().any(name => name == role or name.starts-with(role + "."))',
                "",
            ]
        )

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


def verdict(low: float, high: float) -> str:
    """What an interval of a difference says."""
    return "better" if low > 0 else "worse" if high < 0 else "not separable"
