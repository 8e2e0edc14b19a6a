"""The clips at one tap, in the plane of `projection.csv`: a drawing in the page, whose points say what they are."""

from html import escape

from ....analysis.runs import Run
from .sounds import sounds

SIZE, EDGE, RADIUS = 640, 12, 4  # of the drawing, in its own units
MOST = 3000  # points on the page; more would make it heavy
HINT = "Click a point: it names its recording, plays it and lights up its class. Arrow keys go from point to point."


def plane(data: Run) -> str:
    """One <figure>, or nothing where the run has no plane of its clips.

    The tap is the one that the plane knows best: the best of the published ranking, else the last one followed.
    """
    if not (data.folder / "projection.csv").is_file():
        return ""
    taps = list(dict.fromkeys(data.projection.tap))
    tap = data.best if data.best in taps else taps[-1]
    points = data.projection[data.projection.tap == tap]
    names = data.predictions
    names = names.assign(**{column: "" for column in ("start_s", "end_s") if column not in names})
    if len(points) != len(names):
        return ""
    every = -(-len(points) // MOST)
    points, names = points.iloc[::every], names.iloc[::every]
    low, high = points[["x", "y"]].min(), points[["x", "y"]].max()
    scale = (SIZE - 2 * EDGE) / max(float((high - low).max()), 1e-9)
    classes = {label: number for number, label in enumerate(sorted(set(map(str, points.label))))}
    played, drawn = sounds(data, names), []
    for point, (_, row), link, excerpt in zip(points.itertuples(), names.iterrows(), played.links, played.excerpts):
        right = "" if tap not in row else " · read right" if row[tap] == row["label"] else f" · read as {row[tap]}"
        start = f" · from {float(row['start_s']):g} s" if str(row["start_s"]) not in ("", "nan") else ""
        told = f"{row['file']} · {point.label}{start}{right}"
        x, y = EDGE + scale * (point.x - low.x), EDGE + scale * (high.y - point.y)
        number = classes[str(point.label)]
        heard = "".join(
            f' data-{kind}="{escape(value)}"' for kind, value in (("link", link), ("excerpt", excerpt)) if value
        )
        drawn.append(
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{RADIUS}" data-c="{number}"{heard}>'
            f"<title>{escape(told)}</title></circle>"
        )
    height = 2 * EDGE + scale * float(high.y - low.y)
    alt = f"Scatter plot of {len(drawn):,} {data.unit} at {tap}, one point each; the names are in predictions.csv."
    return (
        f'<figure id="clips"><svg viewBox="0 0 {SIZE} {height:.0f}" role="img" aria-label="{escape(alt)}" tabindex="0">'
        f'{"".join(drawn)}</svg><output data-hint="{HINT}">{HINT}</output>'
        f'<audio controls hidden preload="none" data-speed="{played.speed:g}"></audio>'
        f"<figcaption><b>Which clip is where.</b> The {data.unit} at {escape(tap)}, in the plane of the last blocks: "
        "near points are alike to the network. One far from its class may be mislabelled. "
        f'<a href="predictions.csv">predictions.csv</a> has what each was read as. {escape(played.said)}</figcaption>'
        "</figure>"
    )
