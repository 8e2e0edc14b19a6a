"""How counts become shifts of log-odds: the two families of site and hour priors in use.

laplace  shift = log(P(s | site, hour) / P(s)); both rates (positives + 1) / (windows + 2), of the cell and of all.
         Rows of a site and hour without labelled windows stay as they are. Weight 0.5 in use (1.0 has hurt).
         Add-one pulls a cell of few windows towards one half, so there even classes never heard gain: rank against
         rows of well-known cells moves for no reason. `towards="base"` pulls to the class's rate over all instead:
         (positives + 2 P(s)) / (windows + 2).
shrunk   shift = logit(P), P clipped to eps = 1e-4 from 0 and 1. P starts from the rate over all; then the hour's rate
         gets the weight n / (n + 8), then the site's n / (n + 8), then the cell's n / (n + 4), each pulling what came
         before. Hours are smoothed first, counts and windows alike, by a circular Gaussian of sigma 1.5 h whose
         weights sum to 1. Rows of unknown site and hour get the rate over all. Weight 0.4 in use.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from ...features import InputError
from .counts import HOURS, Counts


@dataclass(frozen=True)
class Laplace:
    """pseudo: positives added to a cell, and as many windows without the class; 1 is Laplace's rule."""

    pseudo: float = 1.0
    towards: str = "half"
    kind: ClassVar[str] = "laplace"
    weight: ClassVar[float] = 0.5

    def __str__(self):
        return self.kind + (" towards base" if self.towards == "base" else "")

    def __post_init__(self):
        if not 0 < self.pseudo < np.inf or self.towards not in ("half", "base"):
            raise InputError(
                f"Laplace prior: expected above 0, half or base, got pseudo {self.pseudo}, towards {self.towards!r}."
            )

    def shifts(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        """(float64 [sites + 1, 24 + 1, K], bool [sites + 1, 24 + 1] where it applies); the last of each is unknown."""
        n, positives = _with_unknown(counts)
        base = _laplace(counts.positives.sum(axis=(0, 1)), counts.n.sum(), self.pseudo, 0.5)
        rate = _laplace(positives, n[..., None], self.pseudo, 0.5 if self.towards == "half" else base)
        known = n > 0
        return np.where(known[..., None], np.log(rate / base), 0.0), known


@dataclass(frozen=True)
class Shrunk:
    """hour, site, cell: windows at which a level's own rate weighs one half. sigma: hours. eps: of the clipped rate."""

    hour: float = 8.0
    site: float = 8.0
    cell: float = 4.0
    sigma: float = 1.5
    eps: float = 1e-4
    kind: ClassVar[str] = "shrunk"
    weight: ClassVar[float] = 0.4

    def __str__(self):
        return self.kind

    def __post_init__(self):
        if not all(0 < value < np.inf for value in asdict(self).values()) or self.eps >= 0.5:
            raise InputError(f"shrunk prior: expected numbers above 0, eps below one half, got {asdict(self)}.")

    def shifts(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        """As `Laplace.shifts`. A site or an hour with labels is enough for it to apply."""
        n, positives = _with_unknown(counts)
        weights = _circle(self.sigma)
        hour_n, hour_positives = np.zeros((1, HOURS + 1)), np.zeros((1, *positives.shape[1:]))
        hour_n[0, :HOURS] = weights @ counts.n.sum(axis=0)
        hour_positives[0, :HOURS] = weights @ counts.positives.sum(axis=0)
        rate = counts.positives.sum(axis=(0, 1)) / counts.n.sum()
        rate = _pulled(rate, hour_positives, hour_n, self.hour)
        rate = _pulled(rate, positives.sum(axis=1, keepdims=True), n.sum(axis=1, keepdims=True), self.site)
        rate = np.clip(_pulled(rate, positives, n, self.cell), self.eps, 1 - self.eps)
        known = (n.sum(axis=1, keepdims=True) > 0) | (n.sum(axis=0, keepdims=True) > 0)
        return np.log(rate) - np.log1p(-rate), known


FAMILIES = {family.kind: family for family in (Laplace, Shrunk)}


def make_family(kind: str, constants: dict[str, Any]) -> Laplace | Shrunk:
    """By its kind. InputError: an unknown kind, constants that it does not have or that cannot be."""
    if kind not in FAMILIES:
        raise InputError(f"prior: expected {' or '.join(FAMILIES)}, got {kind!r}.")
    try:
        return FAMILIES[kind](**constants)
    except TypeError as error:
        raise InputError(f"prior of kind {kind}: constants {constants} found ({error}).") from error


def _with_unknown(counts):
    """(n, positives) with one more site and one more hour, of which nothing is known."""
    return np.pad(counts.n, ((0, 1), (0, 1))), np.pad(counts.positives, ((0, 1), (0, 1), (0, 0)))


def _laplace(positives, n, pseudo, centre):
    return (positives + 2 * pseudo * centre) / (n + 2 * pseudo)


def _pulled(rate, positives, n, half):
    """rate drawn towards positives / n with the weight n / (n + half)."""
    own = np.divide(positives, n[..., None], out=np.zeros_like(positives), where=n[..., None] > 0)
    weight = (n / (n + half))[..., None]
    return (1 - weight) * rate + weight * own


def _circle(sigma) -> np.ndarray:
    """[24, 24] Gaussian weights of hours around the clock, every row summing to 1."""
    apart = abs(np.arange(HOURS)[:, None] - np.arange(HOURS))
    weights = np.exp(-0.5 * (np.minimum(apart, HOURS - apart) / sigma) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)
