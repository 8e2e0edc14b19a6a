"""One self-contained page about a finished run: the answer first, then pictures, tables, warnings, provenance.

It reads the run folder only (`config.json`, `ranking.csv`, `figures/*.png`) and writes `report.html` into it, without a
link to anything outside: pictures are embedded, the style is `report.css` beside this file. The same run gives the
same bytes.
"""

import base64
import math
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from string import Template

from ...analysis.runs import Run
from ...analysis.wording import in_points as points
from ...analysis.wording import number_of_p
from ...features.output_folder import adding
from ..assets import REPORT_CSS
from .html import bar, bracketed, interval, number, table, unbroken
from .published_answer import plain

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
$css
</style>
</head>
<body>
<main>
<header>
<p class="kicker">$kicker</p>
<h1>$sentence</h1>
<p class="lede">$lede</p>
<p class="beside">$beside</p>
</header>
<section aria-label="Figures">
$figures
</section>
<section>
<h2>Every tap, in graph order</h2>
$table
</section>
<section>
<h2>Warnings and skipped files</h2>
$warnings
</section>
<section>
<h2>Where this comes from</h2>
$provenance
</section>
</main>
</body>
</html>
""")
MOST_SKIPPED = 50  # rows of skipped files on the page; all of them are in config.json
MOST_TIED = 8


def write_report(run: Path) -> Path:
    """Write RUN/report.html and return its path. InputError when the folder lacks config.json or ranking.csv."""
    data = Run(Path(run))
    page = PAGE.substitute(
        title=escape(f"{model_name(data)} on {audio_name(data)}: {plain(data.best)}"),
        css=REPORT_CSS.read_text(encoding="utf-8"),
        kicker=f"birdprobe sweep <span>·</span> {escape(model_name(data))} <span>·</span> {escape(audio_name(data))}",
        sentence=sentence(data),
        lede=lede(data),
        beside=" ".join(filter(None, (tied(data), unbroken(escape(data.answer.get("remark", "")))))),
        figures="\n".join(figures(data)),
        table=ranking_table(data),
        warnings=warnings(data),
        provenance=provenance(data),
    )
    with adding(data.folder) as draft:
        (draft / "report.html").write_text(page, encoding="utf-8")
    return data.folder / "report.html"


def model_name(data: Run) -> str:
    model = data.config["model"]
    return model.get("preset") or Path(model["path"]).stem


def audio_name(data: Run) -> str:
    return Path(data.config["audio"]["path"]).name


def sentence(data: Run) -> str:
    """The answer; the best tap's name stands out and does not break."""
    best = escape(data.best)
    return unbroken(escape(data.answer["sentence"])).replace(best, f"<strong>{best}</strong>", 1)


def lede(data: Run) -> str:
    """What the answer rests on: counts, intervals, the paired difference, what the p-value takes into account."""
    answer, over = data.answer, "groups" if data.n_groups else data.unit
    accuracy = bracketed(answer["knn"], answer["knn_lo"], answer["knn_hi"], "{:.3f}")
    words = [f"Measured on {data.counted}, {data.config['folds']['description']}."]
    if data.best == data.reference:
        words.append(f"Accuracy of {plain(data.best)} {accuracy}. Brackets are 95 % intervals, bootstrap over {over}.")
    else:
        gain = bracketed(points(answer["difference"]), points(answer["lo"]), points(answer["hi"]), "{:+.1f}")
        words.append(
            f"Accuracy of {plain(data.best)} {accuracy}, of {plain(data.reference)} {answer['reference_knn']:.3f}; "
            f"paired difference {gain} points. Brackets are 95 % intervals, bootstrap over {over}; "
            f"p is corrected for having picked the best of {len(data.ranking)} taps."
        )
    return unbroken(escape(" ".join([*words, f"Chance is {answer['chance']:.3f}."])))


def tied(data: Run) -> str:
    """The taps that these clips cannot tell from the best, as runs of neighbours in graph order."""
    order = list(data.ranking.tap)
    places = sorted(order.index(tap) for tap in data.tied)
    if not places:
        return ""
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1 and order[place].startswith("block_"):
            runs[-1].append(place)
        else:
            runs.append([place])
    names = []
    for run in runs:
        words = [f"<b>{escape(plain(order[place]))}</b>" for place in run]
        names += [f"{words[0]} to {words[-1]}"] if len(run) > 2 else words
    more = f" and {len(names) - MOST_TIED} more" if len(names) > MOST_TIED else ""
    return f"Not separable from {', '.join(names[:MOST_TIED])}{more} on these clips."


def figures(data: Run) -> Iterable[str]:
    """Every picture that the run holds, embedded, with a caption and a description for those who cannot see it."""
    said = {"depth": depth_said, "architecture": architecture_said, "trajectories": paths_said, "classes": classes_said}
    for name, say in said.items():
        path = data.folder / "figures" / f"{name}.png"
        if path.is_file():
            alt, caption = say(data)
            image = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
            picture = f'<img src="{image}" alt="{escape(alt)}">'
            yield f'<figure id="{name}">{picture}<figcaption>{caption}</figcaption></figure>'


def depth_said(data: Run) -> tuple[str, str]:
    cost = data.ranking["ms_per_window"].astype(float)
    first, best, last = (data.ranking.loc[tap] for tap in (data.ranking.tap.iloc[0], data.best, data.reference))
    alt = (
        f"Line chart of {data.neighbours} accuracy against depth: {first.knn:.3f} at {first.tap}, highest at "
        f"{best.tap} with {best.knn:.3f}, {last.knn:.3f} at {last.tap}. Below, the cost up to each tap: "
        f"{number(cost[data.best], '{:.1f}')} ms a window at {best.tap}, "
        f"{number(cost[data.reference], '{:.1f}')} at {last.tap}."
    )
    return alt, (
        "<b>Accuracy against depth.</b> What each tap knows about these classes, and what it costs to get there. "
        "The band and the bars are 95 % intervals; filled points cannot be told from the best on these clips."
    )


def architecture_said(data: Run) -> tuple[str, str]:
    blocks = data.architecture["blocks"]
    read = sum(block["name"] in data.ranking.index for block in blocks)
    alt = (
        f"Diagram of the backbone: {len(blocks)} blocks in a row, {read} of them read, {data.best} marked as the best."
    )
    return alt, (
        "<b>The backbone, as found in the file.</b> Every box is a block; the darker it is, the better the probe does "
        "on what it puts out."
    )


def paths_said(data: Run) -> tuple[str, str]:
    alt = "Paths of the class centroids through the last blocks in one plane; the longest are named and enlarged below."
    return alt, (
        "<b>Where the classes go in the last blocks.</b> One path a class, from square to diamond. Nearness means "
        "something, directions and units do not."
    )


def classes_said(data: Run) -> tuple[str, str]:
    size = f"{data.n_classes} classes by {len(data.ranking)} taps"
    alt = f"Heat map of accuracy, {size}; the column of {data.best} is framed."
    return alt, "<b>Which class at which depth.</b> The best tap over all classes need not be the best for yours."


def ranking_table(data: Run) -> str:
    """`ranking.csv` for people: figures rounded, intervals beside them, a bar for every accuracy."""
    heads = [
        "tap",
        "stage",
        "dim",
        f"{data.neighbours} accuracy",
        "95 %",
        "P(best)",
        f"vs {data.reference}",
        "95 %",
        "p",
    ]
    rows = []
    for row in data.ranking.to_dict("records"):
        look = "best" if row["tap"] == data.best else "near" if row["tap"] in data.tied else ""
        rows.append((look, row["tap"], ranking_cells(row, row["tap"] == data.reference)))
    note = (
        f"{data.neighbours}: cross-validated top-1 accuracy; the bar and the stripe below it show it with its 95 % "
        "interval. ≈ marks taps that cannot be told from the best. P(best): share of bootstrap draws in which the tap "
        f"ranks first. vs {data.reference}: paired difference in points, its interval and its permutation p, not "
        "corrected for the number of taps. linear: linear probe on the same folds. LogME: evidence of a linear model, "
        "higher is better. ms/window: time to run the model up to the tap, on the machine of this run. "
    )
    drawn = table("ranking", "Ranking of all taps", [*heads, "linear", "LogME", "ms/window"], rows)
    return f'{drawn}\n<p class="note">{escape(note)}Unrounded: <code>ranking.csv</code>.</p>'


def ranking_cells(row: Mapping, reference: bool) -> list[str]:
    """The cells of one tap behind its name. The reference is not compared with itself."""
    compared = [
        number(points(row["vs_last"]), "{:+.1f}"),
        interval(points(row["vs_last_lo"]), points(row["vs_last_hi"]), "{:+.1f}"),
        "" if math.isnan(row["vs_last_p"]) else escape(number_of_p(row["vs_last_p"])),
    ]
    return [
        number(row["stage"], "{:.0f}"),
        number(row["dim"], "{:,.0f}"),
        bar(row["knn"], row["knn_lo"], row["knn_hi"]),
        interval(row["knn_lo"], row["knn_hi"], "{:.3f}"),
        number(row["p_best"], "{:.2f}"),
        *(["reference", "", ""] if reference else compared),
        number(row["linear"], "{:.3f}"),
        number(row["logme"], "{:.3f}"),
        number(row["ms_per_window"], "{:,.1f}"),
    ]


def warnings(data: Run) -> str:
    said, skipped = data.config.get("warnings", []), data.config.get("skipped", [])
    parts = [f"<ul>{''.join(f'<li>{escape(words)}</li>' for words in said)}</ul>"] if said else ["<p>No warnings.</p>"]
    if not skipped:
        return "\n".join([*parts, "<p>No file was skipped.</p>"])
    count = (
        "1 file could not be used and is" if len(skipped) == 1 else f"{len(skipped):,} files could not be used and are"
    )
    rows = [("", str(one["file"]), [escape(str(one["reason"]))]) for one in skipped[:MOST_SKIPPED]]
    parts += [
        f"<p>{count} not in any number on this page:</p>",
        table("skipped", "Skipped files", ["file", "reason"], rows),
    ]
    if len(skipped) > MOST_SKIPPED:
        parts.append(f'<p class="note">{len(skipped) - MOST_SKIPPED:,} more in <code>config.json</code>.</p>')
    return "\n".join(parts)


def provenance(data: Run) -> str:
    """What it takes to trust the numbers and to get them again."""
    config = data.config
    model, audio, settings = config["model"], config["audio"], config["settings"]
    facts = {
        "model": f"{model['path']} (preset: {model.get('preset') or 'none, told by hand'})",
        "model sha256": model["sha256"],
        "audio": f"{audio['path']}: {audio['clips']:,} clips, {audio['classes']} classes, {audio['windows']:,} windows",
        "audio sha256": audio["sha256"],
        "input": f"{model['window_s']:g} s windows at {model['sample_rate']:,} Hz, normalisation: {model['normalise']}",
        "grouping": config.get("grouping", "none"),
        "folds": config["folds"]["description"],
        "surgery": proof_said(model.get("proof") or {}),
        "front end": (model.get("folding") or "").removeprefix("front end: "),
        "settings": ", ".join(f"{key} {value}" for key, value in settings.items() if value is not None),
        "versions": ", ".join(f"{name} {version}" for name, version in config.get("versions", {}).items()),
        "time": ", ".join(f"{name} {seconds:,.0f} s" for name, seconds in config.get("seconds", {}).items()),
    }
    rows = "".join(f"<dt>{key}</dt><dd>{escape(value)}</dd>" for key, value in facts.items() if value)
    notes = "".join(f"<li>{escape(note)}</li>" for note in data.architecture.get("notes", []))
    again = escape(config.get("command", ""))
    return (
        f"<dl>{rows}</dl>"
        + (f"<p>Notes on the graph:</p><ul>{notes}</ul>" if notes else "")
        + (f"<p>The command that made this run:</p><pre><code>{again}</code></pre>" if again else "")
    )


def proof_said(proof: Mapping) -> str:
    """The largest differences that opening the graph made, from the proof's two tables."""
    words = []
    against = {"taps": "taps against an un-pooled run", "outputs": "original outputs against the untouched model"}
    for key, what in against.items():
        differences = list((proof.get(key) or {}).values())
        if differences:
            worst, far = (max(one[part] for one in differences) for part in ("max_abs", "rel_l2"))
            words.append(f"{what}: at most {worst:.1e} absolute, {far:.1e} relative L2")
    return "; ".join(words)
