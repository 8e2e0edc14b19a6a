"""Reading a run folder: tables as they are, and one clear line for a folder that is not one."""

import json
import shutil

import pandas as pd
import pytest

from birdprobe.analysis.runs import Run
from birdprobe.features import InputError
from tests.runs import make_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def test_a_run_says_what_was_counted(run):
    data = Run(run)
    assert data.counted == "400 clips in 200 groups, 10 classes; 5-NN, Euclidean distance"
    assert list(data.ranking.index) == [f"block_{i:02d}" for i in range(16)] + ["embedding", "logits"]
    assert data.best not in data.tied


def test_unknown_grouping_counts_no_groups(run):
    edit(run, lambda config: config.update(grouping="none"))
    assert Run(run).n_groups is None
    assert Run(run).counted.startswith("400 clips, 10 classes")


def test_labels_that_look_like_gaps_or_numbers_stay_labels(run):
    for table in ("predictions.csv", "projection.csv"):  # "NA" is a class of somebody's, and so is "007"
        frame = pd.read_csv(run / table).replace({"dog": "NA", "rain": "007"})
        frame.to_csv(run / table, index=False)
    assert {"NA", "007"} <= set(Run(run).predictions.label)
    assert {"NA", "007"} <= set(Run(run).projection.label)


def edit(run, change):
    config = json.loads((run / "config.json").read_text())
    change(config)
    (run / "config.json").write_text(json.dumps(config))


def test_cut_off_config(run):
    (run / "config.json").write_text('{"model": {')
    with pytest.raises(InputError, match=r"config\.json: cannot be read as JSON \(.*\)"):
        Run(run).config  # noqa: B018


@pytest.mark.parametrize("key", ["model", "answer", "settings", "audio", "folds"])
def test_config_without_a_part(run, key):
    edit(run, lambda config: config.pop(key))
    with pytest.raises(InputError, match=rf"config\.json: no {key}\."):
        Run(run).config  # noqa: B018


def test_table_without_a_column(run):
    pd.read_csv(run / "ranking.csv").drop(columns=["knn_lo", "logme"]).to_csv(run / "ranking.csv", index=False)
    with pytest.raises(InputError, match=r"ranking\.csv: lacks column knn_lo, logme"):
        Run(run).ranking  # noqa: B018


def test_predictions_without_a_tap(run):
    pd.read_csv(run / "predictions.csv").drop(columns="block_03").to_csv(run / "predictions.csv", index=False)
    with pytest.raises(InputError, match=r"predictions\.csv: lacks column block_03"):
        Run(run).predictions  # noqa: B018


def test_ranking_of_another_run(run):
    table = pd.read_csv(run / "ranking.csv")
    table[table.tap != Run(run).best].to_csv(run / "ranking.csv", index=False)
    with pytest.raises(InputError, match=r"no row for block_11, which config\.json names"):
        Run(run).ranking  # noqa: B018


@pytest.mark.parametrize("text", ["", "tap,item,label,x,y\n", "\x00\x01"])
def test_broken_table(run, text):
    (run / "projection.csv").write_text(text)
    with pytest.raises(InputError, match=r"projection\.csv: (not a CSV table|no rows|lacks column)"):
        Run(run).projection  # noqa: B018


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("ranking.csv", lambda t: pd.concat([t, t.iloc[:1]]), "tap .* is there twice"),
        ("ranking.csv", lambda t: t.assign(tap=["", *t.tap[1:]]), "a row without a tap"),
        ("ranking.csv", lambda t: t.assign(knn="high"), "column knn holds something else than numbers"),
        ("projection.csv", lambda t: t.assign(x=[*t.x[:-1], float("inf")]), "x or y is missing or infinite"),
    ],
)
def test_edited_tables_are_one_line(run, name, change, told):
    change(pd.read_csv(run / name)).to_csv(run / name, index=False)
    with pytest.raises(InputError, match=told):
        getattr(Run(run), name.removesuffix(".csv"))
