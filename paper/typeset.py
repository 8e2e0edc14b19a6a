"""Typst: tables as its markup, and the text as PDF or as pictures of its pages. No TeX system is needed.

The same sources give the same bytes: only the fonts inside the compiler are used, and the PDF carries no date.
"""

import json
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from ..analysis.tables import Table
from ..features import InputError
from .schema import Work

TEXT = Path(__file__).with_name("text")
NARROW, LONG = 18, 140  # characters: up to NARROW a column is as wide as its widest cell; no wider after LONG


def table(one: Table, label: str) -> str:
    """A numbered figure with the table in it. label: by which the text refers to it, @label."""
    cells = one.cells()
    titles = [column.title for column in one.columns]
    longest = [max([len(title), *(len(row[j]) for row in cells)]) for j, title in enumerate(titles)]
    widths = ["auto" if width <= NARROW else f"{round(min(width, LONG) ** 0.6)}fr" for width in longest]
    aligned = ["left" if column.align == "left" else column.align for column in one.columns]
    lines = [
        "#figure(",
        "  table(",
        f"    columns: ({', '.join(widths)},),",
        f"    align: ({', '.join(aligned)},),",
        f"    table.header({', '.join(f'[*#{string(title)}*]' for title in titles)}),",
    ]
    for i, row in enumerate(cells):
        shown = [
            f"[*#{string(soft(minus(cell)))}*]" if i in one.bold and cell else f"[#{string(soft(minus(cell)))}]"
            for cell in row
        ]
        lines.append(f"    {', '.join(shown)},")
    lines += ["  ),", "  kind: table,", f"  caption: [#{string(one.caption)}],", f") <{label}>"]
    return "\n".join(lines) + "\n"


def compile_pdf(source: Path, out: Path) -> int:
    """Typeset `source` into the PDF `out`; returns the number of pages. All that it includes must lie in its folder.

    InputError: the typst package is not installed. A fault in the text is a bug and stays a TypstError.
    """
    typst = _typst()
    options = {"root": str(source.parent), "ignore_system_fonts": True}
    typst.compile(str(source), output=str(out), format="pdf", **options)
    pages = typst.query(str(source), "<last-page>", field="value", one=True, **options)
    return int(json.loads(pages))


def pictures(source: Path, ppi: float = 100) -> list[bytes]:
    """A PNG of every page."""
    made = _typst().compile(str(source), root=str(source.parent), ignore_system_fonts=True, format="png", ppi=ppi)
    return made if isinstance(made, list) else [made]


def _typst():
    try:
        return import_module("typst")
    except ImportError:
        raise InputError("paper: the typst package is not installed. Try pip install 'birdprobe[paper]'.") from None


def bibliography(works: Iterable[Work]) -> str:
    """The sources in Hayagriva's YAML, which Typst reads."""
    lines = []
    for work in works:
        lines += [f"{work.key}:", "  type: misc", f"  title: {string(work.title)}"]
        lines += [f"  author: {string(work.author)}"] if work.author else []
        lines += [f"  publisher: {string(work.kind)}"]
    return "\n".join(lines) + "\n"


def string(text: str) -> str:
    """A string of Typst on one line; its escapes are those of JSON."""
    return json.dumps(" ".join(text.split()), ensure_ascii=False)


def soft(text: str) -> str:
    """The text with places where a long name may be broken: after the signs inside it."""
    return re.sub(r"\S{15,}", lambda name: re.sub(r"([_/=.,-])(?=\S)", "\\1\u200b", name[0]), text)


def minus(text: str) -> str:
    """A hyphen that means minus as a minus: in "-0.3 [-0.5, 0.1]", not in "0.1-0.2", "5-NN" or a command."""
    return text if "birdprobe " in text else re.sub(r"(?<![\w.)\]-])-(?=\.?\d)", "−", text)
