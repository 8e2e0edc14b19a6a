"""What the probe ranks beside what the heads weigh: from a real training, and from tables with a known answer."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, spearmanr

from birdprobe.features import InputError
from birdprobe.features.recordings import read_recordings
from birdprobe.features.windows import Selection
from birdprobe.figures import gallery
from birdprobe.heads.agreement import agree, weight_scores
from birdprobe.heads.training.loop import Settings
from birdprobe.heads.training.train import train
from birdprobe.probe.extraction.extract import extract
from birdprobe.probe.runtime.backbone import Backbone
from tests.runs import make_run
from tests.tiny import SAMPLE_RATE, tiny_backbone, tiny_dataset

TAPS = ("block_00", "block_01", "block_02", "block_03", "embedding", "logits")
LINEAR = ",".join(f"linear:{tap}" for tap in TAPS[:4])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    backbone = Backbone.open(tiny_backbone(folder / "tiny.onnx"), sample_rate=SAMPLE_RATE)
    recordings = read_recordings(tiny_dataset(folder / "audio", clips=8), group_regex=r"^G(\d+)-")
    extract(backbone, recordings, folder / "store.h5", selection=Selection.parse("all"), progress=False)
    return folder / "store.h5"


def trained(store, folder, heads, loss="bce", taps="all"):
    settings = Settings(epochs=3, folds=3, dim=8, loss=loss, learning_rate=1e-2)
    train([store], folder, settings, heads=heads, taps=taps, progress=False)
    return folder


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    return trained(store, tmp_path_factory.mktemp("runs") / "run", f"attention,scalarmix,{LINEAR}")


def score(agreed, name):
    return agreed.scores[agreed.scores["score"] == name].set_index("tap")


@pytest.mark.parametrize("loss", ["bce", "ce"])
def test_linear_heads_have_the_accuracies_of_scores_csv(store, tmp_path, loss):
    run = trained(store, tmp_path / "run", f"scalarmix,{LINEAR}", loss)
    found = score(agree(run), "linear head")
    said = pd.read_csv(run / "scores.csv").query("fold == 'pooled' and unit == 'clip'").set_index("head")
    assert list(found.index) == list(TAPS[:4])
    for tap, row in found.iterrows():
        assert row["value"] == pytest.approx(said.loc[f"linear-{tap}", "accuracy"], abs=1e-6)
        assert row["lo"] <= row["value"] <= row["hi"]


def test_every_pair_is_compared_over_the_taps_that_both_know(run):
    agreed = agree(run)
    pairs = agreed.agreement.set_index(["score", "against"])
    assert set(pairs.index) == {
        ("linear head", "knn"),
        *((f"weight of {head}", other) for head in ("attention", "scalarmix") for other in ("knn", "linear head")),
    }
    assert pairs.loc[("weight of attention", "knn"), "taps"] == 6
    assert pairs.loc[("weight of attention", "linear head"), "taps"] == 4
    weights, probe = score(agreed, "weight of attention")["value"], score(agreed, "knn")["value"]
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    row = pairs.loc[("weight of attention", "knn")]
    assert row["spearman"] == pytest.approx(spearmanr(weights, probe[weights.index]).statistic)
    assert row["kendall"] == pytest.approx(kendalltau(weights, probe[weights.index]).statistic)
    assert row["spearman_lo"] <= row["spearman_hi"]
    for name, frame in (("tap_scores", agreed.scores), ("agreement", agreed.agreement)):
        pd.testing.assert_frame_equal(
            pd.read_csv(run / f"{name}.csv", keep_default_na=False), frame, check_exact=False, atol=1e-5
        )
    text = (run / "agreement.md").read_text()
    assert "| block_02 " in text
    assert "| weight of scalarmix | linear head |" in text


def test_without_linear_heads_the_ridge_probe_stands_in(store, tmp_path):
    agreed = agree(trained(store, tmp_path / "run", "scalarmix"))
    assert list(dict.fromkeys(agreed.scores["score"])) == ["knn", "ridge", "weight of scalarmix"]
    assert len(score(agreed, "ridge")) == 6


def sweep_of(run, folder):
    """A sweep's folder whose k-NN accuracies rise with the weights of the scalar mix."""
    weights = pd.read_csv(run / "tap_weights.csv").query("head == 'scalarmix'").groupby("tap")["weight"].mean()
    order = list(weights.sort_values().index)
    made = make_run(folder)
    names = dict(zip(pd.read_csv(made / "ranking.csv").sort_values("knn").drop_duplicates("knn")["tap"][-6:], order))
    ranking = pd.read_csv(made / "ranking.csv").set_index("tap").loc[list(names)].rename(names).reset_index()
    said = pd.read_csv(made / "predictions.csv")
    said = said.drop(columns=[c for c in said.columns if c.startswith("block_") or c in ("embedding", "logits")]).join(
        said[list(names)].rename(columns=names)
    )
    ranking.to_csv(made / "ranking.csv", index=False)
    said.to_csv(made / "predictions.csv", index=False)
    return made


def test_a_sweep_that_ranks_as_the_weights_do_agrees_fully(store, tmp_path):
    run = trained(store, tmp_path / "run", "scalarmix")
    sweep = sweep_of(run, tmp_path / "sweep")
    agreed = agree(run, sweep)
    row = agreed.agreement.set_index(["score", "against"]).loc[("weight of scalarmix", "knn")]
    assert row["spearman"] == pytest.approx(1)
    assert row["kendall"] == pytest.approx(1)
    assert row["spearman_lo"] < 1
    ranking = pd.read_csv(sweep / "ranking.csv").set_index("tap")
    np.testing.assert_allclose(score(agreed, "knn")["value"], ranking["knn"], atol=1e-9)
    np.testing.assert_allclose(score(agreed, "ridge")["lo"], ranking["linear"], atol=1e-9)  # no draws: exact


def test_weights_are_means_over_folds_drawn_over_folds(tmp_path):
    rows = [
        {"head": head, "fold": fold, "tap": tap, "weight": weight}
        for head, taps in (("mix", ("block_07", "block_03", "embedding", "block_07-block_03")), ("two", ("a", "b")))
        for fold in (0, 1)
        for tap, weight in zip(taps, ((0.2, 0.3, 0.4, 0.1), (0.4, 0.1, 0.4, 0.1))[fold])
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "tap_weights.csv", index=False)
    (mix,) = weight_scores(tmp_path)  # a head of two taps has no order to speak of
    assert mix.taps == ("block_07", "block_03", "embedding")  # in the head's order, the difference left out
    np.testing.assert_allclose(mix.value, [0.3, 0.2, 0.4])
    assert set(np.round(mix.draws[:, 0], 6)) == {0.2, 0.3, 0.4}
    np.testing.assert_allclose(mix.draws[:, 2], 0.4)


def test_a_run_without_a_head_over_three_taps_is_refused(store, tmp_path):
    run = trained(store, tmp_path / "run", "scalarmix", taps="0,1")
    with pytest.raises(InputError, match="expected 3 taps that the probe ranked and a head weighs, got 0"):
        agree(run)
    assert not (run / "agreement.csv").exists()


def test_other_folders_are_refused(run, tmp_path):
    with pytest.raises(InputError, match=r"expected a run of `birdprobe train`, got no config\.json in it"):
        agree(tmp_path)
    with pytest.raises(InputError, match=r"expected a run of `birdprobe sweep`, got no ranking\.csv in it"):
        agree(run, tmp_path)


def test_a_store_that_was_extracted_anew_is_noticed(run, store, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    config = json.loads((copy / "config.json").read_text())
    with np.load(copy / "oof.npz") as arrays:
        held = dict(arrays)
    held["row_start_s"] = held["row_start_s"] + 0.5
    np.savez(copy / "oof.npz", **held)
    assert config["stores"][0]["path"] == str(store)
    with pytest.raises(InputError, match=r"store\.h5: expected the run's 48 windows, got 0"):
        agree(copy)


def test_the_gallery_draws_it_from_a_train_run(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    agree(copy)
    assert gallery.drawable(copy) == ("agreement", "pipelines")
    assert [path.name for path in gallery.save(copy, ["agreement"])] == ["agreement.png", "agreement.pdf"]
