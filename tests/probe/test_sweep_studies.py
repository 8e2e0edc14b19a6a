"""What a sweep finds beside its ranking, end to end on a tiny backbone."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

import birdprobe as bp
from birdprobe.analysis.runs import PLANE_COLUMNS, Run
from birdprobe.features import InputError
from birdprobe.probe.assets import WREN
from birdprobe.probe.blocks.detection import find_blocks
from birdprobe.probe.graph.load import load
from birdprobe.probe.runtime.cost import Timing
from birdprobe.probe.sweep.data import read_data
from birdprobe.probe.sweep.settings import Settings, parse_shots
from birdprobe.probe.sweep.studies.timings import study_timings
from birdprobe.probe.sweep.sweep import sweep
from tests.probe.test_cli import birdprobe
from tests.tiny import tiny_backbone, tiny_dataset

GIVEN = {
    **{"sample_rate": 8000, "window_s": 1.0, "folds": 3, "projection": "pca", "timing": False},
    **{"group_regex": r"^(G\d+)-", "progress": False, "draw": False},
}
STUDIES = {"shots.csv", "planes.csv", "plane_scores.csv"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_backbone(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    """Three classes of six clips in three groups; a clip of G0 is in G2 too."""
    folder = tiny_dataset(tmp_path_factory.mktemp("audio"))
    shutil.copy(folder / "species 0" / "G0-0.wav", folder / "species 0" / "G2-9.wav")
    return folder


@pytest.fixture(scope="module")
def result(model, audio, tmp_path_factory):
    return sweep(
        model, audio, tmp_path_factory.mktemp("runs") / "run", shots="1,2,64", planes=True, control=True, **GIVEN
    )


def test_few_labels_are_scored_for_the_taps_in_question(result):
    table = pd.read_csv(result.path / "shots.csv")
    assert set(table["shots"]) == {1, 2} and set(table["readout"]) == set(result.readouts["readout"])
    assert "embedding" in set(table["tap"]) and 2 <= table["tap"].nunique() <= 4
    told = result.answer["shots"]
    assert told["taps"] == list(table["tap"].unique())
    assert result.answer["lines"][-2].lower().endswith(told["sentence"].lower())
    assert any(words.startswith("--shots: Left out") and "64 clips" in words for words in result.config["warnings"])


def test_the_control_is_the_sweep_of_the_randomised_file(result, model, audio, tmp_path):
    bp.randomise(model, tmp_path / "untrained.onnx", sample_rate=8000, window_s=1.0, progress=False)
    untrained = sweep(tmp_path / "untrained.onnx", audio, tmp_path / "run", readout="knn,linear", **GIVEN)
    pd.testing.assert_frame_equal(result.control, untrained.ranking[list(result.control)])
    found = pd.read_csv(result.path / "control_readouts.csv")
    wanted = untrained.readouts[list(found)]
    found = found[found["readout"].isin(["knn", "linear"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, wanted)
    assert untrained.control is None and (result.path / "control.h5").is_file()
    with pytest.raises(InputError, match=r"untrained\.onnx has random weights itself"):
        sweep(tmp_path / "untrained.onnx", audio, tmp_path / "other", control=True, **GIVEN)


def test_the_control_tells_what_share_of_the_gain_over_chance_was_not_learned(result):
    control = result.answer["control"]
    assert result.answer["lines"][-1] == control["sentence"]
    trained, untrained = result.readouts, pd.read_csv(result.path / "control_readouts.csv")
    for use in ("training_free", "linear"):
        one = control[use]
        best = trained[trained["readout"] == one["readout"]]["score"].max()
        other = untrained[untrained["readout"] == one["readout"]]["score"].max()
        assert (one["tap"], one["readout"]) == (result.answer[use]["tap"], result.answer[use]["readout"])
        assert one["difference"] == pytest.approx(best - other, abs=1e-5)
        share = (other - control["chance"]) / (best - control["chance"])
        assert one["share"] == pytest.approx(share, abs=1e-4)
        assert one["share_lo"] <= one["share"] <= one["share_hi"] and one["lo"] <= one["difference"] <= one["hi"]
        assert f"{one['control_score']:.3f} at {one['control_tap']} by" in control["sentence"]


def test_every_tap_has_a_plane(result):
    scores = pd.read_csv(result.path / "plane_scores.csv")
    assert list(scores.columns) == list(PLANE_COLUMNS) and list(scores["tap"]) == list(result.ranking["tap"])
    assert set(scores["method"]) == {"pca"}
    points = Run(result.path).planes
    assert len(points) == len(scores) * result.config["audio"]["units"]


def test_scores_without_read_outs_and_their_regret(result):
    free = pd.read_csv(result.path / "label_free.csv")
    assert list(free.columns) == ["tap", "effective_rank", "logme"]
    np.testing.assert_allclose(free["logme"], result.ranking["logme"], rtol=1e-4, atol=1e-6)
    assert list(Run(result.path).cka.index) == list(free["tap"])
    table = result.readouts.set_index(["readout", "tap"])["score"]
    records = result.answer["label_free"]
    assert [(one["use"], one["label_free"]) for one in records] == [
        (use, score) for use in ("training_free", "linear") for score in ("effective_rank", "logme")
    ]
    for one in records:
        scored = table[one["readout"]]
        chosen = free.set_index("tap")[one["label_free"]].idxmax()
        assert one["tap"] == chosen
        assert one["regret"] == pytest.approx(scored.max() - scored[chosen], abs=1e-5)


def test_the_same_audio_in_two_groups_is_told(result):
    found = result.config["duplicates"]
    assert found["pairs"] == found["same_file"] == 1
    assert found["named"] == [["species 0/G0-0.wav", "species 0/G2-9.wav"]]
    assert found["n"] - found["n_without"] == 2
    words = next(words for words in result.config["warnings"] if "the same audio" in words)
    assert "1 pair of clips in different groups" in words and "species 0/G0-0.wav and species 0/G2-9.wav" in words
    assert f"{found['top1']:.3f} (19)" in words and f"{found['top1_without']:.3f} (17)" in words


def test_test_files_that_are_in_audio_are_told_and_a_new_run_leaves_no_old_tables(result, model, audio, tmp_path):
    run = shutil.copytree(result.path, tmp_path / "run")
    assert {path.name for path in run.iterdir()} >= STUDIES
    again = sweep(model, audio, run, test=audio, readout="knn,linear", overwrite=True, **GIVEN)
    assert not STUDIES & {path.name for path in run.iterdir()}
    assert len(again.config["test_files_in_audio"]) == 19
    assert any("19 files of TEST are in AUDIO too" in words for words in again.config["warnings"])


def test_attentive_reads_maps_and_the_others_their_mean(model, audio, tmp_path):
    of_maps = sweep(model, audio, tmp_path / "maps", pool="grid:5", readout="knn,linear,attentive", **GIVEN)
    of_means = sweep(model, audio, tmp_path / "means", readout="knn,linear", **GIVEN)
    table = of_maps.readouts.set_index(["readout", "tap"])["score"]
    assert list(table["attentive"].index) == list(of_means.ranking["tap"])  # the embedding too: one position
    assert (of_maps.ranking["dim"] == of_means.ranking["dim"]).all()
    for tap in of_means.ranking["tap"]:
        np.testing.assert_allclose(of_maps.features(tap)[0], of_means.features(tap)[0], atol=1e-5)
    assert table["attentive"].max() > 0.6  # three pitches


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"readout": "knn,attentive"},
            "`--readout attentive` reads maps: it wants `--pool grid:HxW`, got `--pool mean`",
        ),
        ({"shots": "1,two"}, "`--shots` must be whole numbers from 1, comma-separated, got '1,two'"),
        ({"shots": "0"}, "`--shots` must be whole numbers from 1"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_opened(options, words):
    with pytest.raises(InputError, match=words):
        Settings(**options).check()


def test_shots_are_sorted_and_each_once():
    assert parse_shots("4, 1,4,2") == (1, 2, 4) and parse_shots(None) == ()


def test_timings_that_fall_beyond_both_spreads_are_flagged():
    ms = {"stem": 1.0, "block_00": 3.0, "block_01": 2.6, "block_02": float("nan"), "block_03": 2.0, "embedding": 3.5}

    def flagged(spread, **own):
        found = study_timings({tap: Timing(one, own.get(tap, spread)) for tap, one in ms.items()})
        return found.config.get("non_monotone_timings"), found.warnings

    taps, warnings = flagged(0.25)
    assert taps == ["block_03"] and "block_03 measured cheaper than an earlier tap" in warnings[0]
    assert flagged(0.05)[0] == ["block_01", "block_03"] and flagged(0.5) == (None, ())
    assert flagged(0.1, block_00=2.0)[0] == ["block_03"]  # below block_01, whatever block_00 was


def test_no_block_before_the_embedding_costs_more_than_it(result):
    """One run's noise once had a block before the embedding at 137 % of its cost: shares are counted, not measured."""
    taps = find_blocks(load(WREN)).taps
    macs = [taps[name].macs for name in taps if name != "logits"]
    assert list(taps)[-2:] == ["embedding", "logits"]
    assert macs == sorted(macs) and macs[0] > 0
    architecture = result.config["model"]["architecture"]
    counted = {block["name"]: block["macs"] for block in (*architecture["blocks"], architecture["embedding"])}
    best = result.config["answer"]["best"]
    assert result.config["answer"]["cost_share"] == counted[best] / counted["embedding"] <= 1


@pytest.mark.slow
def test_a_competition_is_swept_as_it_is(tmp_path):
    folder, run = tmp_path / "competition", tmp_path / "run"
    made = birdprobe("demo", "--competition", folder, "--species", 8, "--clips", 8, "--soundscapes", 6)
    assert made.returncode == 0, made.stderr
    options = ("--test", folder, "-o", run, "--projection", "pca", "--no-timing")  # its labelled soundscapes
    done = birdprobe("sweep", WREN, folder, *options)
    assert done.returncode == 0, done.stderr
    readouts = pd.read_csv(run / "readouts.csv")
    for name in ("score", "lo", "hi", "vs_last", "vs_last_p_adjusted"):
        assert readouts[f"shifted_{name}"].notna().all()
    answer = json.loads((run / "answer.json").read_text())
    shifted, at = answer["shifted"], readouts.set_index(["tap", "readout"])
    best, chosen = ((shifted[part]["tap"], shifted[part]["readout"]) for part in ("best", "chosen_in_domain"))
    assert best == at["shifted_score"].idxmax() and chosen == at["score"].idxmax()
    regret = at["shifted_score"].max() - at.loc[chosen, "shifted_score"]
    assert shifted["regret"] == pytest.approx(regret, abs=1e-5) and regret >= 0
    assert f"{best[0]} by" in shifted["sentence"] and shifted["sentence"] in done.stdout
    assert (run / "report.html").is_file()
    assert "rows of 6 groups" in shifted["sentence"]


def test_classes_that_are_never_first_are_counted_and_named(audio, tmp_path):
    rows = [f"{clip},{clip.parent.name}{';owl;wren' if i % 2 else ''}" for i, clip in enumerate(audio.glob("*/*.wav"))]
    (tmp_path / "clips.csv").write_text("\n".join(["path,label", *rows]))
    found = read_data(tmp_path / "clips.csv", None, Settings(folds=3))
    told = "2 classes are never the first label of a clip, and not ranked: 'owl', 'wren'."
    assert any(line.endswith(told) for line in found.recordings.warnings) and len(found.folded.classes) == 3
    assert not any("never the first" in line for line in read_data(audio, None, Settings(folds=3)).recordings.warnings)
