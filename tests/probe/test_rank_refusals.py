"""Ranking arrays: whatever is given instead of features and labels is one line, or ranked as it is meant."""

import numpy as np
import pandas as pd
import pytest

import birdprobe as bp
from birdprobe.features import InputError

X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
Y = ["a", "b", "c"] * 10


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"labels": [np.nan, *Y[1:]]}, "row 0 has no label, got nan"),
        ({"labels": [*Y[:-1], None]}, "row 29 has no label, got None"),
        ({"labels": [*Y[:-1], pd.NA]}, "row 29 has no label, got <NA>"),
        ({"labels": [*Y[:-1], " "]}, "row 29 has no label, got ' '"),
        ({"labels": [("a", np.nan)] * 30}, "row 0 has no label, got nan"),
        ({"labels": [()] * 30}, "row 0 has no label. Leave"),
        ({"labels": None}, "`labels` must be a sequence such as a list, got None"),
        ({"labels": 5}, "`labels` must be a sequence"),
        ({"labels": "abc"}, "`labels` must be a sequence"),
        ({"labels": {"a": 1}}, "`labels` must be a sequence"),
        ({"features": {"t": X.astype(str)}}, "real numbers, got <U"),
        ({"features": {"t": X.astype(object)}}, "real numbers, got object"),
        ({"features": {"t": X + 1j}}, "real numbers, got complex"),
        ({"features": {"t": None}}, r"expected features \[n, d\]"),
        ({"features": {"t": [[1, 2], [3]] * 15}}, "tap 't' must be .* rows of several lengths"),
        ({"features": {1: X}}, "names of taps that are text, got 1"),
        ({"features": {("t", 1): X}}, "names of taps that are text"),
        ({"seed": -1}, "`--seed` must be a whole number from 0"),
        ({"k": 0}, "`k` must be at least 1, got 0"),
        ({"groups": [np.nan] * 30}, "row 0 has no group, got nan"),
        ({"folds": [None] * 30}, "row 0 has no fold, got None"),
        ({"folds": [0, 1] * 10}, "20 folds, 30 labels"),
    ],
)
def test_what_cannot_be_ranked_is_one_line(given, said):
    with pytest.raises(InputError, match=said) as raised:
        bp.rank(**{"features": {"t": X}, "labels": Y} | given)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("labels", [np.array(Y), pd.Series(Y, index=range(5, 35)), [[y] for y in Y], tuple(Y)])
def test_labels_in_any_sequence_rank_alike(labels):
    found = bp.rank({"t": pd.DataFrame(X)}, labels, readout="centroid")
    assert found.table["score"].tolist() == bp.rank({"t": X.tolist()}, Y, readout="centroid").table["score"].tolist()


def test_stores_to_rank_are_at_least_one():
    with pytest.raises(InputError, match="`stores` must name at least one store"):
        bp.rank_stores([])


def test_sweeps_to_compare_come_in_a_list(tmp_path):
    run = bp.SweepResult("run")
    for runs, said in (((run, run), "`runs` must be a sequence such as a list, got a SweepResult"),
                       (([run], run), "`output` must be a path or text or None, got a SweepResult"),
                       (([run, 3],), "`runs` must be sweeps or paths, got int"),
                       (([tmp_path, tmp_path / "features.h5"],), "the same run is given twice")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            bp.compare(*runs)
