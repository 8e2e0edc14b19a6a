"""The paper's figures, each as PNG and vector PDF, drawn from runs by the modules of `figures`."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pandas as pd

from ..features import InputError
from ..figures import style
from ..figures.predictions import agreement, comparison, experiments, leaderboard, pipelines
from ..figures.sweeps import architecture, curves, depth, leakage, sample_size, trajectories
from .macros import Missing
from .published import Published
from .runs.derived import Evidence
from .runs.discovery import Sources
from .runs.readers import Sweep
from .runs.roles import Roles

SERIES = 6  # that one picture of curves can tell apart
OF_SWEEP = {"depth": depth.draw, "architecture": architecture.draw, "trajectories": trajectories.draw}


@dataclass(frozen=True)
class Drawn:
    """files: all pictures, in order. names: "picture.ROLE" -> the vector file as the text includes it. missing: what a
    run's tables did not give."""

    files: list[Path] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)


def draw(
    sources: Sources,
    roles: Roles,
    published: Published,
    evidence: Evidence,
    folder: Path,
    say: Callable[[str], None] = print,
) -> Drawn:
    """Write FOLDER/NAME.png and .pdf of all figures that these runs and the published numbers give."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn, main = Drawn(), roles.perch or roles.sweep
    for name, roles_of, make in plan(sources, roles, published, evidence, main):
        say(f"figure {name}")
        try:
            files = style.save(make(), folder / slug(name))
        except InputError as fault:
            drawn.missing.append(Missing(f"figure-{name}", f"figure {name}", str(fault)))
            continue
        drawn.files.extend(files)
        drawn.names.update({f"picture.{role}": f"{folder.name}/{files[1].name}" for role in roles_of})
    return drawn


def plan(sources: Sources, roles: Roles, published: Published, evidence: Evidence, main: Sweep | None):
    """(file name, the roles of the picture in the text, what draws it), one after another."""
    part = {one.name: role for role, one in roles.sweeps.items()}
    for one in sources.sweeps:
        for kind, make in OF_SWEEP.items():
            if kind == "trajectories" and not one.run.has_paths:
                continue
            names = [f"{part[one.name]}.{kind}"] if one.name in part else []
            yield f"{kind}-{one.name}", names, lambda make=make, one=one: make(one.path)
    yield from as_published(roles.perch or roles.standin, published)
    for name, frame in evidence.budgets.items():
        yield f"budget-{name}", ["budget"] * _is(main, name), lambda frame=frame: sample_size.draw(frame)
    for name, frame in evidence.leaks.items():
        yield f"leakage-{name}", ["leakage"] * _is(main, name), lambda frame=frame: leakage.draw(frame)
    yield "curves", ["curves"], lambda: curves.draw(series(sources, published))
    for one in sources.heads:
        if one.agreement is not None:
            names = ["agreement"] if one is roles.weights else []
            yield f"agreement-{one.name}", names, lambda one=one: agreement.draw(one.path)
    for one in sources.comparisons:
        names = ["comparison"] if one is roles.comparison else []
        yield f"comparison-{one.name}", names, lambda one=one: comparison.draw(one.path)
    for one in sources.experiments:
        names = [one.kind] if one is getattr(roles, one.kind, None) else []
        yield f"experiment-{one.name}", names, lambda one=one: experiments.draw(one.path)
    if roles.pipeline is not None:
        blend = roles.comparison.path.with_name(f"{roles.comparison.name}.json") if roles.comparison else None
        blend = blend if blend is not None and blend.is_file() else None
        yield "pipelines", ["pipelines"], lambda: pipelines.draw(roles.pipeline.path, blend)
    yield "leaderboard", ["leaderboard"], lambda: leaderboard.draw(attempts(published), "Tables 3 and 4 of the note.")


def as_published(like: Sweep | None, published: Published):
    """Published Figures 1 and 2 of a sweep with the blocks of Perch v2, the published accuracies beside its own."""
    if like is None or len(like.run.architecture["blocks"]) != architecture.PUBLISHED_BLOCKS:
        return
    blocks = published.frame("table1")[["block", "knn"]].itertuples(index=False)
    accuracy = {f"block_{block:02d}": knn for block, knn in blocks}
    head = [f"block_{block:02d}" for block in cast(tuple, published["figure1.outlined"].value)]
    yield "figure1", ["figure1"], lambda: architecture.draw_published(like.path, accuracy, head)
    if like.run.has_paths:
        yield "figure2", ["figure2"], lambda: trajectories.draw_published(like.path)


def series(sources: Sources, published: Published) -> list[pd.DataFrame]:
    """The published curve and those of the first sweeps, each under a name of its own."""
    table, protocol = published.frame("table1"), published.section("protocol")
    about = (
        f"{protocol['clips'].text} {protocol['clips'].unit}, no grouping named, "
        f"{protocol['species'].text} {protocol['species'].unit}"
    )
    blocks = int(protocol["blocks_of"].number)
    found = [curves.of_blocks(table, "Perch v2, published", blocks, protocol["chance"].number, about)]
    names = [f"{one.model}, {one.data}" for one in sources.sweeps]
    for one, name in list(zip(sources.sweeps, names))[: SERIES - 1]:
        found.append(curves.of_run(one.path, name if names.count(name) == 1 else f"{name} ({one.name})"))
    return found


def attempts(published: Published) -> pd.DataFrame:
    """name, public, private of Tables 3 and 4, an attempt that stands in both once for each pair of scores."""
    columns = ["attempt", "public", "private"]
    rows = pd.concat([published.frame(name)[columns] for name in ("table3", "table4")], ignore_index=True)
    return rows.drop_duplicates().rename(columns={"attempt": "name"})


def slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-")


def _is(main: Sweep | None, name: str) -> bool:
    return main is not None and main.name == name
