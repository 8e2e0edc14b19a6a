"""One table type: raw values with their display, as CSV, Markdown or LaTeX.

A cell is made from a template over the row's fields, so one column may join several, "{knn:.3f} [{knn_lo:.2f},
{knn_hi:.2f}]" giving "0.905 [0.87, 0.93]". CSV carries the raw fields for programs, Markdown and LaTeX the cells for
people. The same table always gives the same bytes.
"""

import csv
import io
import math
import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..features import InputError
from ..features.csv_files import escape

MISSING = "–"
_ALIGNMENTS = {"left": ("l", ":", "-"), "right": ("r", "-", ":"), "center": ("c", ":", ":")}
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "–": "--", "−": "$-$", "×": r"$\times$", "±": r"$\pm$", "σ": r"$\sigma$", "α": r"$\alpha$",
    "→": r"$\rightarrow$", "≥": r"$\geq$", "≤": r"$\leq$", "…": r"\ldots{}",
}  # fmt: skip
_LATEX_PATTERN = re.compile("[" + re.escape("".join(_LATEX)) + "]")


@dataclass(frozen=True)
class Column:
    """title: the heading. template: a format string over field names, with the specs of `str.format` and these:

    "p" a p-value, "0.034" or "< 0.001"; "+.1%" and the like as usual; "%" alone a share without decimals, "83 %".
    A cell with any missing field (None or nan) is an en dash. A template of several lines is stacked in LaTeX, where
    width is dear, and runs on in Markdown. align: "left", "right" or "center".
    """

    title: str
    template: str
    align: str = "right"

    def __post_init__(self):
        if self.align not in _ALIGNMENTS:
            raise InputError(f"table column {self.title!r}: expected left, right or center, got align {self.align!r}.")


def text_columns(*fields: str, **titles: str) -> list[Column]:
    """Columns of text, to the left: fields that are their own headings, then those with another (field=heading)."""
    return [Column(titles.get(name, name), f"{{{name}}}", "left") for name in (*fields, *titles)]


@dataclass(frozen=True)
class Table:
    """columns: what people see. fields: names of the raw values. rows: raw values, one tuple a row in order of fields.

    bold: numbers of the rows to print in bold type, the best one usually.
    """

    columns: tuple[Column, ...]
    fields: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""
    bold: frozenset[int] = frozenset()

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        columns: Iterable[Column] | None = None,
        caption: str = "",
        bold: Iterable[int] = (),
    ) -> "Table":
        """Every column of `frame` becomes a field, a named index the first ones. Without `columns`, each field is one.

        By default text stands left, numbers right, floats with three decimals. InputError: a template that names a
        field the frame lacks, or a bold row that is not there.
        """
        if any(name is not None for name in frame.index.names):
            frame = frame.reset_index()
        fields = tuple(str(name) for name in frame.columns)
        values = [[_plain(value) for value in frame.iloc[:, i]] for i in range(frame.shape[1])]
        rows = tuple(zip(*values))
        if columns is None:
            columns = [_default_column(name, column) for name, column in zip(fields, values)]
        columns, bold = tuple(columns), frozenset(bold)
        for column in columns:
            for _, name, _, _ in string.Formatter().parse(column.template):
                if name is not None and name not in fields:
                    raise InputError(f"table column {column.title!r}: expected one of {fields}, got field {name!r}.")
        if not bold <= set(range(len(rows))):
            raise InputError(f"table: expected bold rows from 0 to {len(rows) - 1}, got {sorted(bold)}.")
        return cls(columns, fields, rows, caption, bold)

    def cells(self) -> list[list[str]]:
        """Display text, one list a row, unescaped. Line ends are the template's; those inside values are spaces."""
        records = [dict(zip(self.fields, row)) for row in self.rows]
        return [[_cell(column.template, record) for column in self.columns] for record in records]

    def to_csv(self) -> str:
        """Raw fields: a header, "\\n" line ends, floats that read back exactly, nothing where a value is missing."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([escape(name) for name in self.fields])
        writer.writerows([escape(_raw(value)) for value in row] for row in self.rows)
        return out.getvalue()

    def to_markdown(self) -> str:
        """A pipe table padded to equal widths; the caption in italics above it."""
        body = [[_markdown(cell, i in self.bold) for cell in row] for i, row in enumerate(self.cells())]
        heads = [_markdown(column.title, False) for column in self.columns]
        widths = [max(3, *(len(row[j]) for row in [heads, *body])) for j in range(len(self.columns))]
        marks = [_ALIGNMENTS[column.align] for column in self.columns]
        rule = [left + "-" * (width - 2) + right for (_, left, right), width in zip(marks, widths)]
        pads = {"l": str.ljust, "r": str.rjust, "c": str.center}
        lines = [[pads[m[0]](cell, w) for cell, m, w in zip(row, marks, widths)] for row in [heads, *body]]
        lines.insert(1, rule)
        text = "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
        return f"*{_markdown(self.caption, False)}*\n\n{text}" if self.caption else text

    def to_latex(self, label: str = "") -> str:
        """A table environment in booktabs style (the document needs \\usepackage{booktabs}); every text is escaped."""
        marks = [_ALIGNMENTS[column.align][0] for column in self.columns]
        body = [
            [_stacked(cell, mark, i in self.bold) for cell, mark in zip(row, marks)]
            for i, row in enumerate(self.cells())
        ]
        heads = [_latex(column.title, False) for column in self.columns]
        lines = [r"\begin{table}", r"\centering"]
        lines += [rf"\caption{{{_latex(self.caption, False)}}}"] if self.caption else []
        lines += [rf"\label{{{label}}}"] if label else []
        lines += [rf"\begin{{tabular}}{{{''.join(marks)}}}", r"\toprule"]
        lines += [" & ".join(heads) + r" \\", r"\midrule"]
        lines += [" & ".join(row) + r" \\" for row in body]
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
        return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """A piece of running text for LaTeX, on one line."""
    return _latex(text, False)


class _Formatter(string.Formatter):
    def get_field(self, field_name, args, kwargs):
        return kwargs[field_name], field_name  # a field is a column name, dots and all

    def format_field(self, value, format_spec):
        if format_spec == "p":
            return "< 0.001" if value < 0.001 else f"{value:.3f}"
        if format_spec == "%":
            return f"{100 * value:.0f} %"
        text = super().format_field(value, format_spec)
        negative_zero = text.startswith("-") and isinstance(value, float) and not re.search("[1-9a-z]", text)
        return ("+" if "+" in format_spec else "") + text[1:] if negative_zero else text


def _cell(template: str, record: dict) -> str:
    names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    if any(_missing(record[name]) for name in names):
        return MISSING
    lines = (_Formatter().vformat(line, (), record) for line in template.split("\n"))
    return "\n".join(" ".join(line.split()) for line in lines)


def _default_column(name: str, values: list) -> Column:
    present = [value for value in values if not _missing(value)]
    numeric = [isinstance(value, int | float) and not isinstance(value, bool) for value in present]
    if not numeric or not all(numeric):
        return Column(name, f"{{{name}}}", "left")
    return Column(name, f"{{{name}:.3f}}" if any(isinstance(value, float) for value in values) else f"{{{name}}}")


def _plain(value):
    """A numpy scalar as the Python value it holds, so that text does not depend on the array library."""
    return value.item() if hasattr(value, "item") else value


def _raw(value):
    if isinstance(value, str):  # the csv module leaves a bare carriage return unquoted, and readers then end the row
        return value.replace("\r\n", "\n").replace("\r", "\n")
    return "" if _missing(value) else value


def _missing(value) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def _markdown(text: str, bold: bool) -> str:
    text = " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())
    return f"**{text}**" if bold and text else text


def _latex(text: str, bold: bool) -> str:
    text = _LATEX_PATTERN.sub(lambda match: _LATEX[match[0]], " ".join(text.split()))
    if text.startswith(("[", "*")):  # after the \\ of the line above, LaTeX would take it for that command's option
        text = f"{{{text[0]}}}{text[1:]}"
    return rf"\textbf{{{text}}}" if bold and text else text


def _stacked(text: str, mark: str, bold: bool) -> str:
    """A cell of one line as it is, of several on top of one another."""
    lines = [_latex(line, bold) for line in text.split("\n")]
    if len(lines) == 1:
        return lines[0]
    pile = r" \\ ".join(lines)
    return rf"\shortstack[{mark}]{{{pile}}}"
