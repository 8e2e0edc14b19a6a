"""Tables of labels, whoever wrote them: read as text, recognised by their columns, turned into clips.

`text` reads any delimited file; `layouts` knows which columns say what in which tool's tables; `labelled` makes clips;
`rows` finds the recordings that a table names, also when it was written on another machine.
"""

from .text import read_csv

__all__ = ["read_csv"]
