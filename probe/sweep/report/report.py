"""One self-contained page about a finished run: the answer first, then pictures, tables, warnings, provenance.

It reads the run folder only (`config.json`, `readouts.csv`, `ranking.csv`, the tables of drawn studies,
`figures/*.png`) and writes `report.html` into it, without a link to anything but the run's own tables: pictures are
embedded, the style is `report.css`, the script `report.js`. The same run gives the same bytes.
"""

import re
from html import escape
from pathlib import Path
from string import Template

from ....analysis.runs import Run
from ....features.output_folder import adding
from ...assets import REPORT_CSS, REPORT_JS
from . import published
from .figures import figures
from .headline import head, title
from .plane import plane
from .provenance import provenance, warnings
from .readouts import has_shift, readouts_table, shift_table

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
$css
$print
</style>
</head>
<body>
<main>
<header>
<p class="kicker">$kicker</p>
$head
</header>
<section aria-label="Figures">
$figures
</section>
$tables
<section>
<h2>Warnings and skipped files</h2>
$warnings
</section>
<section>
<h2>Where this comes from</h2>
$provenance
</section>
</main>
<script>
$js
</script>
</body>
</html>
""")


def write_report(run: Path) -> Path:
    """Write RUN/report.html; its path. InputError: a file of the sweep is missing or damaged."""
    data = Run(Path(run))
    page = PAGE.substitute(
        title=escape(f"{data.model_name} on {audio_name(data)}: {title(data)}"),
        css=REPORT_CSS.read_text(encoding="utf-8"),
        kicker=f"birdprobe sweep <span>·</span> {escape(data.model_name)} <span>·</span> {escape(audio_name(data))}",
        print=running_head(title(data)),
        js=REPORT_JS.read_text(encoding="utf-8"),
        head=head(data),
        figures="\n".join(filter(None, (*figures(data), plane(data)))),
        tables="\n".join(f"<section>\n<h2>{heading}</h2>\n{table}\n</section>" for heading, table in tables(data)),
        warnings=warnings(data),
        provenance=provenance(data),
    )
    with adding(data.folder) as draft:
        (draft / "report.html").write_text(page, encoding="utf-8")
    return data.folder / "report.html"


def running_head(verdict: str) -> str:
    """Style that repeats the verdict at the top of every printed page."""
    words = re.sub(r"[^\w .,;:()%+*/'\u2212-]", lambda found: f"\\{ord(found[0]):x} ", verdict)
    return (
        f'@page {{ margin: 18mm 14mm 16mm; @top-left {{ content: "{words}"; font: 8pt sans-serif; }} '
        "@bottom-right { content: counter(page); font: 8pt sans-serif; } }"
    )


def tables(data: Run) -> list[tuple[str, str]]:
    """(heading, table) of each table on the page, in order."""
    found = [("Every tap under every read-out", readouts_table(data))]
    if has_shift(data):
        found.append(("In domain and on the test recordings", shift_table(data)))
    heading = f"The published ranking: {escape(published.readout(data))}"
    return [*found, (heading, f"{published.answer(data)}\n{published.ranking_table(data)}")]


def audio_name(data: Run) -> str:
    return Path(data.config["audio"]["path"]).name
