"""Folds that hold every labelled row out once, and batches with the right shares."""

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis.metrics import macro_auc
from birdprobe.features import InputError
from birdprobe.heads.dataset import load
from birdprobe.heads.training.folds import ALWAYS, Batches, Split, make_folds, portions
from birdprobe.heads.training.loop import Settings
from birdprobe.heads.training.train import train
from tests.head_stores import make_rows, make_store


def loaded(tmp_path, *tables):
    return load([make_store(tmp_path / f"{i}.h5", table) for i, table in enumerate(tables)], "embedding")


def test_group_folds_keep_groups_whole_and_cover_every_row(tmp_path):
    data = loaded(tmp_path, make_rows())
    folds = make_folds(data, 3)
    assert folds.n == 3 and set(folds.of_row) == {0, 1, 2} and "stratified" in folds.said
    assert (data.rows.assign(fold=folds.of_row).groupby("group")["fold"].nunique() == 1).all()
    held = np.concatenate([folds.split(k, np.zeros(60, dtype=int)).held for k in range(3)])
    assert sorted(held) == list(range(60))
    assert np.array_equal(folds.of_row, make_folds(data, 3).of_row)


def test_given_folds_are_used_as_they_are(tmp_path):
    rows = make_rows()
    rows["fold"] = [str(5 + int(group[1]) % 2) for group in rows["group"]]
    folds = make_folds(loaded(tmp_path, rows), 5)
    assert folds.n == 2 and np.array_equal(folds.of_row, (rows["fold"] == "6").to_numpy().astype(int))


def test_given_folds_that_were_not_given(tmp_path):
    with pytest.raises(InputError, match="--fold-by given: expected a fold for each clip"):
        make_folds(loaded(tmp_path, make_rows()), 5, by="given")


def test_files_are_dealt_and_classes_of_one_file_are_named(tmp_path):
    rows = make_rows(clips=4)
    rows.loc[rows["clip"] == 0, ["label", "labels"]] = "rare"
    data = loaded(tmp_path, rows)
    folds = make_folds(data, 4, by="file")
    per_file = data.rows.assign(fold=folds.of_row).groupby("file")["fold"]
    assert (per_file.nunique() == 1).all() and per_file.first().value_counts().tolist() == [3, 3, 3, 3]
    assert any("1 class lies in one fold: rare" in warning for warning in folds.warnings)
    assert [label for label, unseen in zip(data.labels, folds.unseen) if unseen] == ["rare"]
    with pytest.raises(InputError, match="class 'rare'"):  # stratified folds cannot hold it out
        make_folds(data, 2)


def test_windows_of_several_labels_are_dealt_by_site_where_a_class_is_too_rare(tmp_path):
    rows = make_rows(clips=8)
    rows["group"] = [f"S{clip % 4}" for clip in rows["clip"]]
    rows.loc[rows["clip"] < 2, ["label", "labels"]] = "rare", "rare;" + rows["label"].iloc[-1]  # at two of four sites
    folds = make_folds(loaded(tmp_path, rows), 4, by="group")
    assert folds.n == 4 and "4 files or groups dealt" in folds.said and not folds.unseen.any()
    assert (rows.assign(fold=folds.of_row).groupby("group")["fold"].nunique() == 1).all()


def test_a_class_that_no_fold_could_learn_is_not_scored(tmp_path):
    rows = make_rows(clips=4)
    rows.loc[rows["clip"] == 0, ["label", "labels"]] = "rare"
    store = make_store(tmp_path / "store.h5", rows)
    trained = train([store], tmp_path / "run", Settings(epochs=1, folds=4, fold_by="file"), taps="embedding")
    pooled = trained.scores[(trained.scores["fold"] == "pooled") & (trained.scores["unit"] == "window")].iloc[0]
    data = load([store], "embedding")
    assert pooled["n_scored"] == len(data.labels) - 1 and any("not scored" in line for line in trained.warnings)
    truth = pd.read_csv(tmp_path / "run" / "oof" / "truth.csv", index_col=0).to_numpy() > 0
    scores = pd.read_csv(tmp_path / "run" / "oof" / "attention.csv", index_col=0).to_numpy()
    others = np.array(data.labels) != "rare"
    assert pooled["macro_auc"] == pytest.approx(macro_auc(truth[:, others], scores[:, others]), abs=1e-5)


def test_fewer_groups_than_folds(tmp_path):
    data = loaded(tmp_path, make_rows(clips=4))  # two groups a class
    with pytest.raises(InputError, match="fewer than the 7 folds"):
        make_folds(data, 7)
    with pytest.raises(InputError, match="groups: expected at least 13, one a fold, got 12"):
        make_folds(data, 13, by="file")
    with pytest.raises(InputError, match=r"`--fold-by` must be .*got 'moon'"):
        make_folds(data, 2, by="moon")


def test_pseudo_rows_are_held_out_with_their_file_only(tmp_path):
    tables = [make_rows(prefix="focal"), make_rows(clips=3, prefix="scape"), make_rows(clips=4, prefix="scape")]
    data = loaded(tmp_path, *tables)
    folds = make_folds(data, 3)
    labelled, pseudo = (data.rows["source"] == name for name in ("soundscape", "pseudo"))
    fold_of = dict(zip(data.rows["file"][labelled], folds.of_row[labelled]))
    for file, fold in zip(data.rows["file"][pseudo], folds.of_row[pseudo]):
        assert fold == fold_of.get(file, ALWAYS)
    assert (folds.of_row[pseudo] == ALWAYS).sum() == 6  # 3 clips of files that nobody labelled
    source = np.array([data.sources.index(name) for name in data.rows["source"]])
    for k in range(folds.n):
        split = folds.split(k, source)
        trained = np.concatenate(split.train)
        assert sorted([*trained, *split.held]) == list(range(len(data.rows)))
        assert not set(data.rows["file"][trained]) & set(data.rows["file"][split.held])


def test_portions():
    assert portions(64, (0.75, 0.15, 0.10)) == [48, 10, 6]
    assert portions(20, (0.75, 0.15)) == [17, 3]
    assert portions(7, (1,)) == [7]
    assert all(sum(portions(n, (0.5, 0.3, 0.2))) == n for n in range(1, 50))


def test_batches_hold_their_shares_and_visit_every_row_equally_often():
    split = Split((np.arange(30), np.arange(30, 37), np.empty(0, dtype=int)), np.empty(0, dtype=int))
    batches = Batches(split, 20, (0.75, 0.25, 0.5), 0.2, (0,))
    assert batches.sizes == [15, 5]  # the share of an empty source goes to the others
    drawn = [batches.epoch(7) for _ in range(2)]
    index = np.concatenate([part[0] for part in drawn])
    assert index.shape == (14, 20) and (index[:, :15] < 30).all() and (index[:, 15:] >= 30).all()
    counts = np.bincount(index.ravel())
    assert set(counts[:30]) == {7} and set(counts[30:]) == {10}  # 14 x 15 / 30 and 14 x 5 / 7
    for rows, partners, weight in drawn:
        assert np.array_equal(np.sort(rows, axis=1), np.sort(partners, axis=1))  # partners of the same batch
        assert weight.dtype == np.float32 and ((weight >= 0) & (weight <= 1)).all()


def test_mixup_weights_are_beta_and_off_is_off():
    split = Split((np.arange(50),), np.empty(0, dtype=int))
    weight = Batches(split, 50, (1,), 0.2, (1,)).epoch(200)[2]
    assert weight.mean() == pytest.approx(0.5, abs=0.02)
    assert weight.var() == pytest.approx(0.25 / 1.4, abs=0.01)  # of Beta(a, a): 1 / (4 (2a + 1))
    index, partner, weight = Batches(split, 50, (1,), 0.0, (1,)).epoch(3)
    assert np.array_equal(index, partner) and (weight == 1).all()


def test_nothing_to_train_on():
    with pytest.raises(InputError, match="expected rows in every fold"):
        Batches(Split((np.empty(0, dtype=int),), np.arange(3)), 4, (1,), 0.2, (0,))
