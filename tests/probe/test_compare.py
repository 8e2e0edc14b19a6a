"""Several sweeps, one ranking: pairing, references, family-wise tests, the folder, the sentence, the refusals."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis import readouts
from birdprobe.analysis.runs import READOUT_COLUMNS
from birdprobe.analysis.scored_items import read_run
from birdprobe.features import InputError
from birdprobe.features.store import FeatureStore, import_features
from birdprobe.figures.comparisons.models import draw
from birdprobe.probe.cli.terminal import print_table
from birdprobe.probe.sweep.compare import compare
from birdprobe.probe.sweep.compare.pairing import Source, pair_runs, unique_names
from birdprobe.probe.sweep.compare.tables import short_names, short_summary
from birdprobe.probe.sweep.result import SweepResult
from birdprobe.probe.sweep.sweep import sweep
from tests.probe.test_cli import birdprobe, one_line
from tests.tiny import tiny_backbone, tiny_dataset

SETTINGS = {
    **{"sample_rate": 8000, "window_s": 1.0, "folds": 3, "group_regex": r"^(G\d+)-", "timing": False},
    **{"projection": "none", "draw": False, "progress": False},
}
BEST_LAST = (
    *("vs_best_last", "vs_best_last_lo", "vs_best_last_hi"),
    *("vs_best_last_p", "vs_best_last_p_adjusted"),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Models, clips and sweeps: robin and wren on the same clips, robin again with other windows and scaling."""
    place = tmp_path_factory.mktemp("compare")
    audio = tiny_dataset(place / "audio")
    robin, wren = (tiny_backbone(place / f"{name}.onnx", seed) for seed, name in enumerate(("robin", "wren")))
    sweep(robin, audio, place / "robin", **SETTINGS)
    sweep(wren, audio, place / "dunnock", **SETTINGS)
    sweep(robin, audio, place / "robin-peak", normalise="peak", select="energy:1", **SETTINGS)
    return place


def copy_of(run: Path, to: Path) -> Path:
    shutil.copytree(run, to)
    return to


def edit(run: Path, change) -> Path:
    """A run whose predictions.csv went through `change`."""
    table = pd.read_csv(run / "predictions.csv", dtype={"group": str})
    change(table).to_csv(run / "predictions.csv", index=False)
    return run


@pytest.fixture(scope="module")
def compared(place):
    return compare([place / "robin", SweepResult(place / "dunnock")], place / "compared", seed=1, draw=False)


def test_every_cell_of_every_model_is_ranked_on_the_first_runs_folds(place, compared):
    table = compared.table
    assert list(table.columns) == ["model", *READOUT_COLUMNS, *BEST_LAST]
    taps = ["block_00", "block_01", "block_02", "block_03", "embedding", "logits"]
    assert list(table[["model", "tap", "readout"]].itertuples(index=False, name=None)) == [
        (model, tap, name) for model in ("robin", "wren") for tap in taps for name in readouts.DEFAULT
    ]
    for model, run in (("robin", "robin"), ("wren", "dunnock")):  # alone and compared, a cell has the same score
        alone = pd.read_csv(place / run / "readouts.csv")
        own = table[table["model"] == model]
        np.testing.assert_allclose(own["score"], alone["score"], atol=1e-6)
        np.testing.assert_allclose(own["vs_last"], alone["vs_last"], atol=1e-6)  # against the model's own embedding
    assert (table["vs_last_p_adjusted"] >= table["vs_last_p"] - 1e-12).all()
    np.testing.assert_allclose(table.groupby("readout")["p_best"].sum(), 1.0)


def test_cells_are_compared_with_the_best_models_last_tap(compared):
    table = compared.table
    for _, cells in table.groupby("readout"):
        lasts = cells[cells["tap"] == "embedding"]
        best = lasts.loc[lasts["score"].idxmax()]
        np.testing.assert_allclose(cells["vs_best_last"], cells["score"] - best["score"], atol=1e-12)
        assert cells.loc[best.name, "vs_best_last_p_adjusted"] == 1


def test_answer_names_model_tap_and_readout_of_each_use(compared):
    answer = compared.answer
    for use, names in (("training_free", readouts.TRAINING_FREE), ("linear", readouts.LINEAR), ("published", ["knn"])):
        cells = compared.table[compared.table["readout"].isin(names)]
        equals = cells[cells["score"] == cells["score"].max()]
        kept = equals[equals["tap"] == "embedding"]  # the reference of both comes first among equals
        best = (equals if kept.empty else kept).iloc[0]
        found = answer[use]
        assert (found["model"], found["tap"], found["readout"]) == (best["model"], best["tap"], best["readout"])
        assert found["corrected"] <= found["score"] + 0.02
        (other,) = found["others"]
        rest = cells[cells["model"] != best["model"]]
        assert other["model"] != best["model"] and other["score"] == pytest.approx(rest["score"].max())
        assert other["difference"] == pytest.approx(found["score"] - other["score"])
        assert found["beats_others"] == (other["difference"] > 0 and other["p_adjusted"] < 0.05)
        if use != "published":
            assert f"{best['model']} {best['tap']} by " in answer["sentence"]
    assert answer["references"] == {"robin": "embedding", "wren": "embedding"}
    assert answer["n_groups"] == 9 and "9 groups: p cannot fall below 0.0039" in answer["sentence"]


def test_the_folder_holds_what_the_record_does(place, compared):
    run = place / "compared"
    assert compared.path == run
    pd.testing.assert_frame_equal(pd.read_csv(run / "readouts.csv"), compared.table, atol=1e-5, check_dtype=False)
    assert json.loads((run / "answer.json").read_text()) == compared.answer
    config = json.loads((run / "config.json").read_text())
    assert config["format"] == "birdprobe/compare" and [m["name"] for m in config["models"]] == ["robin", "wren"]
    page = (run / "compare.md").read_text()
    assert all(line in page for line in compared.answer["lines"]) and compared.summary in page
    taps = pd.read_csv(run / "ranking.csv")
    assert list(taps["model"].value_counts()) == [6, 6]
    for row in taps.itertuples():
        own = compared.table[(compared.table["model"] == row.model) & (compared.table["tap"] == row.tap)]
        assert row.training_free == pytest.approx(own[own["readout"].isin(readouts.TRAINING_FREE)]["score"].max())
        assert row.linear == pytest.approx(own[own["readout"] == "linear"]["score"].item())
    blocks = taps[taps["index"].notna()]
    assert blocks.groupby("model")["macs_per_s"].apply(lambda cost: cost.is_monotonic_increasing).all()
    shown = compared._repr_html_()
    assert compared.answer["lines"][0] in shown and shown.count("<td>robin</td>") == 2  # the best of each use


def test_the_same_seed_gives_the_same_numbers_without_a_folder(place, compared):
    again = compare([place / "robin", place / "dunnock"], seed=1, progress=False)
    pd.testing.assert_frame_equal(again.table, compared.table)
    assert again.answer == compared.answer and again.path is None


def test_two_settings_of_one_model_are_named_by_their_runs(place):
    found = compare([place / "robin", place / "robin-peak", place / "dunnock"], readout="knn", progress=False)
    assert list(dict.fromkeys(found.table["model"])) == ["robin", "robin-peak", "wren"]
    assert found.warnings == ()  # energy:1 starts elsewhere in a clip, and is the same clip
    assert found.answer["linear"] is None and found.answer["training_free"]["readout"] == "knn"
    assert len(found.answer["training_free"]["others"]) == 2


def test_names_stay_unique():
    configs = [{"model": {"path": f"models/{name}.onnx"}} for name in ("a", "a", "b", "a")]
    paths = [Path(p) for p in ("x/one", "y/one", "x/two", "x/b")]
    assert unique_names([Source(*both, None, None) for both in zip(paths, configs)]) == ["one", "one 2", "b", "b 2"]


def test_clips_that_one_run_lacks_are_left_out_and_counted(place, tmp_path):
    less = tmp_path / "less"
    audio = tmp_path / "audio"
    shutil.copytree(place / "audio", audio)
    for group in (0, 101, 202):  # a recording, two clips, of each class
        for clip in audio.glob(f"*/G{group}-*"):
            clip.unlink()
    sweep(place / "wren.onnx", audio, less, **(SETTINGS | {"folds": 2}))
    paired = pair_runs([place / "robin", less])
    assert [model.left_out for model in paired.models] == [6, 0] and len(paired.table) == 12
    assert paired.warnings == ("robin: 6 of 18 clips left out, not in every run.",)
    whole = read_run(place / "robin").table
    kept = whole[whole["file"].isin(paired.table["file"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(paired.table, kept)  # folds, too, are the first run's
    for model in paired.models:
        own = read_run(model.path)
        rows = [list(own.table["file"]).index(name) for name in paired.table["file"]]
        np.testing.assert_array_equal(model.vectors("block_01"), own.features["block_01"][rows])


def test_other_audio_under_the_same_names_is_told(place, tmp_path):
    audio = tiny_dataset(tmp_path / "audio", seed=5)
    sweep(place / "wren.onnx", audio, tmp_path / "other", **SETTINGS)
    (warning,) = pair_runs([place / "robin", tmp_path / "other"]).warnings
    assert warning == "wren: 18 clips have the names of robin's, but other audio."


def test_labels_that_disagree_are_refused(place, tmp_path):
    def rename(table):
        table.loc[3, "label"] = "species 9"
        return table

    run = edit(copy_of(place / "dunnock", tmp_path / "renamed"), rename)
    with pytest.raises(
        InputError, match=r"G1-3\.wav is labelled 'species 9', in .*robin 'species 0' \(1 of 18 differ\)"
    ):
        compare([place / "robin", run])


def test_other_groups_leave_nothing_in_common(place, tmp_path):
    run = edit(copy_of(place / "dunnock", tmp_path / "grouped"), lambda table: table.assign(group=table["file"]))
    with pytest.raises(InputError, match=r"no clip in common with .*robin.*same --group-regex\?"):
        compare([place / "robin", run])


def test_clips_are_not_paired_with_windows(place, tmp_path):
    sweep(place / "wren.onnx", place / "audio", tmp_path / "windows", unit="window", **SETTINGS)
    with pytest.raises(InputError, match=r"windows are ranked, clips in .*robin; the same unit wanted"):
        compare([place / "robin", tmp_path / "windows"])
    config = json.loads((tmp_path / "windows" / "config.json").read_text())
    longer = copy_of(tmp_path / "windows", tmp_path / "longer")
    config["model"]["window_s"] = 5.0
    (longer / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"windows of 5\.0 s are ranked, of 1\.0 s in .*equal ones wanted"):
        compare([tmp_path / "windows", longer])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"readout": "attentive"}, "read-outs of pooled vectors, got attentive"),
        ({"readout": "magic"}, "got 'magic'"),
        ({"score": "f1"}, "`--score` must be one of auto, top1, auc, cmap, got 'f1'"),
    ],
)
def test_wrong_options_are_refused(place, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        compare([place / "robin", place / "dunnock"], **options)


def imported(
    run: Path, path: Path, tap: str = "embedding", less: int = 0, shift_s: float = 0.0, label: str = ""
) -> Path:
    """The windows of a sweep as the embeddings of another program, all but `less` of them."""
    with FeatureStore.open(run / "features.h5") as store:
        rows, x = store.rows()[less:], store.read(tap)[less:]
    names = ("D:\\field\\" + rows["file"].str.replace(".wav", ".mp3")).to_numpy(str)
    labels = [label or text for text in rows["labels"]]
    times = {"start_time": rows["start_s"] + shift_s, "end_time": rows["end_s"] + shift_s}
    np.savez(path.with_suffix(".npz"), x=x, filename=names, label=np.array(labels), **times)
    return import_features(path.with_suffix(".npz"), path, tap="theirs")


def test_an_imported_store_is_ranked_beside_a_sweep(place, compared, tmp_path):
    other = imported(place / "dunnock", tmp_path / "other.h5")
    done = birdprobe("compare", place / "robin", other, "-o", tmp_path / "both")
    assert done.returncode == 0 and done.stderr.count("warning") == 0, done.stderr
    table = pd.read_csv(tmp_path / "both" / "readouts.csv")
    own = table[table["model"] == "other"].set_index("readout")["score"]
    wanted = compared.table[(compared.table["model"] == "wren") & (compared.table["tap"] == "embedding")]
    assert set(table["model"]) == {"robin", "other"} and len(own) == len(wanted)
    np.testing.assert_allclose(own[wanted["readout"]], wanted["score"], atol=1e-6)  # as if it had been swept
    page = (tmp_path / "both" / "compare.md").read_text()
    assert "nan" not in page + done.stdout and "| other" in page
    figure = draw(tmp_path / "both")
    assert "Dotted across: the best tap of a run of unknown cost." in figure.texts[0].get_text().replace("\n", " ")
    taps = pd.read_csv(tmp_path / "both" / "ranking.csv").set_index("model")
    for axes, use in zip(figure.axes, ("linear", "training_free"), strict=True):  # from the bottom up
        low, high = axes.get_ylim()
        assert low < taps.loc["other", use] < high
    assert (tmp_path / "both" / "figures" / "models.png").stat().st_size


def test_clips_and_windows_that_a_store_or_the_sweep_lacks_are_counted(place, tmp_path):
    rows = SweepResult(place / "robin").features("embedding")[1]
    with FeatureStore.open(place / "robin" / "features.h5") as store:
        first = int((store.rows()["clip"] == 0).sum())
    paired = pair_runs([place / "robin", imported(place / "robin", tmp_path / "other.h5", less=first)])
    assert paired.warnings == ("robin: 1 of 18 clips left out, not in every run.",)
    assert rows["file"].tolist()[1:] == paired.table["file"].tolist()
    np.testing.assert_allclose(paired.models[1].vectors("theirs"), paired.models[0].vectors("embedding"), atol=1e-6)
    more = imported(place / "robin", tmp_path / "more.h5", shift_s=1.0)  # half of the windows lie behind the clips
    assert paired.warnings[0] in pair_runs([place / "robin", tmp_path / "other.h5", more]).warnings
    told = pair_runs([place / "robin", more]).warnings
    assert re.fullmatch(r"more: \d+ of \d+ windows left out, in no clip of .*robin\.", told[0])


def test_stores_that_do_not_match_a_sweep_are_one_line(place, tmp_path):
    far = imported(place / "robin", tmp_path / "far.h5", shift_s=500.0)
    line = one_line(birdprobe("compare", place / "robin", far, "-o", tmp_path / "out"))
    assert re.search(r"far\.h5: none of its \d+ windows lies in a clip of .*robin, by file name and time", line)
    odd = imported(place / "robin", tmp_path / "odd.h5", label="owl")
    with pytest.raises(
        InputError, match=r"is labelled 'owl', in .*robin 'species 0' \(18 of 18 differ\).*--labels AUDIO"
    ):
        compare([place / "robin", odd])
    with pytest.raises(InputError, match=r"odd\.h5: a file, wanted the folder of a sweep first"):
        compare([odd, place / "robin"])
    with pytest.raises(InputError, match="notes"):
        (tmp_path / "notes.txt").write_text("no store")
        compare([place / "robin", tmp_path / "notes.txt"])


def test_a_single_run_or_no_run_is_refused(place, tmp_path):
    with pytest.raises(InputError, match="1 run found, at least two wanted"):
        compare([place / "robin"])
    with pytest.raises(InputError, match="the same run is given twice"):
        compare([place / "robin", place / "audio" / ".." / "robin"])
    with pytest.raises(InputError, match=r"config\.json"):
        compare([place / "robin", tmp_path])


def test_several_labels_a_clip_all_count(place, tmp_path):
    manifest = tmp_path / "clips.csv"
    rows = ["path,label,author"]
    for i, clip in enumerate(sorted((place / "audio").glob("*/*.wav"))):
        label = clip.parent.name + (f";species {(i + 1) % 3}" if i % 4 == 0 else "")
        rows.append(f"{clip},{label},{clip.name.split('-')[0]}")
    manifest.write_text("\n".join(rows) + "\n")
    settings = SETTINGS | {"group_regex": None, "groups": "author"}
    for name in ("robin", "wren"):
        sweep(place / f"{name}.onnx", manifest, tmp_path / name, **settings)
    few = sweep(place / "robin.onnx", manifest, tmp_path / "few", readout="knn-cosine", **settings).ranking
    pd.testing.assert_frame_equal(few, SweepResult(tmp_path / "robin").ranking)  # whatever --readout asks for beside it
    paired = pair_runs([tmp_path / "robin", tmp_path / "wren"])
    assert paired.targets.sum() > len(paired.table)
    found = compare([tmp_path / "robin", tmp_path / "wren"], readout="knn,linear", progress=False)
    alone = pd.read_csv(tmp_path / "robin" / "readouts.csv")
    assert found.answer["metric"] == "auc"
    own = found.table[found.table["model"] == "robin"]
    wanted = alone[alone["readout"].isin(["knn", "linear"])]
    np.testing.assert_allclose(own["score"], wanted["score"], atol=1e-6)


def test_the_command_prints_writes_and_draws(place, tmp_path):
    out = tmp_path / "out"
    done = birdprobe("compare", place / "robin", place / "dunnock", "-o", out, "--readout", "knn-cosine,linear")
    assert done.returncode == 0, done.stderr
    answer = json.loads((out / "answer.json").read_text())
    assert all(line in done.stdout for line in answer["lines"]) and "compare.md" in done.stdout
    assert (out / "figures" / "models.png").stat().st_size and (out / "figures" / "models.pdf").stat().st_size
    assert answer["published"] is None
    assert "--overwrite" in one_line(birdprobe("compare", place / "robin", place / "dunnock", "-o", out))
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    done = birdprobe("compare", place / "robin", place / "dunnock", "-o", out, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == written
    (out / "figures" / "models.png").unlink()
    assert birdprobe("figures", out).returncode == 0 and (out / "figures" / "models.png").exists()


def test_a_sweeps_own_folder_is_never_replaced(place):
    before = (place / "robin" / "answer.json").read_bytes()
    line = one_line(birdprobe("compare", place / "robin", place / "dunnock", "-o", place / "robin", "--overwrite"))
    assert "birdprobe/sweep" in line and (place / "robin" / "answer.json").read_bytes() == before


DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
BIRDNET = DATA / "birdnet" / "BirdNET_GLOBAL_6K_V2.4.onnx"
WREN = Path(__file__).resolve().parents[2] / "probe" / "assets" / "wren.onnx"


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(not BIRDNET.exists(), reason="the real BirdNET and ESC-10 are not here")
def test_birdnet_and_wren_on_esc10_give_one_ranking(tmp_path):
    settings = {
        **{"group_regex": r"^\d-(\d+)-", "fold_regex": r"^(\d)-", "classes": 10, "per_class": 40},
        **{"timing": False, "projection": "none", "draw": False, "progress": False},
    }
    for model, name in ((BIRDNET, "birdnet"), (WREN, "wren")):
        sweep(model, DATA / "esc10", tmp_path / name, **settings)
    found = compare([tmp_path / "birdnet", tmp_path / "wren"], tmp_path / "both", progress=False)
    assert found.answer["n"] == 400 and found.warnings == ()
    for use in ("training_free", "linear"):
        part = found.answer[use]
        assert part["model"] == BIRDNET.stem and part["beats_others"]
        assert part["score"] == pytest.approx({"training_free": 0.922, "linear": 0.935}[use], abs=0.02)
        assert part["others"][0]["score"] == pytest.approx({"training_free": 0.685, "linear": 0.703}[use], abs=0.03)
    assert (tmp_path / "both" / "figures" / "models.png").exists()


def test_no_word_of_the_terminals_tables_is_broken_at_80_columns(compared, capsys):
    longer = {"robin": "BirdNET_GLOBAL_6K_V2.4_Model_FP32", "wren": "google-perch-v2-untrained-seed-0"}
    change = {"model": longer, "tap": dict.fromkeys(set(compared.table["tap"]), "block_25/grid:4x2")}
    readouts = compared.table.replace(change).assign(readout="knn-standard")
    tables = short_summary(readouts, compared.taps.replace(change).drop_duplicates(["model", "tap"]))
    assert list(tables) == ["Without training"]
    for table in tables.values():
        print_table(table)
        lines = capsys.readouterr().out.splitlines()
        rows = ([column.title for column in table.columns], *table.cells())
        assert max(map(len, lines)) <= 80
        assert sorted(" ".join(lines).split()) == sorted(word for row in rows for cell in row for word in cell.split())


def test_short_names_stay_apart():
    long = "a-very-long-name-of-a-model"
    for names in (["wren", long], [f"{long}-1", f"{long}-2"], [f"1-{long}", f"2-{long}"], [f"{long}1{long}", long * 2]):
        short = short_names(names)
        assert len(set(short.values())) == 2 and max(map(len, short.values())) <= 20
    assert short_names(["wren"]) == {"wren": "wren"}


def test_a_comparison_and_a_run_print_what_they_say(compared, place):
    told = str(compared)
    assert told.startswith(compared.sentence) and "Without training:" in told and len(told.splitlines()) < 40
    run = SweepResult(place / "robin")
    assert str(run).startswith(f"{run.path}: {run.sentence}\n{run.note}") and "taps x" in run.note
    assert repr(run) == str(run) and repr(run.answer) == "\n".join(run.answer["lines"])


def test_a_run_on_disk_tells_its_warnings_and_what_was_skipped(place, tmp_path):
    run = copy_of(place / "robin", tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config |= {"warnings": ["odd <clips>"], "skipped": [{"file": "x.wav", "reason": "silent"}]}
    (run / "config.json").write_text(json.dumps(config))
    found = SweepResult(run)
    assert found.warnings == ("odd <clips>",) and found.skipped.values.tolist() == [["x.wav", "silent"]]
    assert "warning: odd <clips>" in str(found) and "1 clip could not be used" in str(found)
    assert "odd &lt;clips&gt;" in found._repr_html_() and "x.wav: silent" in found._repr_html_()
