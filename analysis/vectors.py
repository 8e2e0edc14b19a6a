"""The features that a number is made of: checked once, in the same words wherever they are wrong."""

from collections.abc import Mapping

import numpy as np

from ..features import InputError


def check_vectors(x, place: str, n: int | None = None) -> np.ndarray:
    """x as an array [n, d]. InputError, begun by `place`: not [n, d], no numbers in it, or some that are not finite."""
    x = np.asarray(x)
    if x.ndim != 2 or not x.size or n not in (None, len(x)):
        raise InputError(f"{place}: expected [{'n' if n is None else n}, d], got features {x.shape}. A map?")
    if not np.isfinite(np.min(x)) or not np.isfinite(np.max(x)):  # no n x d temporary; NaN propagates through both
        raise InputError(f"{place}: expected numbers, got features that are not finite. Overflow in float16?")
    return x


def check_taps(features: Mapping[str, np.ndarray], place: str, n: int) -> list[np.ndarray]:
    """`check_vectors` of every tap, all of n rows; InputError where there is no tap."""
    if not features:
        raise InputError(f"{place}: expected at least one tap, got none.")
    return [check_vectors(x, f"{place}, tap {tap}", n) for tap, x in features.items()]
