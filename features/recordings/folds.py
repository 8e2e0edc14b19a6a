"""Cross-validation folds that never split a group."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from .. import InputError
from ..spelling import counted, some


def assign_folds(
    labels: Sequence[str],
    groups: Sequence[str | None] | None,
    given: Sequence[str | None] | None,
    n_folds: int,
    seed: int = 0,
    *,
    grouping: str = "",
    folding: str = "",
) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """(folds int64 [n] from 0 on, how they were made in words, warnings) for n clips.

    Given folds are used as they are. Else shuffled, stratified folds that never split a group; without groups that
    comes with a warning. `grouping` and `folding` are the words of a Recordings. Raises InputError when a class has
    fewer clips than folds, when there are fewer groups than folds, when a group lies in two given folds, or when a fold
    would leave a class without a clip to learn from.
    """
    labels = np.asarray(labels, dtype=str)
    groups = _known(groups)
    given = _known(given)
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise InputError(f"folds: expected at least two classes, got only {some(classes.tolist())}.")
    if given is not None:
        return _given_folds(labels, groups, given, folding)
    if n_folds < 2:
        raise InputError(f"--folds: expected at least 2, got {n_folds}.")
    smallest = int(counts.argmin())
    if counts[smallest] < n_folds:
        advice = f"try --folds {counts[smallest]}" if counts[smallest] > 1 else "leave it out, or add clips"
        raise InputError(
            f"class '{classes[smallest]}': {counted(counts[smallest], 'clip')}, fewer than the {n_folds} folds; "
            f"{advice}."
        )
    if groups is None:
        from sklearn.model_selection import StratifiedKFold

        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        folds = _numbered(splitter.split(labels, labels), len(labels))
        warning = (
            "no groups are known: clips of one recording or author may lie on both sides of a split, so accuracies "
            "come out too high. Give --group-regex or --groups?"
        )
        return folds, f"{n_folds} stratified folds, shuffled with seed {seed}, groups unknown", (warning,)
    return _grouped_folds(labels, groups, n_folds, seed, grouping)


def _known(values: Sequence[str | None] | None) -> list[str | None] | None:
    """None when nothing is known of any clip; an empty string is as unknown as None."""
    values = [None if value is None or value == "" else str(value) for value in ([] if values is None else values)]
    return values if any(value is not None for value in values) else None


def _given_folds(
    labels: np.ndarray, groups: list[str | None] | None, given: list[str | None], folding: str
) -> tuple[np.ndarray, str, tuple[str, ...]]:
    known = [fold for fold in given if fold is not None]
    if missing := len(given) - len(known):
        raise InputError(f"given folds: {counted(missing, 'clip')} without one, expected one each, or none at all.")
    names = sorted(set(known), key=lambda name: (len(name), name) if name.isdigit() else (math.inf, name))
    if len(names) < 2:
        raise InputError(f"given folds: expected at least 2, got only {some(names)}. Does the pattern find the fold?")
    homes: dict[str | None, set[str]] = defaultdict(set)
    for group, fold in zip(groups or [], known):
        homes[group].add(fold)
    torn = [group for group, folds in homes.items() if group is not None and len(folds) > 1]
    if torn:
        raise InputError(
            f"group '{torn[0]}': in the given folds {some(sorted(homes[torn[0]]))}, expected one "
            f"({counted(len(torn), 'group')} of {len(homes)} split). Clips of one group on both sides would leak."
        )
    folds = np.array([names.index(name) for name in known], dtype=np.int64)
    if lost := _unlearnable(labels, folds):
        clips = labels == lost[0]
        raise InputError(
            f"class '{lost[0]}': all {counted(clips.sum(), 'clip')} in the given fold '{known[int(clips.argmax())]}', "
            "so none is left to learn from. Leave the class out, or use --folds without given folds?"
        )
    source = f" ({folding})" if folding not in ("", "none") else ""
    return folds, f"{len(names)} given folds{source}", ()


def _grouped_folds(
    labels: np.ndarray, groups: list[str | None], n_folds: int, seed: int, grouping: str
) -> tuple[np.ndarray, str, tuple[str, ...]]:
    from sklearn.model_selection import StratifiedGroupKFold

    names, ids = np.unique([group or f"clip {i}" for i, group in enumerate(groups)], return_inverse=True)
    if len(names) < n_folds:
        raise InputError(
            f"groups: found {len(names)}, fewer than the {n_folds} folds; try --folds {max(2, len(names))}."
        )
    per_class = {label: len(np.unique(ids[labels == label])) for label in np.unique(labels)}
    scarcest = min(per_class, key=per_class.__getitem__)
    if per_class[scarcest] < 2:
        raise InputError(
            f"class '{scarcest}': all {counted((labels == scarcest).sum(), 'clip')} in one group, so the fold that "
            "tests them leaves none to learn from, whatever --folds is. Leave it out, or is the grouping too coarse?"
        )
    # The splitter is greedy: a shuffle can leave a fold empty, or put both groups of a class into one fold. The first
    # of 50 that does neither is taken.
    for attempt in range(50):
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed + 1000 * attempt)
        folds = _numbered(splitter.split(labels, labels, ids), len(labels))
        lost = _unlearnable(labels, folds)
        if len(np.unique(folds)) == n_folds and not lost:
            break
    else:
        where = f"class '{lost[0]}': its groups fall into one fold" if lost else "groups: a fold stays empty"
        raise InputError(f"{where} in each of 50 shuffles ({len(names)} groups, {n_folds} folds); try fewer --folds.")
    few = sorted(label for label, count in per_class.items() if count < n_folds)
    warnings = [f"{counted(len(few), 'class')} with fewer groups than the {n_folds} folds: {some(few)}."] if few else []
    source = f", {grouping}" if grouping not in ("", "none") else ""
    words = f"{n_folds} stratified folds, shuffled with seed {seed}, {len(names)} groups kept whole{source}"
    return folds, words, tuple(warnings)


def _numbered(splits: Iterable[tuple[np.ndarray, np.ndarray]], n: int) -> np.ndarray:
    """scikit-learn's (train, test) pairs as one fold number a clip, int64 [n]."""
    folds = np.empty(n, dtype=np.int64)
    for fold, (_, test) in enumerate(splits):
        folds[test] = fold
    return folds


def _unlearnable(labels: np.ndarray, folds: np.ndarray) -> list[str]:
    """Classes that lie in one fold alone."""
    return [str(label) for label in np.unique(labels) if len(np.unique(folds[labels == label])) < 2]
