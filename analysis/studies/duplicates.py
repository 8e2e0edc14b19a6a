"""The same audio in two groups: what group folds cannot keep apart, found by file hash and by features.

A recording uploaded twice, or by two authors, stands on both sides of a split although groups are kept whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from ..vectors import check_taps

COLUMNS = ("first", "second", "same_file", "cosine")
TOLERANCE = 1e-6  # of 1 - cosine
_SLACK = 2e-5  # candidates are searched in float32, whose cosines err by less
_CHUNK_BYTES = 32 << 20
_SAMPLE = 2000  # random pairs that tell which tap separates rows best


@dataclass(frozen=True)
class DuplicatesEffect:
    """A score on all items (`score`, n) and on those that have no duplicate in another group (`score_without`,
    n_without; nan when none is left)."""

    score: float
    score_without: float
    n: int
    n_without: int


def near_duplicates(features: Mapping[str, np.ndarray], groups, sha256: Sequence[str] | None = None) -> pd.DataFrame:
    """Pairs of items in different groups that are the same file, or the same to the backbone at every tap.

    features: tap -> [n, d_tap], the same rows; groups [n]; sha256 [n] hashes of the files, where an empty one matches
    nothing (None when clips share a file). Columns COLUMNS, in order of rows: first < second (row numbers), same_file,
    cosine (the smallest over taps; a row of zeros has 1 with another such row and 0 with any other).
    """
    groups = np.unique(np.asarray(groups), return_inverse=True)[1]
    taps = sorted(check_taps(features, "duplicates", len(groups)), key=lambda x: x.shape[1])  # narrow ones first
    same = _same_hash(sha256, groups) if sha256 is not None else set()
    found = same | {(int(a), int(b)) for a, b in zip(*_candidates(taps, groups))}
    first, second = np.array(sorted(found), dtype=np.int64).reshape(-1, 2).T
    cosine = np.min([_cosine(x, first, second) for x in taps], axis=0)
    same_file = np.array([pair in same for pair in zip(first.tolist(), second.tolist())], dtype=bool)
    return pd.DataFrame({"first": first, "second": second, "same_file": same_file, "cosine": cosine})


def duplicated(pairs: pd.DataFrame, n: int) -> np.ndarray:
    """bool [n]: is the row in any of the pairs of `near_duplicates`?"""
    mask = np.zeros(n, dtype=bool)
    mask[pairs[["first", "second"]].to_numpy().ravel()] = True
    return mask


def without_duplicates_effect(correct, duplicated) -> DuplicatesEffect:
    """A score [n] with and without the items marked as duplicated, bool [n].

    The predictions stay what they are: duplicates are left out of the score, not of the training rows of others.
    """
    correct, duplicated = np.asarray(correct, dtype=np.float64), np.asarray(duplicated, dtype=bool)
    rest = correct[~duplicated]
    without = float(rest.mean()) if len(rest) else np.nan
    return DuplicatesEffect(float(correct.mean()), without, len(correct), len(rest))


def _same_hash(sha256: Sequence[str], groups: np.ndarray) -> set[tuple[int, int]]:
    rows: dict[str, list[int]] = {}
    for row, digest in enumerate(sha256):
        if isinstance(digest, str) and digest:
            rows.setdefault(digest, []).append(row)
    return {pair for same in rows.values() for pair in combinations(same, 2) if groups[pair[0]] != groups[pair[1]]}


def _candidates(taps: list[np.ndarray], groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """first, second [m] of all pairs within TOLERANCE at every tap, from a blockwise search at one of them."""
    n = len(groups)
    one, other = np.random.default_rng(0).integers(0, n, (2, _SAMPLE))
    loose = [np.mean(_cosine(x, one, other) >= 1 - TOLERANCE - _SLACK) for x in taps]
    narrow = taps[int(np.argmin(loose))]  # the narrowest of those that separate best
    unit = _unit(narrow).astype(np.float32)
    dead = np.asarray(~unit.any(axis=1))
    firsts, seconds = [], []
    step = max(1, _CHUNK_BYTES // (4 * n))
    for start in range(0, n, step):
        stop = min(start + step, n)
        near = unit[start:stop] @ unit[start:].T >= 1 - TOLERANCE - _SLACK
        near |= dead[start:stop, None] & dead[start:]
        near &= groups[start:stop, None] != groups[start:]
        first, second = np.nonzero(np.triu(near, 1))
        first, second = first + start, second + start
        for x in taps:
            kept = _cosine(x, first, second) >= 1 - TOLERANCE
            first, second = first[kept], second[kept]
        firsts.append(first)
        seconds.append(second)
    return np.concatenate([*firsts, []]).astype(np.int64), np.concatenate([*seconds, []]).astype(np.int64)


def _cosine(x: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """float64 [m] of pairs of rows, a bounded number of them at a time."""
    step = max(1, _CHUNK_BYTES // (8 * x.shape[1]))
    parts = [np.empty(0)]
    for start in range(0, len(first), step):
        a, b = _unit(x[first[start : start + step]]), _unit(x[second[start : start + step]])
        cosine = 1 - ((a - b) ** 2).sum(axis=1) / 2  # equal rows give exactly 1
        silent = (~a.any(axis=1)).astype(int) + ~b.any(axis=1)
        parts.append(np.where(silent == 1, 0.0, cosine))
    return np.concatenate(parts)


def _unit(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    x /= np.maximum(np.abs(x).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)  # no overflow in the norm
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float64).tiny)
