"""How alike the members of a blend are: rank correlations, since order is what ROC-AUC and a rank blend see."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ...features import InputError
from .. import predictions

COLUMNS = ("member", "other", "spearman", "spearman_min", "spearman_max", "n_classes")


def diversity(members: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a pair of members, in the order given, columns COLUMNS; equal values share their mean rank.

    spearman: Spearman's rho over all rows, mean over the classes in which both members vary; the least and the largest
    of these; n_classes: how many there are (0: nan).
    InputError, naming the member: rows or classes other than the first member's, bad values; fewer than two members.
    """
    if len(members) < 2:
        raise InputError(f"diversity: expected at least two members, got {len(members)}.")
    first = next(iter(members.values()))
    scaled = {name: _standardised(predictions.aligned(table, first, name)) for name, table in members.items()}
    rows = []
    for (name, one), (other, two) in combinations(scaled.items(), 2):
        rho = (one * two).sum(axis=0)
        rho = np.clip(rho[~np.isnan(rho)], -1, 1)
        low, mean, high = (rho.min(), rho.mean(), rho.max()) if len(rho) else (np.nan,) * 3
        rows.append((name, other, mean, low, high, len(rho)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _standardised(table) -> np.ndarray:
    """Ranks [n, K], every class centred and of length 1, so that products are correlations; nan where all are equal."""
    ranks = rankdata(table.to_numpy(), axis=0)
    ranks -= ranks.mean(axis=0)
    length = np.sqrt((ranks**2).sum(axis=0))
    return np.divide(ranks, length, out=np.full_like(ranks, np.nan), where=length > 0)
