"""Which run tells which part of the story. The text speaks of roles; a user may have called the runs anything."""

from dataclasses import dataclass
from pathlib import Path

from .discovery import Sources
from .readers import Comparison, Experiment, Heads, Sweep

STAND_IN = "Wren"


@dataclass(frozen=True, eq=False)
class Roles:
    """perch: a sweep of a published file of Perch v2. sweep: the first of any other real backbone. regrouped: of that
    backbone and its recordings under other labels. standin: of the bundled miniature. weights: heads whose weights were
    compared with the probe, over the most taps. heads: the run with the most heads besides. None: no run has the role.
    """

    perch: Sweep | None
    sweep: Sweep | None
    regrouped: Sweep | None
    standin: Sweep | None
    weights: Heads | None
    heads: Heads | None
    pipeline: Heads | None
    comparison: Comparison | None
    pseudo: Experiment | None
    residual: Experiment | None
    priors: Experiment | None

    @property
    def sweeps(self) -> dict[str, Sweep]:
        """role -> sweep, of the roles that a sweep has."""
        found = {name: getattr(self, name) for name in ("perch", "sweep", "regrouped", "standin")}
        return {name: one for name, one in found.items() if one is not None}


def cast(sources: Sources) -> Roles:
    """Deal the roles: among equals, the run that was named first."""
    real = [one for one in sources.sweeps if one.model != STAND_IN]
    perch = _first(one for one in real if one.is_perch_v2)
    sweep = _first(one for one in real if not one.is_perch_v2)
    probed = [one for one in sources.heads if one.agreement is not None]
    weights = max(probed, key=weighed_taps, default=None)
    others = [one for one in sources.heads if one is not weights]
    kinds = {kind: _first(one for one in sources.experiments if one.kind == kind) for kind in _EXPERIMENTS}
    comparison = _first(one for one in sources.comparisons if one.config.get("members"))
    return Roles(
        perch=perch,
        sweep=sweep,
        regrouped=_first(one for one in real if sweep is not None and one is not sweep and relabelled(one, sweep)),
        standin=_first(one for one in sources.sweeps if one.model == STAND_IN),
        weights=weights,
        heads=max(others, key=lambda one: len(one.parameters), default=None),
        pipeline=_pipeline(sources, comparison),
        comparison=comparison,
        **kinds,
    )


_EXPERIMENTS = ("pseudo", "residual", "priors")


def weighed_taps(run: Heads) -> int:
    """Over how many taps a head's weights were compared with the probe."""
    if run.agreement is None:
        return 0
    rows = run.agreement[run.agreement["head"] != ""]
    return int(rows["taps"].max()) if len(rows) else 0


def relabelled(one: Sweep, other: Sweep) -> bool:
    """Whether two sweeps read the same backbone on the same recordings, most of them, under other labels."""
    if one.config["model"]["sha256"] != other.config["model"]["sha256"]:
        return False
    tables = (one.run.predictions, other.run.predictions)
    labels = [{Path(file).name: label for file, label in zip(table["file"], table["label"])} for table in tables]
    common = labels[0].keys() & labels[1].keys()
    differ = any(labels[0][name] != labels[1][name] for name in common)
    return differ and 2 * len(common) >= min(map(len, labels))


def _pipeline(sources: Sources, comparison: Comparison | None) -> Heads | None:
    """The heads of which the blend is made, where a member of it is called like one of their heads."""
    if comparison is None:
        return _first(sources.heads)
    names = {str(one["name"]) for one in comparison.config["members"]}
    fits = [one for one in sources.heads if one.config["scored"]["source"] != "focal" and names & set(one.parameters)]
    return _first([*fits, *sources.heads])


def _first(found):
    return next(iter(found), None)
