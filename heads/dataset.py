"""What the heads train on: rows of one or several stores in memory, with their targets.

The taps that a head needs are read once and indexed directly: random minibatches from the file, or through a
DataLoader, take longer than the training itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..features import InputError
from ..features.store import FeatureStore, StoreKey
from ..finetune.data.targets import multi_hot
from .inputs import assemble, key_difference, parse_tokens, taps_of

SOURCES = ("focal", "soundscape", "pseudo")  # what the first, second and third store are


@dataclass(frozen=True, eq=False)
class Data:
    """Rows of all sources, one after another.

    xs: token -> float32 [n, width]; targets: float32 [n, K], 1 for every label of a row (primary and secondary);
    labels: names of the K columns; rows: the stores' row tables [n] with the columns `source` (name) and `unit` (int:
    one number per clip of a source); key: of the first store; warnings: what the user should know; first_pass: logits
    float32 [n, K] of another predictor, NaN where a class has none.
    """

    xs: dict[str, torch.Tensor]
    targets: torch.Tensor
    labels: tuple[str, ...]
    rows: pd.DataFrame
    key: StoreKey
    warnings: tuple[str, ...] = ()
    first_pass: torch.Tensor | None = None

    @property
    def widths(self) -> dict[str, int]:
        return {token: x.shape[1] for token, x in self.xs.items()}

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.rows["source"]))


def load(stores: Sequence[Path], taps: str | Sequence[str], *, labels: Sequence[str] | None = None) -> Data:
    """Read `taps` (command-line text or tokens) of one store per source. labels: the columns, in order (a taxonomy);
    without them the taxonomy that came with the stores of a competition, else every label that occurs, sorted.

    InputError: a store that is still being written, stores of different keys, an unknown tap, features that are not
    finite, a label outside `labels`. Columns without any positive are warned about by name.
    """
    if not 1 <= len(stores) <= len(SOURCES):
        raise InputError(f"expected 1 to {len(SOURCES)} stores ({', '.join(SOURCES)}), got {len(stores)}.")
    pieces, tables, taxonomies = [], [], {}
    keys: list[StoreKey] = []
    for path, name in zip(stores, SOURCES):
        with FeatureStore.open(path) as store:
            if not store.complete:
                raise InputError(
                    f"{path}: expected a complete store, got an unfinished one. Is it still being written? The same "
                    "extract command resumes it."
                )
            text = taps if isinstance(taps, str) else ",".join(taps)
            tokens = parse_tokens(text, keys[0].taps if keys else store.taps)
            if keys and (difference := key_difference(store.key, keys[0], tokens)):
                raise InputError(f"{path}: {difference} (expected as in {stores[0]})")
            features = {tap: _finite(store.read(tap), path, tap) for tap in taps_of(tokens)}
            pieces.append(dict(zip(tokens, assemble(features, tokens))))
            tables.append(store.rows().assign(source=name))
            keys.append(store.key)
            if classes := store.meta.get("classes"):
                taxonomies[path] = tuple(classes)
    rows = pd.concat(tables, ignore_index=True)
    rows["unit"] = rows.groupby(["source", "clip"], sort=False).ngroup()
    names_of = [label_set(text) for text in rows["labels"]]
    labels = _common(taxonomies) if labels is None else labels
    columns = tuple(sorted({name for row in names_of for name in row}) if labels is None else labels)
    targets = multi_hot(names_of, columns)
    return Data(
        xs={token: torch.cat([piece[token] for piece in pieces]) for token in tokens},
        targets=torch.from_numpy(targets),
        labels=columns,
        rows=rows,
        key=keys[0],
        warnings=_all_negative(targets, columns),
    )


def _common(taxonomies: Mapping[Path, tuple[str, ...]]) -> tuple[str, ...] | None:
    """The classes that every store names that names any."""
    if len(set(taxonomies.values())) > 1:
        raise InputError(f"{', '.join(map(str, taxonomies))}: made with different taxonomies. Say which: --taxonomy.")
    return next(iter(taxonomies.values()), None)


def label_set(text: str | None) -> tuple[str, ...]:
    """The labels of a row: its text split at `;`, blanks around names and empty names dropped."""
    return tuple(name for name in (part.strip() for part in (text or "").split(";")) if name)


def known(values) -> list[str | None]:
    """A text column of a row table; whatever is no text (None, NaN) or empty is None."""
    return [value if isinstance(value, str) and value else None for value in values]


def groups_of(rows: pd.DataFrame) -> list[str]:
    """The group of each row, its file where none is known."""
    return [group or file for group, file in zip(known(rows["group"]), rows["file"])]


def _finite(features: np.ndarray, path: Path, tap: str) -> torch.Tensor:
    x = torch.from_numpy(features).float()
    bad = ~torch.isfinite(x.flatten(1)).all(dim=1)
    if bad.any():
        raise InputError(
            f"{path}, tap {tap}: expected numbers, got NaN or infinity in {int(bad.sum())} rows (first: row "
            f"{int(bad.nonzero()[0])}). Damaged? `birdprobe store check` tells more."
        )
    return x


def _all_negative(targets: np.ndarray, labels: Sequence[str]) -> tuple[str, ...]:
    empty = [label for label, positives in zip(labels, targets.sum(axis=0)) if not positives]
    if not empty:
        return ()
    shown = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
    return (f"{len(empty)} of {len(labels)} classes without a positive row: {shown}. Nothing can be learned of them.",)
