"""A backbone's outputs for a competition's classes: by label, by name, by former name, by genus.

    class's label = output's                          an eBird code, say
    scientific name, then common name                 any case; "Turdus merula_Common Blackbird" has both
    a scientific name's renames                       renames.csv here, and a table of the user's own
    the genus                                         the highest logit over its species, for a class that has none

What is left has no output. Names are compared, nothing is guessed: a mapping says how each class was found.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import InputError
from .tables import read_csv
from .taxonomy import Taxon

RENAMES = Path(__file__).with_name("renames.csv")
HOW = ("label", "scientific name", "common name", "rename", "own table", "genus", "none")


def highest(logits: np.ndarray, outputs: Sequence[Sequence[int]]) -> np.ndarray:
    """[n, outputs] -> float32 [n, K]: of each class the highest of its outputs, NaN where it has none."""
    found = np.full((len(logits), len(outputs)), np.nan, np.float32)
    for k, each in enumerate(outputs):
        if len(each):
            found[:, k] = logits[:, list(each)].max(axis=1)
    return found


@dataclass(frozen=True, eq=False)
class ClassMapping:
    """classes [K]: taxonomy labels. n_outputs: the backbone's. outputs [K]: the numbers of each class's outputs, of
    which it gets the maximum; empty where it has none. how [K]: one of HOW."""

    classes: tuple[str, ...]
    n_outputs: int
    outputs: tuple[tuple[int, ...], ...]
    how: tuple[str, ...]

    @property
    def mapped(self) -> np.ndarray:
        """bool [K]: the classes that have an output."""
        return np.array([bool(each) for each in self.outputs], dtype=bool)

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """[n, outputs] -> float32 [n, K], NaN where a class has no output."""
        if logits.ndim != 2 or logits.shape[1] != self.n_outputs:
            raise InputError(
                f"logits: expected {self.n_outputs} a window, as many as labels, got {logits.shape[1:]}. A label list "
                "of another model?"
            )
        return highest(logits, self.outputs)

    def __str__(self) -> str:
        counts = Counter(self.how)
        parts = [f"{counts[how]} by {how}" for how in HOW[:-1] if counts[how]]
        without = [name for name, how in zip(self.classes, self.how) if how == "none"]
        lost = f"; without an output: {', '.join(without[:5])}{', ...' * (len(without) > 5)}" if without else ""
        return (
            f"{len(self.classes) - len(without)} of {len(self.classes)} classes have an output of the backbone"
            f"{' (' if parts else ''}{', '.join(parts)}{')' if parts else ''}{lost}"
        )


def map_classes(
    taxa: Sequence[Taxon], labels: Sequence[str], renames: Path | str | None = None, genus: bool = True
) -> ClassMapping:
    """The outputs named `labels` for the classes `taxa`.

    Args:
        taxa: the classes in order, see `taxonomy.read_taxa`.
        labels: the backbone's label list in the order of its outputs: eBird codes, scientific names, common names, or
            "Scientific name_Common name".
        renames: a table of the user's own with the columns class and output (a label of `labels`), which goes first:
            several rows of one class give it the maximum.
        genus: whether a class without an output gets the maximum over its genus.

    Raises: InputError for no label, a table of renames that cannot be read or names no class or output.
    """
    if not labels:
        raise InputError("label list: expected the backbone's labels, got none.")
    at = _places(labels)
    own = _own(renames, taxa, at) if renames else {}
    synonyms = read_renames()
    genera: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        if len(words := label.partition("_")[0].split()) > 1:
            genera.setdefault(_key(words[0]), []).append(i)
    found = []
    for taxon in taxa:
        name = _key(taxon.scientific_name)
        tries: list[tuple[str, Iterable[int]]] = [
            ("own table", own.get(taxon.label, ())),
            ("label", at.get(_key(taxon.label), ())),
            ("scientific name", at.get(name, ())),
            ("common name", at.get(_key(taxon.common_name), ())),
            ("rename", [i for other in synonyms.get(name, ()) for i in at.get(other, ())]),
            ("genus", genera.get(_key(taxon.genus), ()) if genus else ()),
            ("none", ()),
        ]
        found.append(next((how, tuple(which)) for how, which in tries if tuple(which) or how == "none"))
    return ClassMapping(
        classes=tuple(taxon.label for taxon in taxa),
        n_outputs=len(labels),
        outputs=tuple(which for _, which in found),
        how=tuple(how for how, _ in found),
    )


def read_renames(path: Path | str = RENAMES) -> dict[str, tuple[str, ...]]:
    """A scientific name -> the other names of that species, over any number of renames, lower case."""
    groups: dict[str, set[str]] = {}
    for _, row in read_csv(Path(path), ("former", "current"))[1]:
        pair = {_key(row["former"]), _key(row["current"])}
        joined = set().union(pair, *(groups.get(name, set()) for name in pair))
        for name in joined:
            groups[name] = joined
    return {name: tuple(sorted(others - {name})) for name, others in groups.items()}


def _places(labels: Sequence[str]) -> dict[str, list[int]]:
    """Name in lower case -> the outputs that have it: the whole label and, of "Scientific_Common", both parts."""
    found: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        for name in dict.fromkeys((label, *(label.split("_") if " " in label.partition("_")[0] else ()))):
            if key := _key(name):
                found.setdefault(key, []).append(i)
    return found


def _own(path: Path | str, taxa: Sequence[Taxon], at: dict[str, list[int]]) -> dict[str, list[int]]:
    path, known = Path(path), {taxon.label for taxon in taxa}
    found: dict[str, list[int]] = {}
    for line, row in read_csv(path, ("class", "output"))[1]:
        label, output = row["class"].strip(), row["output"]
        if label not in known:
            raise InputError(f"{path}, line {line}: expected a class of the taxonomy, got {label!r}.")
        if _key(output) not in at:
            raise InputError(f"{path}, line {line}: expected a label of the backbone's list, got {output!r}.")
        found.setdefault(label, []).extend(i for i in at[_key(output)] if i not in found.get(label, ()))
    return found


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()
