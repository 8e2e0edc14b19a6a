"""What a kernel's last cell gives: what `predict` and the steps give, in the sample's form, whatever is damaged."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile

from birdprobe.analysis.postprocess.chain import Wanted, chain
from birdprobe.analysis.predictions.table import faults, read
from birdprobe.features import InputError
from birdprobe.heads.head_predictor import open_run
from birdprobe.heads.kaggle import write_kernel
from birdprobe.probe.soundscapes import open_onnx, predict
from birdprobe.probe.soundscapes.kaggle_run import submit
from tests.heads.kaggle.material import NAMES, OTHER, prior_of, sample, taxonomy_of
from tests.heads.untrained import LABELS
from tests.tiny import tiny_backbone


@pytest.fixture
def go(fused, competition, tmp_path):
    """Write a kernel with these settings and do what its last cell does: (run, table, config)."""

    def run(started=None, change=None, **options):
        kernel = write_kernel(fused, tmp_path / "kernel", row_s=options.pop("row_s", 2.0), overwrite=True, **options)
        config = kernel.config | (change or {})
        (kernel.package / "config.json").write_text(json.dumps(config))
        done = submit(kernel.package, competition, tmp_path, started)
        return done, read(done.path), config

    return run


@pytest.mark.parametrize(("row_s", "shifts"), [(2.0, (0.0, 1.0, -1.0)), (0.5, (0.0,)), (2.5, (0.25, -7.0))])
def test_a_submission_equals_that_of_predict(go, fused, competition, tmp_path, row_s, shifts):
    (competition / "sample_submission.csv").unlink()
    run, table, _ = go(row_s=row_s, tta_shifts=shifts)
    own = predict(open_onnx(fused), competition / "test_soundscapes", tmp_path / "own.csv", row_s=row_s, shifts=shifts)
    pd.testing.assert_frame_equal(table, read(own.path))
    assert np.ptp(table.to_numpy(), axis=0).min() > 1e-3
    assert not run.predicted.fallback_rows


def test_all_steps_equal_the_chain_on_what_predict_gives(go, fused, competition, tmp_path):
    (competition / "sample_submission.csv").unlink()
    files = {"taxonomy": taxonomy_of(tmp_path), "prior": prior_of(tmp_path)}
    run, table, _ = go(**files, gaussian=0.65, power=0.4)
    own = read(predict(open_onnx(fused), competition / "test_soundscapes", tmp_path / "own.csv", row_s=2.0).path)
    steps = chain(Wanted(**files, gaussian=0.65, power=0.4), own.index, own.columns)
    assert len(run.steps) == len(steps) == 4
    for step in steps:
        before, own = own, step(own)
        assert abs(own - before).to_numpy().max() > 0.001
    pd.testing.assert_frame_equal(table, own, atol=1e-8, rtol=0, check_names=False)


def test_rows_that_a_prior_reaches_are_counted(go, tmp_path, capsys):
    without = go()[1]
    table = go(prior=prior_of(tmp_path))[1]
    moved = (table != without).any(axis=1)
    assert moved.sum() == 3 and table.index[moved].str.contains("S01").all()
    assert "applies to 3 of 9 rows" in capsys.readouterr().out
    with pytest.raises(InputError, match="expected a prior"):
        go(prior=tmp_path / "none.json")


def test_the_sample_gives_order_and_columns(go, competition):
    sample(competition, [NAMES[2], NAMES[0], NAMES[1]])
    run, table, _ = go()
    wanted = [f"{name}_{end}" for name in (NAMES[2], NAMES[0], NAMES[1]) for end in (2, 4, 6)]
    assert list(table.columns) == [LABELS[2], OTHER, LABELS[0], LABELS[1]]
    assert run.predicted.lacking == (OTHER,)
    assert (table[OTHER] == 0).all()
    assert not faults(table, row_ids=wanted, classes=list(table.columns), rows_per_file=3)


def test_a_sample_of_a_few_rows_does_not_shorten_the_submission(go, competition):
    sample(competition, NAMES[:1], ends=(2, 4))
    _, table, _ = go()
    assert len(table) == 9 and list(table.columns) == [LABELS[2], OTHER, LABELS[0], LABELS[1]]


@pytest.mark.parametrize("damage", ["text", "silent", "cut"])
def test_a_bad_file_gets_the_means_of_the_others(go, competition, damage):
    bad = competition / "test_soundscapes" / f"{NAMES[1]}.ogg"
    if damage == "text":
        bad.write_text("no audio")
    elif damage == "silent":
        soundfile.write(bad, np.zeros(96000), 16000)
    else:
        bad.write_bytes(bad.read_bytes()[:3000])
    run, table, _ = go()
    good = [name for name in table.index if not name.startswith(NAMES[1])]
    assert set(run.predicted.fallback_rows) == {f"{NAMES[1]}_{end}" for end in (2, 4, 6)}
    assert run.predicted.skipped[0].file == bad.name
    np.testing.assert_allclose(table.loc[list(run.predicted.fallback_rows)], [table.loc[good].mean()] * 3, rtol=1e-6)


def test_no_time_left_is_a_valid_file(go):
    run, table, _ = go(change={"budget_minutes": 0.0, "margin_minutes": 0.0})
    assert run.predicted.stopped and len(run.predicted.fallback_rows) == 9
    assert not faults(table, rows_per_file=3)


def test_a_competition_of_other_classes_is_no_submission(go, competition, tmp_path):
    pd.DataFrame({"row_id": ["a_2"], "x": [0.5]}).to_csv(competition / "sample_submission.csv", index=False)
    with pytest.raises(InputError, match="none of the model's 3 "):
        go()
    assert not (tmp_path / "submission.csv").exists()


def test_without_test_soundscapes_a_few_of_training_are_predicted(go, competition, capsys):
    for path in (competition / "test_soundscapes").iterdir():
        path.unlink()
    run, table, _ = go(change={"dry_run_files": 1})
    assert run.dry_run
    assert list(table.index) == [f"BC2026_Train_0001_S01_20260512_050000_{end}" for end in (2, 4, 6)]
    assert "DRY RUN" in capsys.readouterr().out


def test_an_unknown_step_is_refused(go):
    with pytest.raises(InputError, match="step 'magic' found, one of taxonomy"):
        go(change={"postprocess": {"magic": 1}})


def test_heads_over_time_go_to_kaggle_too(tmp_path, competition):
    """The packed file reads whole recordings, with onnxruntime alone, and gives what the run gives."""
    from tests.heads.test_fuse_recordings import make_run as over_time

    model = tiny_backbone(tmp_path / "tiny.onnx")
    run = over_time(tmp_path / "run", model, "sequence-gru", tokens=("embedding",), folds=1)
    kernel = write_kernel(run, tmp_path / "kernel", model=model, row_s=2.0)
    code = (
        "import sys; from pathlib import Path; from birdprobe.probe.soundscapes.kaggle_run import submit\n"
        "submit(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))\n"
        "heavy = {'torch', 'onnx', 'sklearn', 'scipy', 'h5py', 'typer'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    (tmp_path / "working").mkdir()
    places = [str(place) for place in (kernel.package, competition, tmp_path / "working")]
    subprocess.run([sys.executable, "-c", code, *places], check=True, capture_output=True)
    found = read(tmp_path / "working" / "submission.csv")
    predict(open_run(run, model, None, None), competition / "test_soundscapes", tmp_path / "wanted.csv", row_s=2.0)
    wanted = read(tmp_path / "wanted.csv")
    common = [name for name in wanted.columns if name in found.columns]
    assert common
    np.testing.assert_allclose(found.loc[wanted.index, common], wanted[common], atol=1e-5)
