"""Heads over time learn what single windows cannot tell, by the rules of the other heads, and go on where they stopped."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from birdprobe.analysis import predictions
from birdprobe.features import InputError
from birdprobe.features.store import FeatureStore, StoreKey
from birdprobe.heads.dataset import load
from birdprobe.heads.ensemble import load_members
from birdprobe.heads.sequences.first_pass import Naming
from birdprobe.heads.training.checkpoint import load as load_head
from birdprobe.heads.training.finished_folds import FOLDER
from birdprobe.heads.training.loop import Settings
from birdprobe.heads.training.train import train

KEY = StoreKey("b" * 64, ("block_01", "embedding"), "mean", 32000, 5.0, "all", 0, "none")
QUICK = Settings(epochs=2, folds=2, unit="window", patience=None)
ALL = "protossm,residual-ssm,sequence,linear:embedding"


def neighbours_store(path, recordings=40, windows=5, seed=0):
    """Soundscapes whose windows hear +1 or -1; "a" is the label where the window before heard +1, "b" otherwise."""
    rng = np.random.default_rng(seed)
    heard = rng.choice([-1.0, 1.0], (recordings, windows))
    rows = [
        {
            "clip": clip,
            "file": f"BC2026_Train_{clip:04d}_S{clip % 4 + 1:02d}_20260512_{clip % 24:02d}0000.ogg",
            **{"start_s": 5.0 * t, "end_s": 5.0 * (t + 1)},
            "label": (label := "a" if heard[clip, t - 1] > 0 else "b"),
            **{"labels": label, "group": f"r{clip}", "fold": None, "size": 1, "sha256": f"{clip:064d}"},
        }
        for clip in range(recordings)
        for t in range(windows)
    ]
    noise = rng.normal(size=(recordings * windows, 6))
    values = {"embedding": noise + 2 * heard.reshape(-1, 1), "block_01": noise[:, :4]}
    with FeatureStore.create(path, KEY, {"block_01": (4,), "embedding": (6,)}, {"made": "up"}) as store:
        store.append(pd.DataFrame(rows), {tap: x.astype(np.float32) for tap, x in values.items()})
        store.finish()
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return neighbours_store(tmp_path_factory.mktemp("neighbours") / "s.h5")


@pytest.fixture(scope="module")
def first_pass(store, tmp_path_factory):
    """A CSV of half the recordings, of class a alone."""
    rows = load([store], "embedding").rows.iloc[:100]
    ids = [f"{file[:-4]}_{end:g}" for file, end in zip(rows["file"], rows["end_s"])]
    values = np.random.default_rng(5).uniform(0.1, 0.9, 100)
    path = tmp_path_factory.mktemp("first") / "first.csv"
    pd.DataFrame({"row_id": ids, "a": values}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def trained(store, first_pass, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return train([store], folder / "run", QUICK, heads=ALL, first_pass=str(first_pass))


def test_neighbours_are_learned_over_time_and_by_no_single_window(store, tmp_path):
    settings = Settings(epochs=8, folds=2, unit="window", learning_rate=3e-3, batch_size=4, mixup=0.0)
    done = train([store], tmp_path / "run", settings, taps="embedding", heads="protossm,sequence-gru,scalarmix")
    pooled = done.scores.query("fold == 'pooled' and unit == 'window'").set_index("head")["macro_auc"]
    assert pooled["scalarmix"] < 0.65  # what a window hears says nothing of the one before it
    assert (pooled[["protossm", "sequence-gru"]] > 0.85).all(), pooled


def test_every_row_is_predicted_once_by_the_head_that_never_saw_it(store, trained):
    with np.load(trained.run / "oof.npz") as oof:
        folds, values = oof["row_fold"], {name: oof[name] for name in oof.files}
    for name in ("protossm", "residual-ssm", "sequence-gru", "sequence-attention"):
        assert np.isfinite(values[name]).all() and values[name].shape == (200, 2)
        oof = predictions.read_predictions(trained.run / "oof" / f"{name}.csv")
        assert len(oof) == 200 and list(oof.columns) == ["a", "b"]
    data = load([store], "all")
    for fold in range(2):
        members = load_members(trained.run, "sequence-gru", fold)
        held = np.flatnonzero(folds == fold)
        first = torch.full((len(held), 2), torch.nan)
        table = data.rows.iloc[held]
        given = np.flatnonzero(held < 100)  # rows of the CSV
        csv = pd.read_csv(trained_first(trained))["a"].to_numpy()
        first[given, 0] = torch.from_numpy(np.log(csv / (1 - csv))[held[given]]).float()
        found = members.predict(("block_01", "embedding"), [data.xs[t][held] for t in data.xs], table, first)
        np.testing.assert_allclose(found, values["sequence-gru"][held], atol=1e-6)


def trained_first(trained):
    return json.loads((trained.run / "config.json").read_text())["first_pass"]["text"]


def test_checkpoints_say_what_the_heads_read(trained):
    head, about = load_head(trained.run / "heads" / "protossm-fold0")
    assert head.sites == ("S01", "S02", "S03", "S04") and about.options["length"] == 12
    assert about.settings["first_pass"] == {"text": trained_first(trained), "outputs": None}
    assert about.tokens == ("block_01", "embedding") and head.group is None
    assert "first_pass" not in load_head(trained.run / "heads" / "linear-embedding-fold0")[1].settings


def test_a_taxonomy_gives_groups_and_the_same_seed_the_same_files(store, tmp_path):
    taxonomy = tmp_path / "taxonomy.csv"
    taxonomy.write_text("primary_label,class_name\nb,Aves\na,Insecta\n")
    runs = [
        train([store], tmp_path / name, QUICK, heads="protossm", labels=("b", "a"), naming=Naming(taxonomy)).run
        for name in ("one", "two")
    ]
    head, about = load_head(runs[0] / "heads" / "protossm-fold1")
    assert head.groups == ("Aves", "Insecta") and head.group.out_features == 2
    assert about.metrics["losses"][-1] < about.metrics["losses"][0]
    a, b = (run / "oof" / "protossm.csv" for run in runs)
    assert a.read_bytes() == b.read_bytes()


def test_focal_clips_are_short_recordings(store, tmp_path):
    focal = neighbours_store(tmp_path / "focal.h5", recordings=12, windows=1, seed=1)
    done = train([focal, store], tmp_path / "run", QUICK, heads="protossm", labels=("a", "b"))
    pooled = done.scores.query("fold == 'pooled' and unit == 'window'").set_index("source")
    assert pooled["n"].to_dict() == {"soundscape": 200, "focal": 12}


def test_a_killed_training_goes_on(store, trained, first_pass, tmp_path, monkeypatch):
    from birdprobe.heads.sequences import training

    fit, asked = training._fit, []

    def killed(*args):
        asked.append(args[4])
        if len(asked) == 4:
            raise KeyboardInterrupt
        return fit(*args)

    monkeypatch.setattr(training, "_fit", killed)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train([store], run, QUICK, heads=ALL, first_pass=str(first_pass))
    assert len(list((run / FOLDER).rglob("*.safetensors"))) == 3
    other = tmp_path / "other"
    shutil.copytree(run, other)
    train([store], run, QUICK, heads=ALL, first_pass=str(first_pass))
    assert len(asked) == 4 + 5  # 3 of 8 were there
    for name in ("scores.csv", "oof/protossm.csv", "oof/residual-ssm.csv", "tap_weights.csv"):
        assert (run / name).read_bytes() == (trained.run / name).read_bytes()
    assert not (run / FOLDER).exists()
    asked.clear()
    asked.extend(range(4))
    settings = Settings(**vars(QUICK) | {"seed": 1})
    train([store], other, settings, heads="protossm", first_pass=str(first_pass))
    assert len(asked) == 4 + 2  # of another seed nothing is taken up


@pytest.mark.parametrize(
    ("heads", "first", "match"),
    [
        ("residual-ssm", None, "corrects a first pass, got none"),
        ("linear:embedding", "x.csv", "`--first-pass`: only heads over time read one"),
        ("sequence", "block_09", "`--first-pass` must be a tap of the store"),
        ("sequence", "embedding", "6 numbers a window, expected 2"),
    ],
)
def test_bad_trainings(store, tmp_path, heads, first, match):
    with pytest.raises(InputError, match=match):
        train([store], tmp_path / "run", QUICK, heads=heads, first_pass=first)
    assert not (tmp_path / "run").exists()
