"""The atlas: put together from stores, the same twice; the committed one is what its measured tables give."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import soundfile

import birdprobe as bp
from birdprobe import InputError
from birdprobe.paper.atlas import FIGURES, MADE, MEASURED
from tests.graphs import Nodes
from tests.probe.test_cli import birdprobe

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "paper" / "results" / "atlas"
PAGE = (ROOT / "docs" / "atlas.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A small network and its control, swept on three tones."""
    folder = tmp_path_factory.mktemp("atlas")
    nodes, x, width = Nodes(), "audio", 1
    for _ in range(3):
        x = nodes.add("Relu", nodes.add("Conv", x, nodes.random(8, width, 9), nodes.random(8), strides=[3]))
        width = 8
    x = nodes.add("ReduceMean", x, axes=[2], keepdims=0, name="embedding")
    nodes.add("MatMul", x, nodes.random(8, 5), name="scores")
    model = nodes.model({"audio": ["n", 1, 2000]}, {"embedding": ["n", 8], "scores": ["n", 5]}, opset=17)
    onnx.save(model, folder / "small.onnx")
    bp.randomise(folder / "small.onnx", folder / "control.onnx")
    rng = np.random.default_rng(0)
    for pitch in (300, 500, 800):
        (folder / "tones" / str(pitch)).mkdir(parents=True)
        for i in range(10):
            tone = np.sin(2 * np.pi * pitch * rng.uniform(0.9, 1.1) * np.arange(2000) / 8000)
            name = f"R{i // 2}-{i}.wav"
            soundfile.write(folder / "tones" / str(pitch) / name, 0.1 * tone + rng.normal(0, 0.1, 2000), 8000)
    for name in ("small", "control"):
        settings = {"sample_rate": 8000, "group_regex": r"^(R\d)", "projection": "none", "readout": "all,logistic"}
        bp.sweep(folder / f"{name}.onnx", folder / "tones", folder / name, draw=False, **settings)
    return folder


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_an_atlas_of_stores_is_the_same_twice_and_from_its_tables(runs, tmp_path):
    done = bp.build_atlas([runs / "control", runs / "small"], tmp_path / "one")
    assert (done.cells, done.controls) == (2, 1)
    bp.build_atlas([runs / "small", runs / "control"], tmp_path / "two")
    bp.build_atlas([tmp_path / "one"], tmp_path / "three")
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "three")
    assert {f"figures/{name}.png" for name in FIGURES} < set(contents(tmp_path / "one"))

    scores = done.tables["scores"]
    for name, control in (("small", False), ("control", True)):
        own = scores[scores["control"] == control].set_index(["tap", "readout"])["score"]
        swept = pd.read_csv(runs / name / "readouts.csv").set_index(["tap", "readout"])["score"]
        assert np.allclose(own, swept.loc[own.index], atol=1e-5)
    assert set(scores["backbone"]) == {"small"} and set(done.tables["cells"]["distance"]) == {"unknown"}


@pytest.mark.filterwarnings("error")
def test_without_a_control_there_is_no_picture_of_controls(runs, tmp_path):
    done = bp.build_atlas([runs / "small"], tmp_path / "atlas")
    assert sorted(p.stem for p in (tmp_path / "atlas" / "figures").iterdir()) == ["curves", "depth", "rules"]
    assert "3 figures" in str(done)


def test_what_a_rule_costs_is_counted_from_the_best_tap(runs, tmp_path):
    tables = bp.build_atlas([runs / "small", runs / "control"], tmp_path / "one").tables
    regrets, scores = tables["regrets"], tables["scores"]
    mine = scores[(scores["readout"] == "knn") & ~scores["control"]].set_index("tap")["score"]
    cost = regrets[regrets["readout"] == "knn"].set_index("rule")
    assert cost.loc["final embedding", "regret"] == pytest.approx(mine.max() - mine["embedding"], abs=1e-6)
    assert cost.loc["penultimate block", "tap"] == "block_01" and cost.loc["last block", "tap"] == "block_02"
    assert cost.loc["best by 5-NN (published)", "regret"] == 0
    assert tables["answers"].set_index(["control", "readout"]).loc[(False, "knn"), "score"] == mine.max()


def test_what_is_no_atlas_is_one_line(runs, tmp_path):
    with pytest.raises(InputError, match="untrained control"):
        bp.build_atlas([runs / "control"], tmp_path / "out")
    shutil.copytree(runs / "small", tmp_path / "again")
    with pytest.raises(InputError, match="two runs of small on tones"):
        bp.build_atlas([runs / "small", tmp_path / "again"], tmp_path / "out")
    table = pd.read_csv(tmp_path / "again" / "readouts.csv")
    table.assign(score=table["score"] - 0.1).to_csv(tmp_path / "again" / "readouts.csv", index=False)
    with pytest.raises(InputError, match=r"scores otherwise than in readouts.csv"):
        bp.build_atlas([tmp_path / "again"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_gives_the_committed_atlas(tmp_path):
    done = birdprobe("atlas", str(RESULTS), "-o", str(tmp_path / "atlas"))
    assert done.returncode == 0 and "30 cells, 15 of them untrained controls" in done.stdout
    for name in (*MEASURED, *MADE):
        assert (tmp_path / "atlas" / f"{name}.csv").read_bytes() == (RESULTS / f"{name}.csv").read_bytes(), name
    for name in FIGURES:
        assert (tmp_path / "atlas" / "figures" / f"{name}.png").stat().st_size > 10_000
        assert f"atlas/figures/{name}.png" in PAGE


def table(name):
    return pd.read_csv(RESULTS / f"{name}.csv")


def between(values, digits=1, scale=100.0):
    """`1.6 to 3.9`."""
    return f"{min(values) * scale:.{digits}f} to {max(values) * scale:.{digits}f}"


def says(text):
    assert " ".join(text.split()) in " ".join(PAGE.split()), text


def test_the_page_says_where_the_embedding_is_beaten():
    found = table("answers")
    trained = found[~found["control"]]
    beaten = trained[trained["beats_last"]]
    assert set(beaten["data"]) == {"esc10"}
    says(f"In {beaten.groupby(['backbone', 'data']).ngroups} of 15 cells another tap beats it beyond chance")
    gains = beaten.groupby("backbone")["vs_last"]
    assert {name: len(rows) for name, rows in gains} == {"basic-pitch": 1, "birdnet": 1, "wren": 5}
    wren = beaten[beaten["backbone"] == "wren"]
    assert set(wren["tap"]) == {"block_06", "block_09"}
    says(f"(block_06 or block_09, {between(wren['vs_last'])} points)")
    crepe = trained.set_index(["backbone", "data", "readout"]).loc[("crepe", "fsdd", "logistic")]
    assert crepe["tap"] == "block_00"
    says(f"there by {100 * crepe['vs_last']:.1f} points by logistic regression, p {crepe['vs_last_p_adjusted']:.2f}")
    one = beaten.set_index("backbone")
    assert one.loc["birdnet", "readout"] == "knn" and one.loc["basic-pitch", "readout"] == "linear"
    says(f"published 5-NN alone ({100 * one.loc['birdnet', 'vs_last']:.1f} points)")
    says(f"ridge alone ({100 * one.loc['basic-pitch', 'vs_last']:.1f} points)")


def test_the_page_says_what_rules_cost():
    found = table("rules")
    mean = found.pivot(index="rule", columns="readout", values="regret_mean")
    worst = found.pivot(index="rule", columns="readout", values="regret_worst")
    assert (mean.loc["penultimate block"] > mean.loc["final embedding"]).all()
    says(f"costs {between(mean.loc['penultimate block'])} points on average")
    says(f"the final embedding ({between(mean.loc['final embedding'])}) under every read-out")
    says(f"costs {between(mean.loc['highest LogME'])} points, at worst {between(worst.loc['highest LogME'], 0)}.")
    says(f"no labels, costs {between(mean.loc['highest effective rank'])}:")
    others = mean.loc["best by 5-NN (published)"].drop("knn")
    most = 100 * worst.loc["best by 5-NN (published)"].max()
    says(f"costs {between(others)} points under the other read-outs, at worst {most:.0f}.")
    free = table("label_free")
    rho = free[~free["control"]].groupby(["label_free", "readout"])["spearman"].mean()
    says(
        f"is {between(rho['effective_rank'], 2, 1)} on average for effective rank, {between(rho['logme'], 2, 1)} for LogME"
    )


def test_the_page_says_depth_against_distance():
    deep = table("distances").set_index(["readout", "distance"])
    places = ("inside", "near", "far")
    assert [int(deep.loc[("knn", place), "cells"]) for place in places] == [2, 3, 10]

    def at(readout):
        return [f"{deep.loc[(readout, place), 'depth_mean']:.2f}" for place in places]

    inside, near, far = at("logistic")
    says(
        f"lies at {inside} of the way inside the training domain (2 cells), {near} near it (3) and {far} far from it (10)"
    )
    inside, near, far = at("linear")
    says(f"by ridge at {inside}, {near} and {far}.")
    says(f"no such order ({', '.join(at('knn-cosine'))})")


def test_the_page_says_how_much_is_architecture():
    found = table("controls")
    found = found[found["readout"] == "logistic"].set_index(["backbone", "data"])
    birds, sounds, digits = (
        f"{found.loc[('birdnet', data), 'architecture']:.2f}" for data in ("xc21", "esc10", "fsdd")
    )
    says(
        f"reaches {birds} of what BirdNET gains over chance on birds, but {sounds} on everyday sounds and {digits} on digits"
    )
    others = found.loc[["crepe", "silero-vad", "basic-pitch"], "architecture"]
    says(f"keep {between(others, 2, 1)}, silero-vad on speech among them")
    assert others[others > 1].index.tolist() == [("crepe", "xc21"), ("basic-pitch", "esc10"), ("basic-pitch", "fsdd")]
    rho = [f"{found.loc[('birdnet', data), 'rho']:.2f}" for data in ("xc21", "esc10", "fsdd")]
    says(f"(rho {rho[0]} on xc21, {rho[1]} on esc10, {rho[2]} on fsdd)")


def test_the_page_says_what_reading_costs():
    found = table("answers")
    found = found[~found["control"] & (found["readout"] == "logistic")].set_index(["backbone", "data", "tap"])
    cells = ("birdnet", "esc10", "block_10"), ("wren", "esc10", "block_06"), ("crepe", "esc10", "block_00")
    birdnet, wren, crepe = (f"{found.loc[cell, 'cost_share']:.2f}" for cell in cells)
    says(f"BirdNET on esc10 takes {birdnet} and block_06 of Wren {wren};")
    says(f"gives its block_00 for {crepe} (")
