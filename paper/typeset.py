"""Typst: tables as the JSON that it reads, and the text as PDF. No TeX system is needed.

The same sources give the same bytes: only the fonts inside the compiler are used, and the PDF carries no date.
"""

import json
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ..analysis.tables import Table
from ..features import InputError
from ..features.spelling import printable
from .published import Work

TEXT = Path(__file__).with_name("text")
NARROW, LONG = 18, 140  # characters: up to NARROW a column is as wide as its widest cell; no wider after LONG
LINE, GAP = 100, 3  # of a page's line, and between columns: a table that fits has no column wider than its cells


def table(one: Table) -> str:
    """A table as the JSON that `shown` in text/style.typ draws.

    Returns:
        An object with caption, header, align (left or right), widths (0: as wide as the widest cell; else a share of
        what the others leave), rows of cells, and bold (the numbers of the rows that stand out).
    """
    cells = one.cells()
    titles = [column.title for column in one.columns]
    longest = [max([len(title), *(len(row[j]) for row in cells)]) for j, title in enumerate(titles)]
    fits = sum(width + GAP for width in longest) <= LINE
    whole = {
        "caption": one.caption,
        "header": titles,
        "align": [column.align for column in one.columns],
        "widths": [0 if fits or width <= NARROW else round(min(width, LONG) ** 0.6) for width in longest],
        "rows": [[soft(minus(" ".join(cell.split()))) for cell in row] for row in cells],
        "bold": sorted(one.bold),
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def compile_pdf(source: Path, out: Path) -> int:
    """Typeset `source` into the PDF `out`; returns the number of pages. All that it includes must lie in its folder.

    InputError: the typst package is not installed, or the folder's name is no text. A fault in the text is a bug and
    stays a TypstError.
    """
    typst = compiler()
    if printable(str(source)) != str(source):  # Typst ends the process over it
        raise InputError(f"paper: expected a folder of UTF-8 text, got {printable(str(source.parent))}. Another -o?")
    options = {"root": str(source.parent), "ignore_system_fonts": True}
    typst.compile(str(source), output=str(out), format="pdf", **options)
    pages = typst.query(str(source), "<last-page>", field="value", one=True, **options)
    return int(json.loads(pages))


def compiler() -> ModuleType:
    """The typst package. InputError: it is not installed."""
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
