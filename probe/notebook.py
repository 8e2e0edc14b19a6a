"""How results show themselves in a notebook: sentences, then tables."""

from collections.abc import Iterable
from html import escape

import pandas as pd


def as_html(lines: Iterable[str], *tables: pd.DataFrame) -> str:
    """Lines as paragraphs, then tables, as one piece of HTML; cells that are numbers have three decimals."""
    said = "".join(f"<p>{escape(line)}</p>" for line in lines)
    shown = "".join(table.to_html(index=False, float_format="{:.3f}".format) for table in tables)
    return f"<div>{said}{shown}</div>"


def scores_by_tap(readouts: pd.DataFrame) -> pd.DataFrame:
    """One row a tap and one column a read-out, from rows of tap, readout, score; a star at the best of each column."""
    taps, names = (list(dict.fromkeys(readouts[column])) for column in ("tap", "readout"))
    scores = readouts.pivot_table("score", "tap", "readout", "first", dropna=False).loc[taps, names]
    starred = scores.map("{:.3f}".format).where(scores.lt(scores.max()), scores.map("{:.3f} *".format))
    return starred.rename_axis(columns=None).reset_index()
