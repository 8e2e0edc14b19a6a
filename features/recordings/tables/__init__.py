"""Tables of labels, whoever wrote them: read as text, recognised by their columns, turned into clips.

`text` reads any delimited file; `layouts` knows which columns say what in which tool's tables; `labelled` makes clips;
`audio_paths` finds the recordings that a table names, also when it was written on another machine.
"""

from .labelled import label_files, label_folder, label_table
from .layouts import parse_columns
from .text import read_csv

__all__ = ["label_files", "label_folder", "label_table", "parse_columns", "read_csv"]
