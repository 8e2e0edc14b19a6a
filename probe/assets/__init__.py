"""Files that ship with the package: the bundled backbone and the report's style sheet and script."""

from pathlib import Path

WREN = Path(__file__).with_name("wren.onnx")
REPORT_CSS = Path(__file__).with_name("report.css")
REPORT_JS = Path(__file__).with_name("report.js")
