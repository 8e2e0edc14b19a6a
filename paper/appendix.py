"""The tables that belong to no claim: the runs that the paper stands on, and what the published works say twice."""

import pandas as pd

from ..analysis.tables import Column, Table
from .published import Published
from .runs.discovery import Sources


def contradictions_table(published: Published) -> Table:
    """What the published works say twice, differently."""
    rows = [(one.source, one.says, one.but) for one in published.contradictions]
    columns = [Column(title, f"{{{title}}}", "left") for title in ("source", "says", "but")]
    frame = pd.DataFrame(rows, columns=["source", "says", "but"])
    return Table.from_frame(frame, columns, "Pairs of published statements that cannot both be true.")


def runs_table(sources: Sources) -> Table:
    """All runs that the paper stands on."""
    rows = [
        (one.name, "sweep", one.model, one.data, f"{one.run.counted}; {len(one.ranking)} taps")
        for one in sources.sweeps
    ]
    for one in sources.heads:
        scored = one.config["scored"]
        best = one.pooled[(one.pooled["source"] == scored["source"]) & (one.pooled["unit"] == scored["unit"])]
        n = int(best["n"].iloc[0]) if len(best) else 0
        words = f"{', '.join(one.parameters)}; {n:,} {scored['source']} {scored['unit']}s out of fold"
        rows.append((one.name, "heads", "", "", words))
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
    columns = [
        Column("run", "{run}", "left"),
        Column("kind", "{kind}", "left"),
        Column("model", "{model}", "left"),
        Column("data", "{data}", "left"),
        Column("what was counted", "{counted}", "left"),
    ]
    return Table.from_frame(frame, columns, "The runs that this paper was made of.")
