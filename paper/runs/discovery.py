"""Which runs there are: each folder is recognised from its files.

    ranking.csv                         a sweep
    oof.npz and scores.csv              heads trained on cached features
    outcome.csv                         an experiment
    comparison.csv, X-comparison.csv    members and blends compared with the truth, one each
    foldK/log.csv                       a fine-tuned model

A folder may hold several; what lies in its sub-folders is not searched. A comparison may also be named by its CSV, or
by the submission beside which it lies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...features import InputError
from ...features.files import check_exists
from .readers import COMPARED, Comparison, Experiment, Heads, Member, Sweep

WANTED = (
    "ranking.csv (a sweep), oof.npz and scores.csv (heads), outcome.csv (an experiment), comparison.csv (a blend with "
    "--truth) or fold0/log.csv (a fine-tuned model)"
)
READERS = (  # kind, the files by which it is known, its reader
    ("sweeps", ("ranking.csv",), Sweep.of),
    ("heads", ("oof.npz", "scores.csv"), Heads.of),
    ("experiments", ("outcome.csv",), Experiment.of),
)


@dataclass(frozen=True, eq=False)
class Sources:
    """Runs of each kind, in the order given. Names are unique within a kind."""

    sweeps: tuple[Sweep, ...] = ()
    heads: tuple[Heads, ...] = ()
    experiments: tuple[Experiment, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    members: tuple[Member, ...] = ()

    @property
    def count(self) -> int:
        return sum(len(kind) for kind in vars(self).values())


def recognise(runs: Sequence[Path]) -> Sources:
    """The runs in these folders, or CSVs of comparisons. One that is given twice is read once.

    InputError: no such folder, nothing in it that a run leaves, or a run that is not whole.
    """
    found: dict[str, list] = {kind: [] for kind in ("sweeps", "heads", "experiments", "comparisons", "members")}
    for path in {Path(run).resolve(): Path(run) for run in runs}.values():
        for kind, ones in runs_in(path).items():
            found[kind] += ones
    found["comparisons"] = list({one.path.resolve(): one for one in found["comparisons"]}.values())
    return Sources(**{kind: tuple(apart(ones)) for kind, ones in found.items()})


def runs_in(path: Path) -> dict[str, list]:
    """kind -> the runs of that kind in a folder, or in the CSV of a comparison."""
    if path.is_file():
        return {"comparisons": [Comparison.of(path)]}
    check_exists(path, "a run")
    found: dict[str, list] = {
        kind: [of(path)] for kind, files, of in READERS if all((path / name).is_file() for name in files)
    }
    if tables := sorted({*path.glob(COMPARED), *path.glob(f"*-{COMPARED}")}):
        found["comparisons"] = [Comparison.of(one) for one in tables]
    if any(path.glob("fold*/log.csv")):
        found["members"] = [Member.of(path)]
    if not found:
        raise InputError(
            f"{path}: expected a run ({WANTED}), got none. Was it cut off, or is it in a folder further down?"
        )
    return found


def apart(ones: list) -> list:
    """Runs of one kind; where two have one name, the folder above is told too, then a number."""
    for tell in (lambda one, _: f"{one.path.resolve().parent.name}/{one.name}", lambda one, i: f"{one.name} ({i + 1})"):
        names = [one.name for one in ones]
        ones = [replace(one, name=tell(one, i)) if names.count(one.name) > 1 else one for i, one in enumerate(ones)]
    return ones
