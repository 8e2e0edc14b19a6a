"""A whole training: every row predicted once, files that agree, checkpoints that give the same predictions."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, roc_auc_score

from birdprobe.analysis import predictions
from birdprobe.features import InputError
from birdprobe.finetune.losses import probabilities
from birdprobe.heads.dataset import load
from birdprobe.heads.training.checkpoint import load as load_head
from birdprobe.heads.training.loop import Settings
from birdprobe.heads.training.specs import parse_heads
from birdprobe.heads.training.train import train
from tests.head_stores import KEY, make_rows, make_store

QUICK = Settings(epochs=8, dim=32, folds=3, patience=4, learning_rate=0.01)
HEADS = "attention,scalarmix,concat,linear:embedding"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    store = make_store(folder / "features.h5")
    return store, train([store], folder / "run", QUICK, taps="1,2,2-1", heads=HEADS, command="birdprobe train")


def test_writes_its_files(trained):
    run = trained[1].run
    names = ["config.json", "differences.csv", "heads", "oof", "oof.npz", "scores.csv", "table.md"]
    assert sorted(path.name for path in run.iterdir()) == [*names, "tap_weights.csv"]
    assert len(list((run / "heads").iterdir())) == 4 * 3 * 2
    config = json.loads((run / "config.json").read_text())
    assert config["settings"]["epochs"] == 8 and config["labels"] == ["s0", "s1", "s2"]
    assert [head["tokens"] for head in config["heads"]][-1] == ["embedding"]
    assert config["folds"]["n"] == 3 and config["windows"] == {"focal": 60}


def test_every_row_is_predicted_once_by_the_head_that_never_saw_it(trained):
    store, done = trained
    with np.load(done.run / "oof.npz") as oof:
        assert oof["attention"].shape == (60, 3) and np.isfinite(oof["attention"]).all()
        folds, by_head = oof["row_fold"], {name: oof[name] for name in ("attention", "linear-embedding")}
    data = load([store], "all")
    for name, predicted in by_head.items():
        for fold in range(3):
            head, about = load_head(done.run / "heads" / f"{name}-fold{fold}", store_key=KEY, labels=data.labels)
            assert about.fold == fold and about.versions["birdprobe"]
            xs = load([store], list(about.tokens)).xs
            held = folds == fold
            with torch.no_grad():
                logits = head([xs[token][held] for token in about.tokens])
            assert np.allclose(probabilities(logits, about.activation), predicted[held], atol=1e-6)
    groups = pd.DataFrame({"group": data.rows["group"], "fold": folds}).groupby("group")["fold"]
    assert (groups.nunique() == 1).all()


def test_scores_are_those_of_the_predictions(trained):
    _, done = trained
    oof = predictions.read_predictions(done.run / "oof" / "attention.csv")
    scores = pd.read_csv(done.run / "scores.csv").set_index(["head", "unit", "fold"])
    truth = load([trained[0]], "embedding").targets.numpy()
    values = oof[["s0", "s1", "s2"]].to_numpy()
    found = scores.loc[("attention", "window", "pooled")]
    assert found["macro_auc"] == pytest.approx(roc_auc_score(truth, values, average="macro"), abs=1e-4)
    assert found["acc_lo"] <= found["accuracy"] <= found["acc_hi"] and found["n"] == 60
    assert found["auc_lo"] <= found["macro_auc"] <= found["auc_hi"]
    n_groups = load([trained[0]], "embedding").rows["group"].nunique()
    assert n_groups < 30 and done.warnings[-1].startswith(f"{n_groups} groups: bootstrap intervals over so few")
    hits = truth[np.arange(60), values.argmax(axis=1)]
    assert found["accuracy"] == pytest.approx(accuracy_score(np.ones(60), hits))
    fold = scores.loc[("attention", "window", "1")]
    with np.load(done.run / "oof.npz") as arrays:
        held = arrays["row_fold"] == 1
    assert (predictions.read_truth(done.run / "oof" / "truth.csv").to_numpy() == (truth > 0)).all()
    assert fold["n"] == held.sum() and fold["accuracy"] == pytest.approx(hits[held].mean())
    # clips: mean logits over the two windows
    logits = np.log(values / (1 - values)).reshape(30, 2, 3).mean(axis=1)
    clip = scores.loc[("attention", "clip", "pooled")]
    assert clip["n"] == 30 and clip["macro_auc"] == pytest.approx(roc_auc_score(truth[::2], logits), abs=1e-3)
    assert clip["macro_auc"] > 0.9


def test_weights_differences_and_the_table(trained):
    _, done = trained
    weights = pd.read_csv(done.run / "tap_weights.csv")
    assert np.allclose(weights.groupby(["head", "fold"])["weight"].sum(), 1)
    assert weights.query("head == 'scalarmix'")["tap"].unique().tolist() == [
        "block_01",
        "block_02",
        "block_02-block_01",
    ]
    differences = done.differences.set_index("head")
    assert list(differences.index) == ["attention", "scalarmix", "concat"]
    assert set(differences["baseline"]) == {"linear-embedding"}
    pooled = done.scores.query("fold == 'pooled' and unit == 'clip'").set_index("head")["accuracy"]
    assert differences.loc["concat", "accuracy"] == pytest.approx(pooled["concat"] - pooled["linear-embedding"])
    table = (done.run / "table.md").read_text()
    assert all(head in table for head in pooled.index) and "accuracy per clip [95 %]" in table


def test_the_same_seed_gives_the_same_files(trained, tmp_path):
    store, done = trained
    train([store], tmp_path / "run", QUICK, taps="1,2,2-1", heads=HEADS)
    for name in ("scores.csv", "oof/attention.csv", "oof/truth.csv", "tap_weights.csv", "differences.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (done.run / name).read_bytes()


def test_three_sources(tmp_path):
    tables = [make_rows(), make_rows(clips=4, prefix="scape"), make_rows(clips=2, prefix="more")]
    stores = [make_store(tmp_path / f"{i}.h5", rows, seed=i) for i, rows in enumerate(tables)]
    settings = Settings(epochs=6, folds=3, unit="window", loss="asl", learning_rate=0.01)
    done = train(stores, tmp_path / "run", settings, taps="1", heads="concat,linear", labels=["s2", "s0", "s1", "s9"])
    pooled = done.scores.query("fold == 'pooled' and unit == 'window' and head == 'linear'").set_index("source")
    assert pooled["n"].to_dict() == {"soundscape": 24, "focal": 60}  # pseudo rows are not scored
    assert (pooled["n_scored"] == 3).all() and (pooled["macro_auc"] > 0.8).all()
    assert "s9" in done.warnings[0]
    oof = predictions.read_predictions(tmp_path / "run" / "oof" / "linear.csv")
    assert len(oof) == 24 and list(oof.columns) == ["s2", "s0", "s1", "s9"]  # the scored source alone
    assert all(name.startswith("scape") for name in oof.index)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["scored"]["source"] == "soundscape"


def test_a_finished_run_is_not_replaced_silently(trained, tmp_path):
    store, done = trained
    before = (done.run / "scores.csv").read_bytes()
    with pytest.raises(
        InputError, match=r"expected a new folder, got a finished run\. Use \-\-overwrite to replace the result"
    ):
        train([store], done.run, QUICK, taps="1")
    assert (done.run / "scores.csv").read_bytes() == before
    (tmp_path / "config.json").write_text('{"format": "birdprobe/sweep", "files": []}')
    with pytest.raises(
        InputError, match=r"expected 'birdprobe/train' or another folder, got 'birdprobe/sweep'\. Nothing tha"
    ):
        train([store], tmp_path, QUICK, taps="1", overwrite=True)
    train([store], tmp_path / "run", QUICK, taps="1", heads="concat,scalarmix")
    before = sorted(path.name for path in (tmp_path / "run").rglob("*"))
    with pytest.raises(InputError, match=r"`--taps` must be .*got '9'"):
        train([store], tmp_path / "run", QUICK, taps="9", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "run").rglob("*")) == before  # a typo once cost the old run
    train([store], tmp_path / "run", QUICK, taps="1", heads="linear", overwrite=True)
    assert {path.name for path in (tmp_path / "run" / "heads").glob("*.json")} == {
        f"linear-fold{k}.json" for k in range(3)
    }


def test_bad_data_is_refused_before_training(tmp_path):
    rows = make_rows()
    rows.loc[rows["clip"] == 0, ["label", "labels"]] = "rare"
    with pytest.raises(InputError, match="class 'rare'"):
        train([make_store(tmp_path / "a.h5", rows)], tmp_path / "run", QUICK, taps="1")
    with pytest.raises(InputError, match="fewer than the 20 folds"):
        train([make_store(tmp_path / "b.h5")], tmp_path / "run", Settings(folds=20), taps="1")
    with pytest.raises(InputError, match=r"`--taps` must be .*got '9'"):
        train([tmp_path / "b.h5"], tmp_path / "run", QUICK, taps="1,9")


def test_head_syntax():
    stored = ("block_00", "block_01", "embedding")
    specs = parse_heads("attention, concat:0+embedding,linear:1", ("block_01", "embedding"), stored)
    assert [(spec.name, spec.tokens) for spec in specs] == [
        ("attention", ("block_01", "embedding")),
        ("concat-block_00-embedding", ("block_00", "embedding")),
        ("linear-block_01", ("block_01",)),
    ]
    for text, match in [
        ("tree", "`--head` must be .*got 'tree'"),
        ("linear", r"head linear: expected 1 tap, .*got 2"),
        ("concat,concat", "each once"),
        ("", "one or several of"),
        ("linear:7", "`--taps` must be .*got '7'"),
    ]:
        with pytest.raises(InputError, match=match):
            parse_heads(text, ("block_01", "embedding"), stored)
