"""The paper, built: published numbers and runs in, tables, figures, macros and a PDF out.

    OUT/  paper.pdf  paper.typ  perch.sh  numbers.json  macros.typ  macros.tex
          tables/*.csv|md|tex|json  figures/*.png|pdf
          index.json: every file with its hash, the runs, and what could not be made, why, and the command that makes it

The same runs give the same bytes of every file. A part without a run says so in the text; the PDF is always built.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from ..analysis.tables import Table, text_columns
from ..features.files import sha256, write_json
from ..features.output_folder import Kind, OutputFolder
from ..features.progress import Log, listener
from ..features.schema import checked
from . import claims, drawings, tables, typeset, values
from . import published as published_numbers
from .macros import Macros, Missing
from .missing import gaps
from .published import Published
from .runs import derived, roles
from .runs.derived import Evidence
from .runs.discovery import Sources, recognise

INDEX, PDF, SOURCE, CONTENT = "index.json", "paper.pdf", "paper.typ", "content.json"
KIND = Kind("paper", "a paper", (PDF, SOURCE), ("runs", "files", "missing"), index=INDEX)
CURVES = ("budget-", "leakage-")  # tables that are drawn, not printed


@dataclass(frozen=True)
class Built:
    """files: all that were written, index.json last. pages: of the PDF. missing: what the runs did not give. uncited:
    models whose citation the user has to write."""

    out: Path
    files: tuple[Path, ...]
    pages: int
    missing: tuple[Missing, ...]
    uncited: tuple[str, ...] = ()

    def __repr__(self) -> str:
        kinds = {kind: sum(path.suffix == kind for path in self.files) for kind in (".csv", ".png", ".svg")}
        drawn = (
            f"{kinds['.png']} figures (PNG, PDF), macros" if kinds[".png"] else f"{kinds['.svg']} figures (PDF, SVG)"
        )
        lines = [
            f"{self.out / PDF}: {self.pages} pages",
            f"{self.out}: {kinds['.csv']} tables (CSV, Markdown, LaTeX), {drawn}",
        ]
        for one in self.missing:
            lines.append(f"not made: {one.what}. {one.why}")
            lines += [f"    {line}" for line in one.command.splitlines()]
        if self.uncited:
            lines.append(
                f"left to fill in: what to cite for {', '.join(self.uncited)}, at the end of {self.out / CONTENT}; "
                f"then `typst compile {self.out / SOURCE}` sets the paper again"
            )
        return "\n".join(lines)


@checked
def build(
    runs: Sequence[Path],
    out: Path,
    *,
    overwrite: bool = False,
    draws: int = 200,
    progress: bool = True,
    log: Log | None = None,
) -> Built:
    """Build the paper of `runs`, folders of any kind that birdprobe writes, into the folder `out`.

    overwrite: replace an earlier build, its own files only. draws: sets of clips of each size in the probe budget.
    progress: lines on stderr; False: warnings alone. log: hears the lines in the place of stderr.
    InputError: a folder that is no run, `out` in use, or no typst package.
    """
    say = listener(log, progress)
    say("reading runs")
    out, sources, published = Path(out), recognise(runs), published_numbers.read()
    OutputFolder(out, KIND).check(overwrite)
    typeset.compiler()  # a missing one is told before minutes of drawing
    cast = roles.cast(sources)
    found = derived.gather(sources, say, draws=draws)
    say("tables")
    tested = claims.claims(sources, published)
    made = made_tables(sources, published, found)
    with OutputFolder(out, KIND).replacing() as draft:
        written = write_tables(made, draft / "tables")
        drawn = drawings.draw(sources, cast, published, found, draft / "figures", say)
        missing = (*gaps(sources, cast, found), *drawn.missing)
        readable = tuple(name for name in made if not name.startswith(CURVES))
        named = values.of(published, cast, found) | values.of_sources(sources) | values.of_claims(tested) | drawn.names
        texts = write_texts(Macros(named, missing, readable), published, draft)
        return finish(draft, out, [*texts, *written, *drawn.files], sources, missing, say)


def finish(
    draft: Path,
    out: Path,
    files: Sequence[Path],
    sources: Sources,
    missing: tuple[Missing, ...],
    say: Log,
) -> Built:
    """Typeset what was written into the draft, and write its index; told as it will be in `out`."""
    say("typesetting")
    pages = typeset.compile_pdf(draft / SOURCE, draft / PDF)
    files = [draft / PDF, *files]
    write_index(draft, files, sources, missing)
    return Built(out, tuple(out / path.relative_to(draft) for path in (*files, draft / INDEX)), pages, missing)


def made_tables(sources, published, found: Evidence) -> dict[str, Table]:
    """file name -> table, all of the paper's."""
    budgets = {f"budget-{drawings.slug(name)}": Table.from_frame(frame) for name, frame in found.budgets.items()}
    leaks = {f"leakage-{drawings.slug(name)}": Table.from_frame(frame) for name, frame in found.leaks.items()}
    return {
        **tables.tables(sources, published),
        "contradictions": contradictions_table(published),
        "runs": runs_table(sources),
        **budgets,
        **leaks,
    }


def contradictions_table(published: Published) -> Table:
    """What the published works say twice, differently."""
    rows = [(one.source, one.says, one.but) for one in published.contradictions]
    frame = pd.DataFrame(rows, columns=["source", "says", "but"])
    return Table.from_frame(frame, text_columns(*frame), "Pairs of published statements that cannot both be true.")


def runs_table(sources: Sources) -> Table:
    """All runs that the paper stands on."""
    rows = [
        (one.name, "sweep", one.model, one.data, f"{one.run.counted}; {len(one.ranking)} taps")
        for one in sources.sweeps
    ]
    for one in sources.heads:
        rows.append((one.name, "heads", "", "", f"{', '.join(one.parameters)}; {one.counted} out of fold"))
    rows += [
        (one.name, "experiment", "", "", f"{one.kind}; trainings an arm: {int(one.outcome['repeats'].max())}")
        for one in sources.experiments
    ]
    for one in sources.comparisons:
        first = one.frame.iloc[0]
        rows.append(
            (one.name, "blend", "", "", f"{int(first['n_rows'])} windows of {int(first['n_files'])} recordings")
        )
    rows += [
        (one.name, "member", one.member, "", f"{len(one.finished)} of {len(one.logs)} folds finished")
        for one in sources.members
    ]
    frame = pd.DataFrame(rows, columns=["run", "kind", "model", "data", "counted"])
    columns = text_columns("run", "kind", "model", "data", counted="what was counted")
    return Table.from_frame(frame, columns, "The runs that this paper was made of.")


def write_texts(macros: Macros, published, out: Path) -> list[Path]:
    """The text, its numbers for Typst and LaTeX, and its sources."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(typeset.TEXT.iterdir())}
    texts |= {"numbers.json": macros.to_json(), "macros.tex": macros.to_latex()}
    return write_all(texts | {"works.yml": typeset.bibliography(published.works.values())}, out)


def write_all(texts: dict[str, str], folder: Path) -> list[Path]:
    """Write FOLDER/NAME of each text; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return [folder / name for name in texts]


def write_tables(made: dict[str, Table], folder: Path) -> list[Path]:
    """FOLDER/NAME.csv, .md, .tex and .json of every table."""
    texts: dict[str, str] = {}
    for name, one in made.items():
        texts |= {f"{name}.csv": one.to_csv(), f"{name}.md": one.to_markdown()}
        texts |= {f"{name}.tex": one.to_latex(f"tab:{name}"), f"{name}.json": typeset.table(one)}
    return write_all(texts, folder)


def write_index(out: Path, files: list[Path], sources, missing: tuple[Missing, ...]) -> None:
    index = {
        "runs": {kind: [one.name for one in ones] for kind, ones in vars(sources).items()},
        "files": {path.relative_to(out).as_posix(): sha256(path) for path in files},
        "missing": [asdict(one) for one in missing],
    }
    write_json(out / INDEX, index, indent=1)
