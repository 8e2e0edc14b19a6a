"""The pictures of a run, embedded, each with a caption and a description for those who cannot see it."""

import base64
from collections.abc import Callable, Iterator
from html import escape

from ....analysis.runs import Run
from ....analysis.studies import few_shot
from .published import readout
from .readouts import best_cells, heading, score_name

Said = tuple[str, str]  # description, caption


def figures(data: Run) -> Iterator[str]:
    """A <figure> for every picture that the run holds and this page can speak of: those of all read-outs first."""
    for name, say in SAID.items():
        path = data.folder / "figures" / f"{name}.png"
        if path.is_file():
            alt, caption = say(data)
            image = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
            picture = f'<img src="{image}" alt="{escape(alt)}">'
            yield f'<figure id="{name}"><div class="picture">{picture}</div><figcaption>{caption}</figcaption></figure>'


def readouts_said(data: Run) -> Said:
    best = best_cells(data)
    each = ", ".join(
        f"{row.tap} under {heading(data, str(row.readout))} ({row.score:.3f})" for row in best.itertuples()
    )
    alt = (
        f"Heat map of {score_name(data)}, {data.readouts.tap.nunique()} taps by {len(best)} read-outs. Highest: {each}."
    )
    return alt, (
        "<b>Every tap under every read-out.</b> The outlined cells are the best of their column. Where they lie in one "
        "row, the answer does not depend on how the vectors are read."
    )


def ranks_said(data: Run) -> Said:
    scores = data.readouts.pivot(index="tap", columns="readout", values="score")[list(best_cells(data).readout)]
    places = scores.rank(ascending=False, method="min").loc[data.reference]
    each = ", ".join(f"{place:.0f} under {heading(data, str(name))}" for name, place in places.items())
    alt = f"Bump chart of the ranks of {len(scores)} taps from read-out to read-out. Rank of {data.reference}: {each}."
    return alt, (
        "<b>Who changes places.</b> One line a tap, from read-out to read-out; level lines do not depend on the "
        "read-out, steep ones do. Ranks say nothing about how far apart two scores are."
    )


def depth_said(data: Run) -> Said:
    first, best, last = (data.ranking.loc[tap] for tap in (data.ranking.tap.iloc[0], data.best, data.reference))
    alt = (
        f"Line chart of {data.neighbours} accuracy against depth: {first.knn:.3f} at {first.tap}, highest at "
        f"{best.tap} with {best.knn:.3f}, {last.knn:.3f} at {last.tap}. Below, the cost up to each tap"
    )
    if data.ranking["ms_per_window"].loc[[data.best, data.reference]].isna().any():
        alt += " in multiply-accumulates."
    else:
        alt += f": {best.ms_per_window:.1f} ms a window at {best.tap}, {last.ms_per_window:.1f} at {last.tap}."
    return alt, (
        "<b>Accuracy against depth.</b> What each tap knows about these classes, and what it costs to get there. This "
        f"is the published read-out, {readout(data)}; others can order the taps otherwise. "
        "The band and the bars are 95 % intervals; filled points cannot be told from the best on these clips."
        f"{' Grey, dashed: the same network with random weights.' if data.control is not None else ''}"
    )


def architecture_said(data: Run) -> Said:
    blocks = data.architecture["blocks"]
    read = sum(block["name"] in data.ranking.index for block in blocks)
    alt = (
        f"Diagram of the backbone: {len(blocks)} blocks in a row, {read} of them read, {data.best} marked as the best."
    )
    return alt, (
        "<b>The backbone, as found in the file.</b> Every box is a block; the stronger its colour, the better the "
        f"probe does on what it puts out (the published read-out, {readout(data)})."
    )


def paths_said(data: Run) -> Said:
    alt = "Paths of the class centroids through the last blocks in one plane; the longest are named and enlarged below."
    return alt, (
        "<b>Where the classes go in the last blocks.</b> One path a class, from square to diamond. Nearness means "
        "something, directions and units do not."
    )


def classes_said(data: Run) -> Said:
    size = f"{data.n_classes} classes by {len(data.ranking)} taps"
    alt = f"Heat map of accuracy, {size}; the column of {data.best} is framed."
    return alt, (
        "<b>Which class at which depth.</b> The best tap over all classes need not be the best for yours"
        f" (the published read-out, {readout(data)})."
    )


def shots_said(data: Run) -> Said:
    table = data.shots
    _, crossings = few_shot.crossings(table, data.reference)
    least, most = table.shots.min(), table.shots.max()
    ends = table[table.shots == most].sort_values("score", ascending=False, kind="stable").iloc[0]
    alt = (
        f"Line charts of accuracy against {least} to {most} training clips a class, one panel a read-out; highest at "
        f"{most} clips: {ends.tap} under {heading(data, ends.readout)} with {ends.score:.3f}."
    )
    return alt, (
        "<b>With few labels.</b> Accuracy against training clips a class; the bands hold 95 % of the draws. "
        f"{escape(crossings)}"
    )


def planes_said(data: Run) -> Said:
    taps = list(dict.fromkeys(data.planes.tap))
    scores = data.plane_scores.set_index("tap").knn
    alt = (
        f"Scatter plots of the clips, one small plane for each of {len(taps)} taps, coloured by class. "
        f"Most of the labels is left at {scores.idxmax()}: {data.neighbours} {scores.max():.2f}."
    )
    return alt, (
        "<b>Every tap in a plane of its own.</b> How many neighbours of the same class survive in two dimensions; a "
        "plane keeps less than the full vectors do, so it ranks pictures, not taps."
    )


def similarity_said(data: Run) -> Said:
    cka = data.cka
    taps = [str(tap) for tap in cka.index]
    values = cka.to_numpy(dtype=float)
    pairs = [(float(values[i + 1, i]), taps[i], taps[i + 1]) for i in range(len(cka) - 1)]
    step = min(pairs, default=None)
    words = "" if step is None else f" The largest step between neighbours: {step[1]} to {step[2]} ({step[0]:.2f})."
    alt = f"Heat map of linear CKA between all pairs of {len(cka)} taps, 1 on the diagonal.{words}"
    return alt, (
        "<b>Which taps arrange the clips alike.</b> Linear CKA, computed without labels: likeness says nothing about "
        "which of two taps is better."
    )


SAID: dict[str, Callable[[Run], Said]] = {
    "readouts": readouts_said,
    "ranks": ranks_said,
    "depth": depth_said,
    "architecture": architecture_said,
    "trajectories": paths_said,
    "classes": classes_said,
    "shots": shots_said,
    "planes": planes_said,
    "similarity": similarity_said,
}
