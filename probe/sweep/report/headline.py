"""The head of the page: the conclusion, one line for each use, what the published protocol would have said, counts."""

import re
from html import escape

from ....analysis import wording
from ....analysis.runs import Run
from ..conclusion import how_sure
from .markup import unbroken

LOOKS = {"published": "published", "limit": "limit"}  # other parts are uses


def head(data: Run) -> str:
    """The headline and the lines beside it, as HTML."""
    conclusion = data.config["conclusion"]
    first, *others = conclusion["parts"].items()
    lines = [_line(part, words, conclusion["misled"]) for part, words in others]
    return "\n".join(
        [f'<h1 class="conclusion">{_marked(data, first[1])}</h1>', *lines, f'<p class="lede">{_counted(data)}</p>']
    )


def title(data: Run) -> str:
    """What the browser's tab says of the answer."""
    return next(iter(data.config["conclusion"]["parts"].values())).rstrip(".")


def _line(part: str, words: str, misled: bool) -> str:
    """One part; what comes before its first colon stands out where it names the use."""
    text = typeset(words)
    if part in ("training_free", "linear"):
        use, rest = text.split(": ", 1)
        return f'<p class="use"><b>{use}</b> {rest[0].upper() if rest.startswith("the ") else rest[0]}{rest[1:]}</p>'
    if part == "published" and misled:
        return f'<p class="published misled"><b>Misleading here</b> {text}</p>'
    return f'<p class="{LOOKS.get(part, "use")}">{text}</p>'


def _marked(data: Run, words: str) -> str:
    """The headline; names of taps stand out and do not break."""
    last = wording.tap_title(data.reference) if data.reference == "embedding" else data.reference
    names = sorted({*data.readouts.tap, last} - {"embedding", "logits", "stem"}, key=len, reverse=True)
    pattern = "|".join(re.escape(escape(name)) for name in names)

    def strong(found: re.Match) -> str:
        look = ' class="last"' if found[1] == escape(last) else ""
        return f"<strong{look}>{found[1]}</strong>"

    return re.sub(rf"(?<!\w)({pattern})(?!\w)", strong, typeset(words))


def _counted(data: Run) -> str:
    """What everything rests on: counts, folds, intervals, what the p-values take into account, chance."""
    conclusion = data.config["conclusion"]
    groups = f" in {data.n_groups:,} groups" if data.n_groups else ""
    words = [
        f"Measured on {conclusion['n']:,} {data.unit}{groups}, {data.n_classes} classes, "
        f"{data.config['folds']['description']}.",
        how_sure(data),
    ]
    if conclusion["metric"] == "top1":
        words.append(f"Chance is {data.chance:.3f}.")
    return unbroken(escape(" ".join(words)))


def typeset(words: str) -> str:
    """A line of the conclusion as HTML: real minus signs, figures that do not break from what belongs to them."""
    return unbroken(escape(re.sub(r"(?<=[\s\[(])-(?=\d)", "\u2212", words)))
