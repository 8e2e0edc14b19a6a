"""A short paper of one's own runs: methods, results, tables and figures out of what the runs contain.

OUT/  paper.pdf  paper.typ  content.json (its words)  tables/*.csv|md|tex|json  figures/*.pdf|svg|txt  index.json
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ...analysis.predictions import comparison as comparison_tables
from ...analysis.tables import Table
from ...features import InputError
from ...features.output_folder import OutputFolder
from ...features.progress import Log, listener
from ...figures import style
from ...figures.predictions import comparison
from ...figures.sweeps import depth
from ...figures.sweeps import readouts as readout_figure
from .. import typeset
from ..build import CONTENT, KIND, SOURCE, Built, finish, write_all, write_tables
from ..drawings import slug
from ..macros import Macros, Missing
from ..runs.discovery import Sources, recognise
from . import tables, text

TEMPLATE = Path(__file__).with_name("mine.typ")
INTRO = "Draft written by birdprobe from the runs listed below; every number is theirs."


def build(runs: Sequence[Path], out: Path, *, overwrite: bool = False, log: Log | None = None) -> Built:
    """Build a paper of `runs`, folders of sweeps, heads, blends, experiments and members, into the folder `out`.

    Args:
        runs: at least one.
        out: the folder to write.
        overwrite: replace an earlier build, its own files only.
        log: hears a line a stage in the place of stderr.

    Returns:
        What was written, and what the runs did not give.

    Raises:
        InputError: no run, a folder that is none, `out` in use, or no typst package.
    """
    if not runs:
        raise InputError("paper --about mine: expected at least one run, got none. Name the folders of your runs?")
    say = listener(log)
    say("reading runs")
    out, sources = Path(out), recognise(runs)
    OutputFolder(out, KIND).check(overwrite)
    typeset.compiler()  # a missing one is told before minutes of drawing
    with OutputFolder(out, KIND).replacing() as draft:
        drawn, missing = draw(sources, draft / "figures", say)
        say("tables")
        made = made_tables(sources)
        written = write_tables(made, draft / "tables")
        texts = write_texts(sources, made, drawn, draft)
        figures = sorted((draft / "figures").iterdir())
        built = finish(draft, out, [*texts, *written, *figures], sources, missing, say)
    uncited = [name for name, cited in text.citations(sources).items() if cited is None]
    return replace(built, uncited=tuple(uncited))


def draw(
    sources: Sources, folder: Path, say: Callable[[str], None]
) -> tuple[dict[str, tuple[str, str]], tuple[Missing, ...]]:
    """The figures in print; what each is called -> (file, caption), and those that a run's tables did not give."""
    folder.mkdir(parents=True)
    plan: list[tuple[str, Callable]] = []
    for sweep in sources.sweeps:
        if sweep.run.has_readouts:
            plan.append((f"readouts-{sweep.name}", lambda sweep=sweep: readout_figure.draw(sweep.path)))
        plan.append((f"depth-{sweep.name}", lambda sweep=sweep: depth.draw(sweep.path)))
    for blend in sources.comparisons:
        plan.append((f"blend-{blend.name}", lambda blend=blend: comparison.draw(blend.path)))
    drawn: dict[str, tuple[str, str]] = {}
    missing: list[Missing] = []
    for name, make in plan:
        say(f"figure {name}")
        try:
            with style.printing():
                figure = make()
        except InputError as fault:
            missing.append(Missing(f"figure-{name}", f"figure {name}", str(fault)))
            continue
        pdf, _, _ = style.save_print(figure, folder / slug(name))
        drawn[name] = (f"{folder.name}/{pdf.name}", f"{SAID[name.partition('-')[0]]} {style.captions[figure]}")
    return drawn, tuple(missing)


SAID = {
    "readouts": "Taps are rows, read-outs columns.",
    "depth": "Accuracy along the network under the published read-out, and the cost up to each tap.",
    "blend": "Members and steps against the truth.",
}


def made_tables(sources: Sources) -> dict[str, Table]:
    """name -> table, all of the paper's."""
    made: dict[str, Table] = {}
    for sweep in sources.sweeps:
        made[f"readouts-{slug(sweep.name)}"] = tables.readouts(sweep)
        made[f"taps-{slug(sweep.name)}"] = tables.taps(sweep)
    made |= {f"heads-{slug(one.name)}": tables.heads(one) for one in sources.heads}
    return made | {f"blend-{slug(one.name)}": comparison_tables.attempts(one.frame) for one in sources.comparisons}


def sections(sources: Sources, drawn: dict[str, tuple[str, str]]) -> list[text.Section]:
    """The paper from its methods to its limits."""
    found: list[text.Section] = []
    if sources.sweeps:
        methods = [text.STATISTICS, *map(text.method, sources.sweeps), *text.versions(sources)]
        found.append(text.Section("Methods", methods))
    for sweep in sources.sweeps:
        pictures = [drawn[name] for name in (f"readouts-{sweep.name}", f"depth-{sweep.name}") if name in drawn]
        names = [f"readouts-{slug(sweep.name)}", f"taps-{slug(sweep.name)}"]
        words = text.lines(sweep) or [text.headline(sweep)]
        found.append(text.Section(text.heading(sweep, sources), words, pictures, names))
    if sources.heads:
        names = [f"heads-{slug(one.name)}" for one in sources.heads]
        found.append(text.Section("Heads on cached vectors", [text.heads(one) for one in sources.heads], (), names))
    if sources.comparisons:
        pictures = [drawn[f"blend-{one.name}"] for one in sources.comparisons if f"blend-{one.name}" in drawn]
        names = [f"blend-{slug(one.name)}" for one in sources.comparisons]
        found.append(
            text.Section("Blends against the truth", [text.blend(one) for one in sources.comparisons], pictures, names)
        )
    if sources.experiments:
        words = [f"{one.name}: {one.sentence}" for one in sources.experiments]
        found.append(text.Section("Experiments", words))
    if sources.members:
        words = [f"{one.name}: {one.member}, {len(one.finished)} of {len(one.logs)} folds." for one in sources.members]
        found.append(text.Section("Fine-tuned models", words))
    return [*found, text.Section("Limits", text.limits(sources))]


def write_texts(sources: Sources, made: dict[str, Table], drawn: dict[str, tuple[str, str]], out: Path) -> list[Path]:
    """paper.typ, the words it shows, and the two files that it stands on."""
    content = {
        "title": text.title(sources),
        "authors": INTRO,
        "abstract": text.abstract(sources),
        "sections": [section.to_json() for section in sections(sources, drawn)],
        "references": [text.NOTE, *text.OTHERS, *text.models(sources)],
    }
    texts = {
        CONTENT: json.dumps(content, indent=1, ensure_ascii=False) + "\n",
        "numbers.json": Macros({}, (), tuple(made)).to_json(),
        SOURCE: TEMPLATE.read_text(encoding="utf-8"),
        **{name: (typeset.TEXT / name).read_text(encoding="utf-8") for name in ("style.typ", "macros.typ")},
    }
    return write_all(texts, out)
