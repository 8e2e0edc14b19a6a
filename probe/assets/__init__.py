"""Files that ship with the package: the bundled backbone and the report's style sheet."""

from pathlib import Path

WREN = Path(__file__).with_name("wren.onnx")
REPORT_CSS = Path(__file__).with_name("report.css")
