"""Several sweeps, one ranking: references, family-wise tests, the folder, the sentence, what is printed."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis import readouts
from birdprobe.analysis.runs import READOUT_COLUMNS
from birdprobe.features.spelling import short_names
from birdprobe.probe.cli.terminal import print_table
from birdprobe.probe.sweep.compare import compare
from birdprobe.probe.sweep.compare.pairing import pair_runs
from birdprobe.probe.sweep.compare.tables import short_summary
from birdprobe.probe.sweep.result import SweepResult
from birdprobe.probe.sweep.sweep import sweep
from tests.probe.compare.material import BEST_LAST, SETTINGS, copy_of
from tests.probe.test_cli import birdprobe, one_line

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"
BIRDNET = DATA / "birdnet" / "BirdNET_GLOBAL_6K_V2.4.onnx"
WREN = Path(__file__).resolve().parents[3] / "probe" / "assets" / "wren.onnx"


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
