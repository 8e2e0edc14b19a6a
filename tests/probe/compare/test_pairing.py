"""Which clips of runs and stores are the same, and what cannot be paired."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis.scored_items import read_run
from birdprobe.features import InputError
from birdprobe.features.store import FeatureStore, import_features
from birdprobe.figures.comparisons.models import draw
from birdprobe.probe.sweep.compare import compare
from birdprobe.probe.sweep.compare.pairing import Source, pair_runs, unique_names
from birdprobe.probe.sweep.result import SweepResult
from birdprobe.probe.sweep.sweep import sweep
from tests.probe.compare.material import SETTINGS, copy_of, edit
from tests.probe.test_cli import birdprobe, one_line
from tests.tiny import tiny_dataset


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
