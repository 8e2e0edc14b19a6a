"""Numbers and tables as HTML: minus signs, intervals, bars. Knows nothing about runs."""

import math
import re
from collections.abc import Iterable, Sequence
from html import escape


def number(value: float | None, form: str) -> str:
    """A number in a given format with a real minus sign; nothing where there is none."""
    return "" if value is None or math.isnan(value) else form.format(value).replace("-", "−")


def interval(low: float, high: float, form: str) -> str:
    return "" if math.isnan(low) or math.isnan(high) else f"[{number(low, form)}, {number(high, form)}]"


def bracketed(value: float, low: float, high: float, form: str) -> str:
    return f"{number(value, form)} {interval(low, high, form)}".strip()


def bar(value: float, low: float, high: float) -> str:
    """A share written on a bar of its length, its interval as a stripe below: a whole <td>."""
    parts = {"v": value, "lo": low, "hi": high}
    style = ";".join(f"--{key}:{100 * part:.1f}%" for key, part in parts.items() if not math.isnan(part))
    return f'<td class="bar" style="{style}">{number(value, "{:.3f}")}</td>'


def unbroken(words: str) -> str:
    """Escaped text whose figures stay with what belongs to them: "p &lt; 0.001" and "83 %" are never split."""
    words = re.sub(r"\bp (&lt;|=) (?=\d)", "p\u00a0\\1\u00a0", words)
    return re.sub(r"(?<=\d) (?=%)", "\u00a0", words)


def table(
    kind: str,
    label: str,
    heads: Sequence[str],
    rows: Iterable[tuple[str, str, Sequence[str]]],
    groups: Sequence[tuple[str, int]] = (),
) -> str:
    """A table that scrolls sideways where the page is narrower. kind: its class; label: for those who cannot see it.

    rows: (class, name, cells) each; cells are HTML already. groups: (heading, columns) above the heads, if any.
    """
    head = "".join(f'<th scope="col">{escape(words)}</th>' for words in heads)
    body = "\n".join(
        f'<tr class="{look}"><th scope="row">{escape(name)}</th>'
        + "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
        for look, name, cells in rows
    )
    above = "".join(f'<th scope="colgroup" colspan="{span}">{escape(words)}</th>' for words, span in groups)
    above = f"<tr>{above}</tr>" if above else ""
    region = f'class="scroll {kind}" tabindex="0" role="region" aria-label="{escape(label)}"'
    return (
        f"<div {region}><table>\n<caption>{escape(label)}</caption>\n<thead>{above}<tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table></div>"
    )
