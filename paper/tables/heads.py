"""The head's size, and what it learned to read: published against ours."""

from typing import Any

import pandas as pd

from ...analysis.tables import Column, Table, text_columns
from ..measures.heads import heads_on
from ..parameter_counts import attention_parameters, scalarmix_parameters
from ..published import Published
from ..runs.discovery import Sources

MIXING = ("scalarmix", "attention")


def sizes(sources: Sources, published: Published) -> Table:
    """Parameters: as the note states them, as its description counts, and of every head of our runs."""
    shape: dict[str, Any] = {name: published[f"head.{name}"].value for name in ("widths", "classes", "dim", "ffn")}
    described = {
        "attention": attention_parameters(**shape),
        "scalarmix": scalarmix_parameters(shape["widths"], shape["classes"], shape["dim"]),
    }
    stated = published["head.parameters"]
    rows: list[tuple] = [("attention", "the note, as stated", None, None, int(stated.number), stated.text)]
    for head, count in described.items():
        rows.append((head, "the note, as described", len(shape["widths"]), shape["classes"], count, f"{count:,}"))
    for run in sources.heads:
        tokens = {head["name"]: len(head["tokens"]) for head in run.config["heads"]}
        for head, count in run.parameters.items():
            where = f"{run.name}: {heads_on(sources, run)}"
            rows.append((head, where, tokens.get(head), len(run.config["labels"]), count, f"{count:,}"))
    names = ["head", "of", "tokens", "classes", "parameters", "said"]
    frame = pd.DataFrame(dict(zip(names, (pd.Series(list(column), dtype=object) for column in zip(*rows)))))
    numbers = [Column("tokens", "{tokens}"), Column("classes", "{classes}"), Column("parameters", "{said}")]
    share = described["attention"] / stated.number
    words = f"Trained parameters of the heads. The note's own description has {share:.1f} times what it states."
    return Table.from_frame(frame, [*text_columns("head", "of"), *numbers], words)


def weights(sources: Sources, published: Published) -> Table:
    """What scalar mix and attention read, mean over folds, and the probe's accuracy of each tap where it was compared;
    one row a tap of a run, ranks in brackets (1: the largest; equals share their mean)."""
    theirs = published.frame("weights").merge(published.frame("table1"), on="block")
    taps = [f"block_{block:02d}" for block in theirs["block"]]
    parts = [pd.DataFrame({"of": "published", "tap": taps, "knn": theirs["knn"], "scalarmix": theirs["weight"]})]
    for run in sources.heads:
        mixed = {head["name"] for head in run.config["heads"] if head["kind"] in MIXING}
        own = run.weights[run.weights["head"].isin(mixed)]
        if own.empty:
            continue
        wide = own.pivot_table(index="tap", columns="head", values="weight", aggfunc="mean", sort=False)
        scores = run.tap_scores
        if scores is not None:
            wide["knn"] = scores[scores["score"] == "knn"].set_index("tap")["value"]
        parts.append(wide.reset_index().assign(of=f"{run.name}: {heads_on(sources, run)}"))
    frame = pd.concat(parts, ignore_index=True).reindex(columns=["of", "tap", "knn", *MIXING])
    for name in ("knn", *MIXING):
        ranks = frame.groupby("of")[name].rank(ascending=False)
        frame[f"{name}_rank"] = ranks
        frame[f"{name}_said"] = [
            None if pd.isna(value) else f"{value:.3f} ({rank:g})" for value, rank in zip(frame[name], ranks)
        ]
    columns = [
        *text_columns("of", "tap"),
        Column("5-NN accuracy", "{knn_said}"),
        Column("weight in the scalar mix", "{scalarmix_said}"),
        Column("weight in attention", "{attention_said}"),
    ]
    words = "What heads read: weights of the taps, mean over folds, beside the probe's accuracy. In brackets: ranks."
    return Table.from_frame(frame, columns, words)
