"""Experiments on a made-up competition: scores of arms against the metrics they stand on, and each end to end."""

import json

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis import metrics
from birdprobe.analysis.predictions.table import files
from birdprobe.features import InputError
from birdprobe.features.store import FeatureStore
from birdprobe.features.synthetic.competition import SMALL, write_competition
from birdprobe.heads.experiments import EXPERIMENTS, members, run_experiment
from birdprobe.heads.experiments.comparison import COLUMNS, Arm, Truths, score
from birdprobe.heads.experiments.competition_stores import gather, out_of_fold, out_of_fold_files
from birdprobe.heads.experiments.outcome import signed, table, verdict
from birdprobe.probe.demo import WREN

CLASSES = ["a", "b", "c"]


def windows(name: str, recordings: int) -> list[str]:
    return [f"{name}{i}_{end}" for i in range(recordings) for end in range(5, 65, 5)]


@pytest.fixture(scope="module")
def truths():
    rng = np.random.default_rng(0)
    oof, heldout = windows("train", 12), windows("test", 8)
    return Truths(*(pd.DataFrame(rng.random((len(ids), 3)) < 0.3, ids, CLASSES) for ids in (oof, heldout)))


def noisy(truth: pd.DataFrame, noise: float, seed: int) -> pd.DataFrame:
    values = truth + noise * np.random.default_rng(seed).normal(size=truth.shape)
    return 1 / (1 + np.exp(-values.astype(float)))


# scores of arms


def test_scores_and_gains_are_those_of_the_metrics(truths):
    arms = [
        Arm("base", noisy(truths.oof, 1.5, 1), noisy(truths.heldout, 1.5, 2)),
        Arm("other", noisy(truths.oof, 1.0, 3), noisy(truths.heldout, 1.6, 4), "base"),
    ]
    frame = score([arms], truths, n_boot=300).set_index("arm")
    for part, truth, seed in (("oof", truths.oof, 0), ("heldout", truths.heldout, 1)):
        y, groups = truth.to_numpy(), files(truth.index)
        base, other = (getattr(arm, part).to_numpy() for arm in arms)
        assert frame.loc["base", part] == metrics.macro_auc(y, base)
        gain = metrics.paired(metrics.macro_auc, y, other, base, groups, 300, seed)
        assert frame.loc["other", [f"{part}_gain{end}" for end in ("", "_lo", "_hi")]].tolist() == pytest.approx(gain)
    row = frame.loc["other"]
    assert row["inflation"] == pytest.approx(row["oof_gain"] - row["heldout_gain"])
    assert row["inflation_lo"] < row["inflation"] < row["inflation_hi"]
    assert frame.loc["base", ["oof_gain", "heldout_gain", "inflation"]].isna().all()


def test_what_is_learned_of_the_scored_windows_alone_is_inflation(truths):
    base = Arm("base", noisy(truths.oof, 2.0, 1), noisy(truths.heldout, 2.0, 2))
    leaky = Arm("leaky", noisy(truths.oof, 0.2, 1), base.heldout, "base")
    row = score([[base, leaky]], truths, n_boot=300).set_index("arm").loc["leaky"]
    assert row["heldout_gain"] == row["heldout_gain_lo"] == row["heldout_gain_hi"] == 0
    assert row["inflation_lo"] > 0
    assert verdict(row, "inflation", "above", "below", "unclear") == "above"
    assert verdict(row, "heldout_gain", "above", "below", "unclear") == "unclear"


def test_repeats_are_averaged(truths):
    repeats = [
        [
            Arm("base", noisy(truths.oof, 1.5, seed), noisy(truths.heldout, 1.5, seed)),
            Arm("other", noisy(truths.oof, 1.0, seed + 9), noisy(truths.heldout, 1.0, seed + 9), "base"),
        ]
        for seed in (1, 2, 3)
    ]
    each = [score([arms], truths, n_boot=100).set_index("arm") for arms in repeats]
    mean = score(repeats, truths, n_boot=100).set_index("arm")
    for name in ("oof", "heldout_gain", "inflation"):
        assert mean.loc["other", name] == pytest.approx(np.mean([one.loc["other", name] for one in each]))
    gains = [one.loc["other", "heldout_gain"] for one in each]
    assert mean.loc["other", "heldout_gain_sd"] == pytest.approx(np.std(gains, ddof=1))
    assert mean["repeats"].tolist() == [3, 3] and each[0]["oof_gain_sd"].isna().all()
    widths = [one.loc["other", "oof_gain_hi"] - one.loc["other", "oof_gain_lo"] for one in each]
    assert mean.loc["other", "oof_gain_hi"] - mean.loc["other", "oof_gain_lo"] < max(widths)


def test_rows_beyond_the_truth_are_let_go_and_missing_ones_are_not(truths):
    oof = noisy(truths.oof, 1.0, 1)
    more = pd.concat([oof, oof.rename(index="more_{}".format)]).sample(frac=1, random_state=0)
    heldout = noisy(truths.heldout, 1.0, 2)
    one = score([[Arm("x", oof, heldout)]], truths, n_boot=50)
    assert one.equals(score([[Arm("x", more, heldout)]], truths, n_boot=50))
    with pytest.raises(InputError, match=r"x, heldout: rows: 1 \('test0_5'\) missing"):
        score([[Arm("x", oof, heldout.iloc[1:])]], truths, n_boot=50)


def test_the_table_shows_signs_and_leaves_blanks(truths):
    arms = [Arm("base", noisy(truths.oof, 1, 1), noisy(truths.heldout, 1, 2))]
    arms += [Arm("same", arms[0].oof, arms[0].heldout, "base")]
    cells = table(score([arms], truths, n_boot=50)).cells()
    assert cells[0][3:] == ["", "–", "–", "–"]
    assert cells[1][3:] == ["base", *["+0.000 [+0.000, +0.000]"] * 3]


def test_gains_have_a_sign_but_no_negative_nothing():
    row = pd.Series({"gain": -0.0002, "gain_lo": -0.0123, "gain_hi": 0.01})
    assert signed(row, "gain") == "+0.000 [-0.012, +0.010]"


# end to end


@pytest.fixture(scope="module")
def competition(tmp_path_factory):
    return write_competition(tmp_path_factory.mktemp("experiments") / "comp", SMALL, seed=1)


@pytest.fixture(scope="module")
def done(competition, tmp_path_factory):
    """Each experiment once, all with the same stores."""
    out = tmp_path_factory.mktemp("outcomes")
    found, said = {}, []
    for name in EXPERIMENTS:
        if found and name != "members":  # it reads a tap more
            stores = out / name / "stores"
            stores.parent.mkdir()
            stores.symlink_to(out / next(iter(found)) / "stores")
        options = {"taps": "24,25", "epochs": 2, "folds": 2 if name == "members" else 3}
        options |= {"repeats": 2 if name == "pseudo" else 1}
        found[name] = run_experiment(
            name, competition, out / name, model=WREN, **options, progress=False, log=said.append
        )
    return found, said


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_writes_an_outcome(done, name):
    outcome = done[0][name]
    frame = pd.read_csv(outcome.folder / "outcome.csv", keep_default_na=False, na_values=[""])
    assert list(frame.columns) == list(COLUMNS) and len(frame) == len(outcome.frame)
    assert frame["oof"].between(0, 1).all() and frame["heldout"].between(0, 1).all()
    assert set(frame["against"].dropna()) <= set(frame["arm"]) and not frame["arm"].duplicated().any()
    words = (outcome.folder / "outcome.md").read_text()
    assert outcome.sentence in words and "8 windows of 2 recordings" in words and all(a in words for a in frame["arm"])
    config = json.loads((outcome.folder / "config.json").read_text())
    assert config["experiment"] == name and config["measured"]["oof"]["recordings"] == 6
    assert config["sentence"] == outcome.sentence and config["settings"]["epochs"] == 2
    with pytest.raises(InputError, match=r"expected a new folder, got a finished experiment"):
        run_experiment(name, outcome.folder, outcome.folder, model=WREN)


@pytest.mark.slow
def test_pseudo_arms_differ_only_in_the_windows_they_add(done):
    outcome = done[0]["pseudo"]
    windows = {
        path.name: json.loads((path / "config.json").read_text())["windows"]
        for path in sorted((outcome.folder / "runs" / "seed-1").iterdir())
    }
    assert set(windows) == {"teacher", "naive", "gated"}
    assert windows["naive"]["pseudo"] == 8 and "pseudo" not in windows["teacher"]  # 2 unlabelled files of 20 s
    assert len({counts["soundscape"] for counts in windows.values()}) == 1
    assert windows["gated"].get("pseudo", 0) <= 8
    assert any("macro AUC" in note for note in outcome.notes)
    assert (
        outcome.frame["repeats"].eq(2).all() and "Means over 2 trainings" in (outcome.folder / "outcome.md").read_text()
    )
    assert outcome.frame["oof_gain_sd"].iloc[1:].ge(0).all()


@pytest.mark.slow
def test_the_residual_arms_read_a_difference(done):
    outcome = done[0]["residual"]
    config = json.loads((outcome.folder / "runs" / "seed-0" / "residual" / "config.json").read_text())
    assert {tuple(head["tokens"]) for head in config["heads"]} == {("block_24", "block_25-block_24")}
    assert outcome.frame["against"].tolist() == ["", "attention", "", "concat", "", "scalarmix"]


@pytest.mark.slow
def test_the_tuned_setting_is_the_best_of_the_grid(done):
    outcome = done[0]["priors"]
    grid = pd.read_csv(outcome.folder / "grid.csv")
    assert len(grid) == 2 * 5 * 4
    arms = outcome.frame.set_index("arm")
    for kind, own in grid.groupby("prior"):
        best = own.loc[own["oof"].idxmax()]
        row = arms.loc[f"weight {best['alpha']:g}, sigma {best['sigma']:g}, {kind}"]
        assert row["oof"] == pytest.approx(best["oof"], abs=1e-5)
        assert row["heldout"] == pytest.approx(best["heldout"], abs=1e-5)
    plain = grid[(grid["alpha"] == 0) & (grid["sigma"] == 0)]
    assert plain["oof"].to_numpy() == pytest.approx(arms.loc["as predicted", "oof"], abs=1e-5)
    assert "The prior applied to" in outcome.notes[0]


@pytest.mark.slow
def test_whole_files_out_of_fold_agree_with_the_run(done, competition):
    """Windows of the table get the same probabilities, from the fold that held their file out."""
    folder = done[0]["priors"].folder
    listed, fold = out_of_fold(folder / "runs" / "seed-0" / "head", "attention")
    whole, folds = out_of_fold_files(
        folder / "runs" / "seed-0" / "head", "attention", folder / "stores" / "recordings.h5"
    )
    assert len(whole) == 6 * 4 and set(listed.index) <= set(whole.index)
    assert np.allclose(whole.loc[listed.index], listed, atol=1e-4)
    assert (folds[fold.index] == fold).all()


@pytest.mark.slow
def test_stores_are_made_once(done):
    assert sum("focal.h5" in line for line in done[1]) == 4  # said by each, computed by the first
    seconds = [float(line.split()[-2]) for line in done[1] if "focal.h5" in line]
    assert max(seconds[1:3]) <= 1


def test_what_is_chosen_is_chosen_by_the_other_folds(truths):
    """Each fold's rows are those of the member that the other folds find best, and of the two best blended."""
    rng = np.random.default_rng(3)
    folds = pd.Series(np.repeat([0, 1, 2], 48), truths.oof.index)
    oof = {"a": noisy(truths.oof, 1.0, 1), "b": noisy(truths.oof, 1.4, 2), "c": noisy(truths.oof, 1.8, 3)}
    oof["a"][folds == 0] = rng.random((48, 3))  # the best but in fold 0, where it is worthless
    tables = members.Tables(folds, dict(oof), {name: noisy(truths.heldout, 1.0, 4) for name in oof})
    choice = members.choose(tables, truths.oof)
    best = {}
    for fold in range(3):
        rest = (folds != fold).to_numpy()
        auc = {
            name: metrics.macro_auc(truths.oof[rest].to_numpy(), table[rest].to_numpy()) for name, table in oof.items()
        }
        best[fold] = max(auc, key=auc.__getitem__)
        ranks = oof[best[fold]].rank(pct=True)
        assert np.allclose(tables.oof[members.BEST][~rest], ranks[~rest])
    assert best[0] == "a" and len(set(best.values())) == 2
    assert all(table.notna().all(axis=None) and table.shape == (144, 3) for table in tables.oof.values())
    assert choice[members.BEST] in oof and " and " in choice[members.TWO]
    assert tables.heldout[members.BEST].equals(tables.heldout[choice[members.BEST]])
    assert not tables.heldout[members.TWO].equals(tables.heldout[members.THREE])


@pytest.mark.slow
def test_members_by_site(done, competition):
    """All folds are whole sites; each member reads what its name says; what is compared with what is in the table."""
    outcome = done[0]["members"]
    run = outcome.folder / "runs" / "seed-0"
    folds = out_of_fold(run / "members", "protossm")[1]
    sites = [name.split("_")[3] for name in folds.index]
    assert folds.groupby(sites).nunique().eq(1).all() and folds.nunique() == 2
    for name in ("first", "residual-embedding", "residual-inner"):
        config = json.loads((run / name / "config.json").read_text())
        assert (
            config["folds"]["description"]
            == json.loads((run / "members" / "config.json").read_text())["folds"]["description"]
        )
    assert config["heads"][0]["tokens"] == ["block_24", "block_25"] and config["first_pass"]["text"].endswith(
        "members-protossm.csv"
    )
    rows = outcome.frame.set_index("arm")
    assert rows["role"].value_counts().to_dict() == {"": 3, "inner-blocks": 4, "time": 3, "blend": 1, "late": 1}
    assert rows.loc["protossm, inner", "against"] == "protossm, embedding"
    pd.testing.assert_frame_equal(
        out_of_fold(run / "members", "protossm-embedding", None)[0],
        pd.read_csv(run / "members-protossm-embedding.csv", index_col=0),
        check_names=False,
        atol=1e-8,
    )
    assert "2 folds over 2 sites" in outcome.notes[0] and "of the 2 held-out recordings" in outcome.notes[0]


def test_members_need_an_inner_block(competition, tmp_path):
    with pytest.raises(InputError, match=r"`--taps` must be one inner block or more, got the embedding alone"):
        run_experiment("members", competition, tmp_path / "one", model=WREN, taps="embedding")


def test_stores_of_another_model_are_replaced_only_when_asked(competition, tmp_path):
    store = gather(competition, tmp_path, WREN, "24").test()
    before = store.read_bytes()
    with pytest.raises(InputError, match=r"test\.h5"):
        gather(competition, tmp_path, WREN, "25").test()
    assert store.read_bytes() == before
    assert gather(competition, tmp_path, WREN, "25", overwrite=True).test() == store
    with FeatureStore.open(store) as opened:
        assert opened.taps == ("block_25",) and len(opened) == 8


def test_refuses_what_it_cannot_judge(competition, tmp_path):
    with pytest.raises(InputError, match=r"`experiment` must be one of pseudo, residual, priors, members, got 'mixup'"):
        run_experiment("mixup", competition, tmp_path, model=WREN)
    with pytest.raises(InputError, match=r"nowhere: no such file or folder, expected a folder of `birdprobe demo"):
        gather(tmp_path / "nowhere", tmp_path, WREN, "24,25")
    (tmp_path / "real").mkdir()
    with pytest.raises(InputError, match=r"expected a made-up competition, .*got no truth/truth.csv"):
        gather(tmp_path / "real", tmp_path, WREN, "24,25")
    with pytest.raises(InputError, match=r"`--taps` must be two or more for a difference, got block_25"):
        run_experiment("residual", competition, tmp_path / "one", model=WREN, taps="25")
