"""README's last mile at small size: soundscapes to a blended, post-processed, validated and compared submission."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis import predictions
from birdprobe.analysis.postprocess import recipes
from birdprobe.analysis.predictions import comparison
from birdprobe.probe.demo import WREN
from tests.probe.test_cli import birdprobe, one_line

TAPS = ("--taps", "24,embedding")
HEADS = ("attention", "linear-embedding")


def done(*args):
    run = birdprobe(*args)
    assert run.returncode == 0, run.stderr
    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """comp/, heads/ (two heads over two folds), and a submission of each head for the unseen soundscapes."""
    place = tmp_path_factory.mktemp("last-mile")
    comp = place / "comp"
    done("demo", "--competition", comp, "--species", 6, "--clips", 5, "--soundscapes", 6)
    done("extract", WREN, comp, "-o", place / "focal.h5", "--select", "center", *TAPS)
    done("extract", WREN, comp / "train_soundscapes_labels.csv", "-o", place / "soundscapes.h5", *TAPS)
    done(
        *("train", place / "focal.h5", place / "soundscapes.h5", "-o", place / "heads", *TAPS, "--fold-by", "file"),
        *("--head", "attention,linear:embedding", "--taxonomy", comp / "taxonomy.csv", "--folds", 2, "--epochs", 6),
    )
    for head in HEADS:
        done(
            *("predict", place / "heads", comp / "test_soundscapes", "-o", place / f"{head}.csv", "--head", head),
            *("--sample-submission", comp / "sample_submission.csv"),
        )
    return place


def test_predictions_are_the_sample_submissions_rows(place):
    sample = predictions.read(place / "comp" / "sample_submission.csv")
    for head in HEADS:
        table = predictions.read_predictions(place / f"{head}.csv")
        assert not predictions.faults(table, sample.index, sample.columns, rows_per_file=12)
        assert table.to_numpy().std() > 0.01
        assert json.loads((place / f"{head}.json").read_text())["fallback_rows"] == []


def test_blend_post_processing_and_comparison_against_the_truth(place):
    comp, out = place / "comp", place / "blend.csv"
    members = [place / f"{head}.csv" for head in HEADS]
    oof = [place / "heads" / "oof" / f"{head}.csv" for head in HEADS]
    run = done(
        *("blend", *members, "-o", out, "--weights", "search", "--oof", ",".join(map(str, oof))),
        *("--oof-truth", place / "heads" / "oof" / "truth.csv", "--sample-submission", comp / "sample_submission.csv"),
        *("--taxonomy", comp / "taxonomy.csv", "--prior", comp / "train_soundscapes_labels.csv"),
        *("--gaussian", 1, "--power", 0.4, "--no-call", 0.05, "--truth", comp / "truth" / "truth.csv"),
    )
    assert "blended with the weights of the others" in run.stdout and "rows list a window again" in run.stderr
    frame = comparison.read(place / "blend-comparison.csv")
    assert list(dict.fromkeys(frame["member"])) == [*HEADS, "blend"] and len(frame) == 3 * 6
    assert (frame["lo"] <= frame["macro_auc"]).all() and frame["vs_baseline_lo"].notna().sum() == len(frame) - 1
    about = json.loads((place / "blend.json").read_text())
    assert len(about["steps"]) == 5 and about["steps"][0]["applied_rows"] == len(predictions.read(out))
    assert np.isclose(sum(member["weight"] for member in about["members"]), 1)
    found = json.loads(done("score", out, comp / "truth" / "truth.csv", "--json").stdout)
    last = frame[frame["member"] == "blend"].iloc[-1]
    assert found["macro_auc"] == pytest.approx(last["macro_auc"], abs=1e-6)
    for suffix in (".md", ".tex", ".png", ".pdf"):
        assert (place / f"blend-comparison{suffix}").stat().st_size > 500
    assert "toprule" in (place / "blend-comparison.tex").read_text()
    again = birdprobe("blend", *members, "-o", out)
    assert "exists" in one_line(again)


def test_the_published_recipe_and_a_copy_of_it_with_a_step_less(place, tmp_path):
    comp, out = place / "comp", tmp_path / "eos7.csv"
    first, second = (place / f"{head}.csv" for head in reversed(HEADS))
    third = tmp_path / "third.csv"
    done("blend", second, "-o", third, "--gaussian", 1)
    truth = ("--truth", comp / "truth" / "truth.csv", "--taxonomy", comp / "taxonomy.csv")
    sample = ("--sample-submission", comp / "sample_submission.csv")
    run = done("blend", first, second, third, "-o", out, "--recipe", "eos7", *truth, *sample)
    assert "left out" not in run.stderr
    about = json.loads(out.with_suffix(".json").read_text())
    assert [step["step"].split()[0] for step in about["steps"]] == [
        *("attention", "silent", "continuity", "second's", "shared", "rare", "temperatures"),
        *("power", "power", "adaptive", "third", "taxonomic"),
    ]
    assert all(step["gain_lo"] <= step["gain"] <= step["gain_hi"] for step in about["steps"])
    assert [member["weight"] for member in about["members"]] == pytest.approx([0.558, 0.372, 0.07])
    sample_table = predictions.read(comp / "sample_submission.csv")
    table = predictions.read_predictions(out)
    assert not predictions.faults(table, sample_table.index, sample_table.columns, rows_per_file=12)
    frame = comparison.read(tmp_path / "eos7-comparison.csv")
    assert len(frame) == 3 + 12 and list(frame["member"])[:3] == ["linear-embedding", "attention", "third"]
    found = json.loads(done("score", out, comp / "truth" / "truth.csv", "--json").stdout)
    assert found["macro_auc"] == pytest.approx(about["steps"][-1]["auc_after"], abs=1e-6)
    assert run.stdout.rstrip().splitlines()[-1].startswith("Written: macro AUC ")

    mine = tmp_path / "mine.toml"
    whole = (Path(recipes.__file__).parent / "eos7.toml").read_text()
    mine.write_text(whole[: whole.rindex("[[step]]")].replace('name = "eos7"', 'name = "mine"'))
    groups, pair = tmp_path / "groups.csv", sample_table.columns[:2]
    groups.write_text("primary_label,sonotype_group\n" + "".join(f"{label},same\n" for label in pair))
    run = done("blend", first, second, "-o", tmp_path / "mine.csv", "--recipe", mine, "--sonotypes", groups, *truth)
    shared = json.loads((tmp_path / "mine.json").read_text())["steps"][4]
    assert shared["step"] == "shared maximum" and 0 < shared["values_changed"] <= 2 * len(sample_table)
    assert "warning: recipe mine, left out: mix: member 3 is not given" in run.stderr
    assert "taxonomic" not in run.stdout
    line = one_line(birdprobe("blend", first, second, "-o", tmp_path / "no.csv", "--recipe", mine, "--gaussian", 1))
    assert "has weights and steps of its own" in line


@pytest.mark.slow
def test_the_whole_published_recipe_from_features_to_a_valid_submission(place, tmp_path):
    comp, heads = place / "comp", place / "heads"
    first = (place / "linear-embedding.csv", heads / "oof" / "linear-embedding.csv")
    done(
        *("train", place / "focal.h5", place / "soundscapes.h5", "-o", tmp_path / "proto", "--taps", "embedding"),
        *("--head", "protossm", "--fold-by", "file", "--folds", 2, "--epochs", 2, "--first-pass", first[1]),
        *("--taxonomy", comp / "taxonomy.csv"),
    )
    proto, sed, out = (tmp_path / f"{name}.csv" for name in ("protossm", "sed", "out"))
    sample = ("--sample-submission", comp / "sample_submission.csv")
    done("predict", tmp_path / "proto", comp / "test_soundscapes", "-o", proto, "--first-pass", first[0])
    done(
        *("finetune", "sed:test_efficientnet", comp, "-o", tmp_path / "sed", "--taxonomy", comp / "taxonomy.csv"),
        *("--folds", 2, "--epochs", 1, "--loss", "bce", "--no-augment", "--per-class", 3, "--device", "cpu"),
    )
    done("predict", tmp_path / "sed", comp / "test_soundscapes", "-o", sed, "--fold", 0, *sample)
    run = done(
        *("blend", proto, sed, place / "attention.csv", "-o", out, "--recipe", "eos7", *sample),
        *("--taxonomy", comp / "taxonomy.csv", "--truth", comp / "truth" / "truth.csv"),
    )
    about = json.loads(out.with_suffix(".json").read_text())
    assert len(about["steps"]) == 12 and not about["left_out"]
    assert all(step["gain"] is not None and step["rows"] == 36 for step in about["steps"])
    wanted = predictions.read(comp / "sample_submission.csv")
    assert not predictions.faults(predictions.read(out), wanted.index, wanted.columns, rows_per_file=12)
    assert run.stdout.rstrip().splitlines()[-1].startswith("Written: macro AUC ")


def test_a_prior_never_meets_its_own_labels(place):
    comp, heads = place / "comp", place / "heads" / "oof"
    run = done(
        *("blend", heads / "attention.csv", "-o", place / "own.csv", "--truth", heads / "truth.csv"),
        *("--prior", comp / "train_soundscapes_labels.csv", "--prior-kind", "shrunk"),
    )
    assert "cross-fitted" in run.stderr and "cross-fitted" in run.stdout
    done("kernel", place / "heads", "-o", place / "kernel", "--head", "attention", "--prior", place / "own-prior.json")
    assert (place / "kernel" / "birdprobe-kernel.ipynb").is_file()


def broken(table: pd.DataFrame, how: str) -> pd.DataFrame:
    first = table.columns[0]
    if how == "missing row":
        return table.drop(index=table.index[3])
    if how == "doubled row":
        return pd.concat([table, table.iloc[[3]]])
    if how == "reordered column":
        return table[[*table.columns[1:], first]]
    if how == "unknown column":
        return table.assign(stranger=0.5)
    table = table.copy()
    table.iloc[3, 2] = {"NaN": np.nan, "value of 1.2": 1.2}[how]
    return table


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("missing row", "missing"),
        ("doubled row", "doubled"),
        ("NaN", "missing (NaN)"),
        ("value of 1.2", "1.2"),
        ("unknown column", "unknown"),
    ],
)
def test_blend_refuses_a_faulty_member(place, tmp_path, how, reason):
    table = broken(predictions.read(place / "attention.csv"), how)
    table.to_csv(tmp_path / "bad.csv", index_label="row_id")
    run = birdprobe("blend", place / "linear-embedding.csv", tmp_path / "bad.csv", "-o", tmp_path / "out.csv")
    line = one_line(run)
    assert reason in line and "bad" in line
    assert not (tmp_path / "out.csv").exists()


def test_a_reordered_member_is_put_in_order(place, tmp_path):
    table = predictions.read(place / "attention.csv")
    broken(table, "reordered column").to_csv(tmp_path / "odd.csv", index_label="row_id")
    sample = place / "comp" / "sample_submission.csv"
    done("blend", tmp_path / "odd.csv", "-o", tmp_path / "out.csv", "--sample-submission", sample)
    assert list(predictions.read(tmp_path / "out.csv").columns) == list(table.columns)
