"""Published against ours, as tables for programs (CSV) and people (Markdown, LaTeX).

    tables(sources, published) -> dict[str, Table]           by name, in the paper's order
    write(sources, published, folder) -> tuple[Path, ...]    NAME.csv, NAME.md, NAME.tex of each

Published numbers keep their digits. Where a run does not repeat the published setting, ours stand in columns of their
own, marked with what they were measured on; where no run has a number, there is a dash.
"""

from .register import tables, write

__all__ = ["tables", "write"]
