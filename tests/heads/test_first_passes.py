"""First passes: names mapped, logits picked, probes fitted to training rows alone."""

import json

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from birdprobe.analysis.predictions import read_predictions
from birdprobe.features import InputError
from birdprobe.features.recordings.class_mapping import map_classes, read_renames
from birdprobe.features.recordings.taxonomy import Taxon, read_taxa
from birdprobe.features.store import FeatureStore, StoreKey
from birdprobe.heads.dataset import load
from birdprobe.heads.ensemble import load_members
from birdprobe.heads.first_passes import ABSENT
from birdprobe.heads.fuse import fuse
from birdprobe.heads.sequences.first_pass import Naming, read_first_pass
from birdprobe.heads.training.loop import Settings
from birdprobe.heads.training.train import train
from birdprobe.probe.runtime.backbone import sha256
from birdprobe.probe.soundscapes.predictor import open_onnx
from tests.tiny import tiny_backbone

TAXA = (
    *(Taxon("grekis", "Pitangus sulphuratus", "Great Kiskadee"), Taxon("weskin1", "Tyrannus nullus", "Western")),
    *(Taxon("x2", "Ardea ibis", "Western Cattle-Egret"), Taxon("x3", "Turdus fictus", "Ghost thrush")),
    *(Taxon("47158son01", "Insecta", "sonotype 1"), Taxon("x5", "Boana raniceps", "")),
)
OUTPUTS = (
    *("Bubulcus ibis_Cattle Egret", "weskin1", "Turdus merula_Common Blackbird", "Turdus philomelos", "Hyla raniceps"),
    *("PITANGUS  sulphuratus", "Insecta"),
)


def test_names_are_found_each_in_its_way():
    mapping = map_classes(TAXA, OUTPUTS[:6])
    assert mapping.how == ("scientific name", "label", "rename", "genus", "none", "rename")
    assert mapping.outputs == ((5,), (1,), (0,), (2, 3), (), (4,))
    logits = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    found = mapping(logits)
    np.testing.assert_array_equal(found[:, 0], logits[:, 5])
    np.testing.assert_array_equal(found[:, 3], logits[:, 2:4].max(axis=1))
    assert np.isnan(found[:, 4]).all()
    assert map_classes(TAXA, OUTPUTS, genus=False).how[3:5] == ("none", "scientific name")
    said = str(mapping)
    assert said.startswith(
        "5 of 6 classes have an output of the backbone (1 by label, 1 by scientific name, 2 by rename"
    )
    assert said.endswith("without an output: 47158son01")
    with pytest.raises(InputError, match="expected 6 a window"):
        mapping(logits[:, :5])


def test_a_table_of_the_users_own_goes_first(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("class,output\n47158son01,Turdus merula\n47158son01,weskin1\n")
    mapping = map_classes(TAXA, OUTPUTS, path)
    assert (mapping.how[4], mapping.outputs[4]) == ("own table", (2, 1))
    path.write_text("class,output\nnobody,weskin1\n")
    with pytest.raises(InputError, match=r"own\.csv, line 2: expected a class of the taxonomy, got 'nobody'"):
        map_classes(TAXA, OUTPUTS, path)
    path.write_text("class,output\nx2,Nobody\n")
    with pytest.raises(InputError, match="expected a label of the backbone's list, got 'Nobody'"):
        map_classes(TAXA, OUTPUTS, path)


def test_renames_hold_both_ways_and_over_several():
    renames = read_renames()
    assert "hyla raniceps" in renames["boana raniceps"]
    assert "boana raniceps" in renames["hyla raniceps"]
    assert renames["astur gentilis"] == ("accipiter gentilis",)
    assert all(name not in others for name, others in renames.items())


CLASSES = ("grekis", "x2", "x3", "rare")
TAPS = {"embedding": (16,), "logits": (7,)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A backbone with a list of labels, soundscapes' features of it in a store, their taxonomy."""
    folder = tmp_path_factory.mktemp("first")
    model = tiny_backbone(folder / "m.onnx")
    (folder / "labels.txt").write_text("\n".join(OUTPUTS) + "\n")
    names = {taxon.label: taxon for taxon in TAXA}
    lines = [f"{c},{names[c].scientific_name if c in names else 'Nullus nullus'}" for c in CLASSES]
    (folder / "taxonomy.csv").write_text("primary_label,scientific_name\n" + "\n".join(lines) + "\n")
    rng = np.random.default_rng(1)
    n = 90
    which = rng.integers(0, 3, n)
    which[[0, 30, 60]] = 3  # a class of too few windows for a probe
    rows = pd.DataFrame(
        {
            "clip": np.arange(n) // 3,
            "file": [f"BC2026_Train_{i // 3:04d}_S01_20260512_050000.ogg" for i in range(n)],
            **{"start_s": 1.0 * (np.arange(n) % 3), "end_s": 1.0 * (np.arange(n) % 3 + 1)},
            "label": [CLASSES[k] for k in which],
            "labels": [CLASSES[k] for k in which],
            **{"group": [f"g{i // 3}" for i in range(n)], "fold": None, "size": 1, "sha256": "0" * 64},
        }
    )
    key = StoreKey(sha256(model), tuple(TAPS), "mean", 8000, 1.0, "all", 0, "none")
    means = rng.normal(size=(4, 16))
    features = {
        "embedding": (means[which] + 0.3 * rng.normal(size=(n, 16))).astype(np.float32),
        "logits": rng.normal(size=(n, 7)).astype(np.float32),
    }
    with FeatureStore.create(folder / "s.h5", key, TAPS, {"model": str(model), "audio": str(folder)}) as store:
        store.append(rows, features)
        store.finish()
    return folder


SETTINGS = Settings(folds=3, unit="window", epochs=1)


@pytest.fixture(scope="module")
def run(place):
    heads = "mapped-logits,probe-pca:embedding+logits,linear:embedding"
    return train([place / "s.h5"], place / "run", SETTINGS, heads=heads, labels=CLASSES).run


def test_a_first_pass_of_logits_and_of_tables(place, tmp_path):
    data = load([place / "s.h5"], "embedding", labels=CLASSES)
    told = []
    found = read_first_pass("logits", data, [place / "s.h5"], log=told.append)
    with FeatureStore.open(place / "s.h5") as store:
        logits = store.read("logits")
    np.testing.assert_array_equal(found[:, 1], logits[:, 0])  # Ardea ibis was Bubulcus ibis
    assert np.isnan(found[:, 3]).all()
    assert "3 of 4 classes" in told[0]
    table = pd.DataFrame({"x2": [0.25]}, pd.Index(["BC2026_Train_0000_S01_20260512_050000_2"], name="row_id"))
    table.to_csv(tmp_path / "t.csv")
    read = read_first_pass(str(tmp_path / "t.csv"), data, [place / "s.h5"])
    assert read[1, 1] == pytest.approx(np.log(1 / 3))
    assert np.isfinite(read).sum() == 1
    for text, said in (("nothing", "must be a tap of the store"), ("embedding", "16 numbers a window, expected 4")):
        with pytest.raises(InputError, match=said):
            read_first_pass(text, data, [place / "s.h5"])


def test_members_have_out_of_fold_tables_of_every_row(run, place):
    mapped = read_predictions(run / "oof" / "mapped-logits.csv")
    with FeatureStore.open(place / "s.h5") as store:
        logits = store.read("logits")
    np.testing.assert_allclose(mapped["grekis"], 1 / (1 + np.exp(-logits[:, 5].astype(float))), atol=1e-6)
    probe = read_predictions(run / "oof" / "probe-pca-embedding-logits.csv")
    assert probe.shape == (90, 4)
    scores = pd.read_csv(run / "scores.csv").query("fold == 'pooled' and unit == 'window'").set_index("head")
    assert scores["macro_auc"]["probe-pca-embedding-logits"] > 0.85  # three classes found, of the fourth nothing known
    assert scores["macro_auc"]["mapped-logits"] < 0.7
    rare = probe["rare"]  # three windows, too few; it has no output either
    np.testing.assert_allclose(rare, 1 / (1 + np.exp(-ABSENT)), atol=1e-6)


def test_a_probe_is_scikit_learns_pipeline_on_the_training_rows_alone(run, place):
    data = load([place / "s.h5"], "embedding", labels=CLASSES)
    x, y = data.xs["embedding"].numpy().astype(float), data.targets.numpy() > 0.5
    with np.load(run / "oof.npz") as oof:
        found, fold = oof["probe-pca-embedding-logits"], oof["row_fold"]
    for k in range(3):
        held, train_rows = fold == 1, fold != 1
        pipeline = make_pipeline(StandardScaler(), PCA(16, svd_solver="full"), LogisticRegression(C=0.1, max_iter=1000))
        wanted = pipeline.fit(x[train_rows], y[train_rows, k]).predict_proba(x[held])[:, 1]
        np.testing.assert_allclose(found[held, k], wanted, atol=1e-4)


def test_a_planted_leak_does_not_reach_the_held_out_rows(place, run, tmp_path):
    """Held-out rows changed beyond recognition leave the model of their fold as it was."""
    with np.load(run / "oof.npz") as oof:
        held = oof["row_fold"] == 0
    with FeatureStore.open(place / "s.h5") as store:
        rows, features, key, meta = store.rows(), {tap: store.read(tap) for tap in TAPS}, store.key, store.meta
    features["embedding"][held] = (
        1000 * np.eye(4)[:, np.arange(16) % 4][[CLASSES.index(label) for label in rows["label"]]][held]
    )
    with FeatureStore.create(tmp_path / "leak.h5", key, TAPS, meta) as store:
        store.append(rows, features)
        store.finish()
    heads = "probe-pca:embedding+logits"
    again = train([tmp_path / "leak.h5"], tmp_path / "run", SETTINGS, heads=heads, labels=CLASSES).run
    kept, changed = (load_members(each, heads.replace(":", "-").replace("+", "-")).modules for each in (run, again))
    for (name, one), other in zip(kept[0].state_dict().items(), changed[0].state_dict().values()):
        torch.testing.assert_close(one, other, msg=name)
    assert not torch.equal(kept[1].classify.weight, changed[1].classify.weight)


def test_a_probe_is_fused_with_its_mapped_logits(run, place, tmp_path):
    name = "probe-pca-embedding-logits"
    done = fuse(run, place / "m.onnx", tmp_path / "fused.onnx", head=name, fold=0)
    one, members = open_onnx(done.path), load_members(run, name, 0)
    windows = np.random.default_rng(3).normal(0, 0.3, (3, 8000)).astype(np.float32)
    assert one(windows).shape == (3, 4)
    assert json.loads({p.key: p.value for p in onnx.load(done.path).metadata_props}["taps"]) == ["embedding", "logits"]
    assert members.modules[0].has_probe.tolist() == [True, True, True, False]


def test_what_cannot_be_mapped_or_probed_is_one_line(place, tmp_path):
    for heads, said in (
        ("mapped-logits:embedding", "reads the tap logits alone"),
        ("probe-pca:logits", "expected a tap beside logits"),
    ):
        with pytest.raises(InputError, match=said):
            train([place / "s.h5"], tmp_path / "r", SETTINGS, heads=heads, labels=CLASSES)
    with pytest.raises(InputError, match=r"none of the 4 classes .* with --renames FILE"):
        train(
            [place / "s.h5"],
            tmp_path / "r",
            SETTINGS,
            heads="mapped-logits",
            naming=Naming(other(tmp_path)),
            labels=CLASSES,
        )


def other(folder):
    path = folder / "taxonomy.csv"
    path.write_text("primary_label,scientific_name\n" + "".join(f"{name},Quercus robur\n" for name in CLASSES))
    assert read_taxa(path)[0].genus == "Quercus"
    return path
