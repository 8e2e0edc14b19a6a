"""Tables of made-up members, and the truth that some of them know through noise."""

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis import blending


def row_ids(n_files, per_file=12):
    return pd.Index([f"site_{i:03d}_{5 * (j + 1)}" for i in range(n_files) for j in range(per_file)], name="row_id")


def table(seed, n_files=4, k=3, per_file=12, levels=0):
    values = np.random.default_rng(seed).uniform(1e-4, 1 - 1e-4, (n_files * per_file, k))
    values = np.ceil(values * levels) / levels if levels else values
    return pd.DataFrame(values, index=row_ids(n_files, per_file), columns=[f"c{i}" for i in range(k)])


def truth_table(seed, n_files=20, k=8, share=0.15, per_file=12):
    drawn = np.random.default_rng([seed, 1]).random((n_files * per_file, k)) < share
    drawn[0], drawn[-1] = True, False  # every class has a positive and a negative row
    return pd.DataFrame(drawn, index=row_ids(n_files, per_file), columns=[f"c{i}" for i in range(k)])


def member(truth, noise, seed):
    """Scores of a member that knows the truth through Gaussian noise of its own."""
    z = truth.to_numpy() + noise * np.random.default_rng([*np.ravel(seed), 2]).standard_normal(truth.shape)
    return pd.DataFrame(0.5 + 0.02 * z, index=truth.index, columns=truth.columns)


spaces = pytest.mark.parametrize("space", blending.SPACES)
