"""A teacher's soft labels for windows: from a store's logits, or from a CSV in the form of a submission.

    logits [w, M] -> the outputs that are classes, by `features.recordings.class_mapping` -> softmax at a temperature
                  -> shares [w, C], one row a window

A clip with a teacher is cut at the teacher's windows, so the student hears what the teacher heard. The shares stand
beside a window's labels as further columns of its target: augmentations mix both alike (the union of what is heard).
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from scipy.special import softmax

from ...analysis.predictions import files, read_predictions
from ...features import InputError
from ...features.audio import SUFFIXES
from ...features.recordings import Clip
from ...features.recordings.class_mapping import map_classes
from ...features.recordings.taxonomy import taxa_of
from ...features.spelling import some
from ...features.store import open_store
from ...probe.graph.load import load
from ...probe.models.contracts import labels_of
from ...probe.models.label_lists import beside
from ...probe.soundscapes.predictor import read_labels

TAP = "logits"
CERTAIN = 1e-6  # probabilities count from this on, and up to 1 less this
CHUNK = 4096  # rows of a store read at a time: a teacher may have many more columns than are wanted
NEAR_S = 1e-3


# file and start (s) of each window, names of the outputs, and what reads the logits of all of them, in pieces
Found = tuple[list[str], np.ndarray, Sequence[str], Callable[[], Iterator[np.ndarray]]]


@dataclass(frozen=True, eq=False)
class Teacher:
    """columns: int64 [C], the classes that the teacher knows. shares: float32 [rows, C], each row sums to 1. windows:
    recording -> (starts in seconds float64 [w], rows int64 [w]), starts sorted. weight: of its loss beside that of the
    labels. missing: the classes left out. how: in which way the others were found, in words."""

    source: str
    columns: np.ndarray
    shares: np.ndarray
    windows: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(repr=False)
    weight: float
    temperature: float
    missing: tuple[str, ...]
    how: str = ""

    def of_clip(self, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        """(starts from the clip's beginning in seconds, rows) of the windows that begin in it; none where it has none.

        A recording is found by its path, by its path without a suffix, or by its bare name.
        """
        path = PurePosixPath(clip.name)
        for key in (clip.name, str(path.with_suffix("")), path.stem):
            if key in self.windows:
                starts, rows = self.windows[key]
                begin = clip.start_s or 0.0
                inside = starts > begin - NEAR_S
                if clip.end_s is not None:
                    inside &= starts < clip.end_s - NEAR_S
                return starts[inside] - begin, rows[inside]
        return np.zeros(0), np.zeros(0, np.int64)

    def rows_at(self, clips: Sequence[Clip], owner: np.ndarray, window_s: float) -> np.ndarray:
        """The row of each window of the clips' whole grids, int64 [w], -1 where there is none. owner: sorted clips."""
        number = np.arange(len(owner)) - np.searchsorted(owner, owner)
        found = np.full(len(owner), -1, np.int64)
        for i in np.unique(owner):
            starts, rows = self.of_clip(clips[i])
            known = {round(start / NEAR_S): row for start, row in zip(starts, rows)}
            for at in np.flatnonzero(owner == i):
                found[at] = known.get(round(number[at] * window_s / NEAR_S), -1)
        return found

    def require(self, clips: Sequence[Clip]) -> str | None:
        """A warning where the teacher lacks some of the clips. InputError: it has none of them."""
        lacking = [clip.name for clip in clips if not len(self.of_clip(clip)[0])]
        if len(lacking) == len(clips):
            there = next(iter(self.windows))
            raise InputError(
                f"--teacher {self.source}: expected rows for the {len(clips)} clips, such as {clips[0].name}, got none "
                f"(it has {there!r}). Made from another AUDIO?"
            )
        return f"--teacher: no rows for {len(lacking)} of {len(clips)} clips: {some(lacking)}." if lacking else None

    def to_json(self) -> dict:
        """What the weights depend on, for config.json and checkpoints."""
        digest = hashlib.sha256(self.shares.tobytes() + self.columns.tobytes())
        for name in sorted(self.windows):
            digest.update(name.encode("utf-8", "surrogateescape") + b"".join(a.tobytes() for a in self.windows[name]))
        said = {"weight": self.weight, "temperature": self.temperature, "classes": len(self.columns)}
        return {**said, "sha256": digest.hexdigest()}


def read_teacher(
    path: Path,
    classes: Sequence[str],
    window_s: float,
    *,
    labels: Path | None = None,
    taxonomy: Path | None = None,
    renames: Path | None = None,
    weight: float = 1.0,
    temperature: float = 2.0,
) -> Teacher:
    """The soft labels in a store, or in a CSV (row_id and classes, probabilities).

    A class has the teacher's output of its label, its names or their renames, never those of its genus: they would
    teach the class what its relatives sing.

    Args:
        path: of the store or the CSV.
        classes: of the student, in order.
        window_s: seconds that the student hears; the teacher's windows are as long.
        labels: a file that names the store's logits, one a line; None: as the model that made them says.
        taxonomy: a taxonomy.csv with the classes' names; None: a label is a name.
        renames: a table (class, output) of which outputs are a class's, before all names.
        weight, temperature: of the loss.

    Raises:
        InputError: a damaged file, no logits or no names for them, fewer than two classes in common, windows of
            another length, values that are not finite, a weight or temperature that is none; what `taxa_of` and
            `map_classes` refuse.
    """
    if not 0 < weight < np.inf:
        raise InputError(f"`--distill-weight` must be more than 0, got {weight}.")
    if not 0 < temperature < np.inf:
        raise InputError(f"`--temperature` must be more than 0, got {temperature}.")
    if Path(path).suffix.lower() == ".csv":
        if labels is not None:
            raise InputError(f"--teacher-labels: {path} names its columns itself; they go with a store.")
        names, starts, theirs, logits = _of_csv(Path(path), window_s)
    else:
        names, starts, theirs, logits = _of_store(Path(path), window_s, labels)
    mapping = map_classes(taxa_of(classes, taxonomy), theirs, renames, genus=False)
    known = np.flatnonzero(mapping.mapped)
    if len(known) < 2:
        raise InputError(
            f"--teacher {path}: expected at least two of the {len(classes)} classes ({some(classes)}) among its "
            f"columns, got {len(known)}. Other names for the same species? Give a table class,output with --renames."
        )
    outputs = [list(mapping.outputs[k]) for k in known]
    parts = [np.stack([part[:, each].max(axis=1) for each in outputs], axis=1) for part in logits()]
    values = np.concatenate(parts).astype(np.float64) / temperature
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise InputError(f"--teacher {path}: expected finite values, got others in row {row} ({names[row]}).")
    return Teacher(
        source=str(path),
        columns=known.astype(np.int64),
        shares=softmax(values, axis=1).astype(np.float32),
        windows=_by_recording(names, starts),
        weight=weight,
        temperature=temperature,
        missing=tuple(name for name, found in zip(classes, mapping.mapped) if not found),
        how=str(mapping),
    )


def _of_csv(path: Path, window_s: float) -> Found:
    table = read_predictions(path)
    names = [str(name) for name in files(table.index)]
    try:
        ends = np.array([float(str(row)[len(name) + 1 :]) for row, name in zip(table.index, names)])
    except ValueError:
        raise InputError(f"--teacher {path}: expected row ids such as NAME_5, got {table.index[0]!r}.") from None
    if (ends < window_s - NEAR_S).any():
        raise InputError(f"--teacher {path}: rows of {ends.min():g} s, but windows have {window_s:g} s. Give --row?")
    p = table.to_numpy().clip(CERTAIN, 1 - CERTAIN)
    values = np.log(p) - np.log1p(-p)
    return names, ends - window_s, list(table.columns), lambda: iter([values])


def _of_store(path: Path, window_s: float, labels: Path | None) -> Found:
    with open_store(path) as store:
        if TAP not in store.taps:
            raise InputError(f"--teacher {path}: expected the tap {TAP}, got {', '.join(store.taps)}.")
        if abs(store.key.window_s - window_s) > NEAR_S or store.key.speed != 1.0:
            speed = "" if store.key.speed == 1.0 else f" at speed {store.key.speed:g}"
            raise InputError(
                f"--teacher {path}: windows of {store.key.window_s:g} s{speed} found, {window_s:g} s as the student "
                "hears wanted. Another teacher?"
            )
        rows, width = store.rows(), int(store.dims[TAP][-1])
        theirs = read_labels(labels) if labels else _said(path, store.meta.get("model"))
    if len(theirs) != width:
        raise InputError(
            f"{labels or path}: {len(theirs)} names for the {width} logits of --teacher {path}. Give one label a line "
            "with --teacher-labels FILE?"
        )

    def logits() -> Iterator[np.ndarray]:
        with open_store(path) as store:
            for i in range(0, len(rows), CHUNK):
                yield store.read(TAP, slice(i, i + CHUNK))

    return list(rows["file"]), rows["start_s"].to_numpy(np.float64), theirs, logits


def _said(store: Path, model: str | None) -> tuple[str, ...]:
    """The names of its classes in the model that made a store, or in a list beside it; () where nothing says any."""
    for place in (Path(model), store.parent / model) if model else ():
        if place.is_file():
            return labels_of(load(place)) or beside(place)[0]
    return ()


def _by_recording(names: Sequence[str], starts: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Recording -> its windows; also under its name without suffix or folders, where no other recording has that."""
    of_name: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        of_name[name].append(row)
    found = {}
    for name, rows in of_name.items():
        order = np.array(rows)[np.argsort(starts[rows], kind="stable")]
        found[name] = (starts[order], order)
    short: dict[str, set[str]] = defaultdict(set)
    for name in of_name:
        path = PurePosixPath(name)
        for key in (str(path), path.name):  # a row id's recording has no suffix, a store's has
            short[key.removesuffix(path.suffix) if path.suffix.lower() in SUFFIXES else key].add(name)
    return {**{key: found[next(iter(same))] for key, same in short.items() if len(same) == 1}, **found}
