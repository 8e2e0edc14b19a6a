"""The tables that belong to no claim: the runs that the paper stands on, and what the published works say twice."""

import pandas as pd

from ..analysis.tables import Table, text_columns
from .published import Published
from .runs.discovery import Sources


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
