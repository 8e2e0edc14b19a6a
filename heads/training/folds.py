"""Folds over the rows of all sources, and the minibatches that a fold trains on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...features import InputError
from ...features.recordings import assign_folds
from ...features.schema import check_choice
from ...features.spelling import agree, counted
from ...finetune.data.folds import ALWAYS
from ..dataset import Data, groups_of, known

BY = ("group", "file", "given")


@dataclass(frozen=True, eq=False)
class Folds:
    """of_row: int64 [n], ALWAYS or 0..n-1; said: how they were made, in words. unseen: bool [K], classes of which no
    fold that is scored on them could learn: they are left out of the scores."""

    of_row: np.ndarray
    n: int
    said: str
    warnings: tuple[str, ...] = ()
    unseen: np.ndarray | None = None

    def split(self, fold: int, source: np.ndarray) -> "Split":
        """The split that holds out `fold`. source [n]: number of each row's source."""
        trains = self.of_row != fold
        rows = tuple(np.flatnonzero(trains & (source == s)) for s in range(source.max() + 1))
        return Split(rows, np.flatnonzero(~trains))


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers: train, one array per source (some may be empty); held, which it never sees."""

    train: tuple[np.ndarray, ...]
    held: np.ndarray


def make_folds(data: Data, n_folds: int, by: str | None = None, seed: int = 0) -> Folds:
    """Every labelled row in exactly one fold; clips of one group (else of one file) never apart.

    by: "group" (of soundscapes the site), stratified by the primary label for one store, or dealt by the hash of the
    group where windows have several labels and a class is too rare for that; "file", dealt by the hash of the file's
    name as in Yadav 2026; "given". Default: given folds where a source has them; else stratified for one store, and for
    several dealt by the hash of the group, since a competition has classes of a single recording. Dealt folds may hold
    all of a class: it is named, and left unscored. Pseudo-labelled rows are never scored: they train in every fold
    except that which holds out their file.
    InputError: fewer groups than folds, no given folds, a class that no fold can hold out (where stratified).
    """
    if by is not None:
        check_choice("--fold-by", by, BY)
    of_row, said, warnings = np.full(len(data.rows), ALWAYS), [], []
    for source in [name for name in data.sources if name != "pseudo"]:
        rows = data.rows[data.rows["source"] == source]
        clips = rows.drop_duplicates("unit")
        folds, words, warned = _fold_clips(clips, n_folds, by, len(data.sources) > 1, seed)
        at = dict(zip(clips["unit"], folds))
        of_row[rows.index] = [at[unit] for unit in rows["unit"]]
        prefix = f"{source}: " if len(data.sources) > 1 else ""
        said.append(prefix + words)
        warnings += [prefix + warning for warning in warned]
    n = int(of_row.max()) + 1
    labelled = {file: fold for file, fold in zip(data.rows["file"], of_row) if fold != ALWAYS}
    pseudo = (data.rows["source"] == "pseudo").to_numpy()
    of_row[pseudo] = [labelled.get(file, ALWAYS) for file in data.rows["file"][pseudo]]
    unseen = _in_one_fold(data, of_row)
    return Folds(of_row, n, "; ".join(said), (*warnings, *_said_of(unseen, data.labels)), unseen)


def _fold_clips(clips, n_folds, by, several, seed):
    """(fold per clip, words, warnings) of the clips of one source."""
    given, groups, names = known(clips["fold"]), known(clips["group"]), groups_of(clips)
    if by == "given" and None in given:
        raise InputError(
            "--fold-by given: expected a fold for each clip, got clips without one. Extract with --fold-regex?"
        )
    if by == "given" or (by is None and None not in given):
        return assign_folds(clips["label"], groups, given, n_folds, seed)
    if by == "file" or several:
        return *_dealt(clips["file"] if by == "file" else names, n_folds, seed), ()
    if not any(groups) and clips["file"].nunique() == len(clips):
        return assign_folds(clips["label"], None, None, n_folds, seed)  # with its warning
    several_labels = clips["labels"].str.contains(";", regex=False, na=False).any()
    if by == "group" and several_labels and _too_rare(clips["label"], names, n_folds):
        return *_dealt(names, n_folds, seed), ()
    return assign_folds(clips["label"], names, None, n_folds, seed)


def _too_rare(labels, groups: Sequence[str], n_folds: int) -> bool:
    """Whether a class has fewer clips than there are folds, or all of them in one group: no stratified folds then."""
    of_class = pd.DataFrame({"label": list(labels), "group": groups}).groupby("label")["group"]
    return bool((of_class.size() < n_folds).any() or (of_class.nunique() < 2).any())


def _dealt(groups: Sequence[str], n_folds: int, seed: int) -> tuple[np.ndarray, str]:
    """Groups in the order of a hash, dealt like cards: the same group, the same place, and no fold stays empty."""
    names = sorted(set(groups), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    if len(names) < n_folds:
        raise InputError(
            f"groups: expected at least {n_folds}, one a fold, got {len(names)}. Try --folds {len(names)}."
        )
    at = {name: i % n_folds for i, name in enumerate(names)}
    words = f"{n_folds} folds, {len(names)} files or groups dealt by the hash of their name with seed {seed}"
    return np.array([at[group] for group in groups]), words


def _in_one_fold(data: Data, of_row: np.ndarray) -> np.ndarray:
    """bool [K]: classes whose positives all lie in one fold."""
    targets, scored = data.targets.numpy() > 0.5, of_row != ALWAYS  # pseudo-labels are soft
    return np.array(
        [
            positive[scored].any() and not positive[~scored].any() and len(np.unique(of_row[positive & scored])) == 1
            for positive in targets.T
        ],
        dtype=bool,
    )


def _said_of(unseen: np.ndarray, labels: Sequence[str]) -> tuple[str, ...]:
    """A warning that names the classes, if there are any."""
    lost = [label for label, one in zip(labels, unseen) if one]
    if not lost:
        return ()
    shown = ", ".join(lost[:5]) + (", ..." if len(lost) > 5 else "")
    classes = f"{counted(len(lost), 'class')} {agree(len(lost), 'lies', 'lie')} in one fold"
    return (f"{classes}: {shown}. No head saw {agree(len(lost), 'it', 'them')} before it was scored: not scored.",)


class Batches:
    """Minibatches of one fold: a fixed share of each source, every row of a source equally often.

    A source is an endless row of permutations, from which each batch takes the next few. Its randomness is its own, so
    a fold sees the same batches whether it is trained alone or beside others.
    """

    def __init__(self, split: Split, batch_size: int, fractions: Sequence[float], mixup: float, seed: Sequence[int]):
        self.rng, self.mixup = np.random.default_rng(seed), mixup
        self.sources = [(rows, f) for rows, f in zip(split.train, fractions) if len(rows) and f > 0]
        if not self.sources:
            raise InputError(
                "training: expected rows in every fold, got a fold without any. Do the fractions fit the stores?"
            )
        self.sizes = portions(batch_size, [fraction for _, fraction in self.sources])
        self._rest = [np.empty(0, dtype=np.int64) for _ in self.sources]

    def epoch(self, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows [steps, B], their mixup partners [steps, B] (of the same batch), and the rows' own weight [steps, B]."""
        index = np.concatenate(
            [self._next(s, steps * size).reshape(steps, size) for s, size in enumerate(self.sizes)], axis=1
        )
        if not self.mixup:
            return index, index, np.ones(index.shape, dtype=np.float32)
        weight = self.rng.beta(self.mixup, self.mixup, size=index.shape)
        return index, self.rng.permuted(index, axis=1), weight.astype(np.float32)

    def _next(self, s: int, n: int) -> np.ndarray:
        pieces, have = [self._rest[s]], len(self._rest[s])
        while have < n:
            pieces.append(self.rng.permutation(self.sources[s][0]))
            have += len(pieces[-1])
        drawn = np.concatenate(pieces)
        self._rest[s] = drawn[n:]
        return drawn[:n]


def portions(batch_size: int, fractions: Sequence[float]) -> list[int]:
    """Rows of each source in a batch: the fractions, normalised to 1, rounded by largest remainder."""
    exact = batch_size * np.asarray(fractions, dtype=float) / sum(fractions)
    sizes = np.floor(exact).astype(int)
    for i in np.argsort(sizes - exact, kind="stable")[: batch_size - sizes.sum()]:
        sizes[i] += 1
    return sizes.tolist()
