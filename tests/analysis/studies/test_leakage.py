"""Random against group folds: nothing where there is nothing to leak, much where recordings are recognised."""

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis.studies import leakage
from birdprobe.features import InputError
from tests.swept import clips, make_sweep, vectors

TABLE = clips(3, 40, siblings=4)
LABELS, GROUPS = TABLE["label"].to_numpy(), TABLE["group"].to_numpy()


def test_recognised_recordings_leak_and_recognised_classes_do_not():
    features = {"own": vectors(TABLE, 0.0, own=8.0), "clean": vectors(TABLE, 3.0), "noise": vectors(TABLE, 0.0, seed=3)}
    found = leakage.compare(features, LABELS, GROUPS, k=3, repeats=5, n_boot=500).set_index("tap")
    own, clean, noise = (found.loc[tap] for tap in features)
    assert own["random"] > 0.8 and own["grouped"] < 0.6 and own["difference_lo"] > 0.2
    assert clean["grouped"] > 0.9 and abs(clean["difference"]) < 0.05
    assert noise["difference_lo"] < 0 < noise["difference_hi"]
    assert (found["difference"] - (found["random"] - found["grouped"])).abs().max() < 1e-12
    assert found["rank_random"].tolist() == [2, 1, 3]
    assert found[["n", "n_groups", "n_siblings"]].iloc[0].tolist() == [120, 30, 120]
    assert found["siblings"].to_numpy() == pytest.approx(found["difference"].to_numpy())  # every clip has siblings
    for name in ("random", "grouped", "difference"):
        assert ((found[f"{name}_lo"] <= found[name]) & (found[name] <= found[f"{name}_hi"])).all()


def test_clips_without_siblings_are_counted_apart():
    mixed = np.where(np.arange(120) % 40 < 20, GROUPS, [f"alone {i}" for i in range(120)])
    table = TABLE.assign(group=mixed)
    found = leakage.compare({"own": vectors(table, 0.0, own=8.0)}, LABELS, mixed, k=1, repeats=3, n_boot=200).iloc[0]
    assert found["n_siblings"] == 60 and found["n_groups"] == 75
    assert found["siblings"] > 1.5 * found["difference"] > 0


def test_the_same_seed_gives_the_same_table(tmp_path):
    run = make_sweep(tmp_path / "run")
    frame = leakage.of_run(run, repeats=2)
    pd.testing.assert_frame_equal(frame, leakage.of_run(run, repeats=2))
    assert frame["grouping"].iloc[0] == r"file-name pattern '^(G\d+)-'" and frame["n_groups"].iloc[0] == 18
    assert frame["tap"].tolist() == [*(f"block_{i:02d}" for i in range(4)), "embedding", "logits"]


def test_groups_of_one_row_cannot_leak():
    x = {"tap": vectors(TABLE, 1.0)}
    with pytest.raises(InputError, match="every group is one row, so nothing can leak"):
        leakage.compare(x, LABELS, np.arange(120))
