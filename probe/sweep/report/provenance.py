"""The end of the page: warnings, skipped files, and what it takes to trust the numbers and get them again."""

from collections.abc import Mapping
from html import escape

from ....analysis.runs import Run
from ....features.spelling import agree, counted
from .markup import table

MOST_SKIPPED = 50  # rows of skipped files on the page; all of them are in config.json


def warnings(data: Run) -> str:
    said, skipped = data.config.get("warnings", []), data.config.get("skipped", [])
    parts = [f"<ul>{''.join(f'<li>{escape(words)}</li>' for words in said)}</ul>"] if said else ["<p>No warnings.</p>"]
    if not skipped:
        return "\n".join([*parts, "<p>No file was skipped.</p>"])
    count = f"{counted(len(skipped), 'file')} could not be used and {agree(len(skipped), 'is', 'are')}"
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
