"""Published numbers as printed, ours beside them where they belong, the same bytes every time."""

import json

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis.tables import MISSING
from birdprobe.paper.build import write_tables
from birdprobe.paper.measures import Measure
from birdprobe.paper.parameter_counts import attention_parameters, scalarmix_parameters, vit_tokens
from birdprobe.paper.published import read
from birdprobe.paper.runs.discovery import Sources, recognise
from birdprobe.paper.runs.readers import PERCH_V2
from birdprobe.paper.tables import members, scores, tables
from birdprobe.paper.tables.blocks import difference, nearest, table1
from tests.paper.test_discovery import a_comparison, a_member, an_experiment
from tests.paper.test_measures import agreed, trained
from tests.runs import PERCH, make_run


@pytest.fixture(scope="module")
def published():
    return read()


def frame_of(table):
    return pd.DataFrame(table.rows, columns=table.fields)


def shown(table, column):
    at = [one.title for one in table.columns].index(column)
    return [row[at] for row in table.cells()]


def perch(folder, **choice):
    make_run(folder, PERCH, **choice)
    config = json.loads((folder / "config.json").read_text())
    config["model"]["sha256"] = PERCH_V2[1]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


# ---- Table 1


def test_without_runs_table_1_is_the_published_one(published):
    table = table1(Sources(), published)
    assert shown(table, "block") == ["1", "4", "7", "12", "17", "21", "22", "23", "24", "25"]
    assert shown(table, "published")[7] == "0.490" and table.bold == {8}
    assert shown(table, "depth")[-1] == "1.00"


def test_perch_stands_beside_its_own_blocks_with_differences(tmp_path, published):
    chosen = tuple(published.section("protocol")["blocks"].value)
    sources = recognise([perch(tmp_path / "run", only=chosen)])
    table = table1(sources, published)
    frame, ranked = frame_of(table), sources.sweeps[0].ranking
    assert frame["run0_tap"].tolist() == [f"block_{block:02d}" for block in chosen]
    np.testing.assert_array_equal(frame["run0_knn"], ranked.loc[frame["run0_tap"], "knn"])
    np.testing.assert_allclose(frame["run0_difference"], frame["run0_knn"] - published.frame("table1")["knn"])
    assert not any("block_" in cell for cell in shown(table, "Perch v2, esc10"))
    assert "no repetition" not in table.caption


def test_another_backbone_is_marked_and_has_no_difference(tmp_path, published):
    table = table1(recognise([make_run(tmp_path / "run")]), published)
    cells = shown(table, "BirdNET_V2.4, esc10")
    # 16 blocks: published block 12 of 0 to 25 lies at 0.48, ours 7 at 0.47
    assert [cell[:8] for cell in cells][3] == "block_07" and [cell[:8] for cell in cells][-1] == "block_15"
    assert "verdict" not in [one.title for one in table.columns] and "no repetition" in table.caption


def test_a_difference_counts_both_errors():
    ours = [0.648, 0.648 + 0.05, 0.648 + 0.06, np.nan]
    frame = pd.DataFrame({"knn": 0.648, "run0_knn": ours})
    frame["run0_knn_lo"], frame["run0_knn_hi"] = frame["run0_knn"] - 0.04, frame["run0_knn"] + 0.04
    found = difference(frame, "run0_", 600)
    half = np.hypot(0.04, 1.96 * np.sqrt(0.648 * 0.352 / 600))  # 0.040 and 0.038: 0.055
    np.testing.assert_allclose((found["difference_hi"] - found["difference_lo"])[:3] / 2, half)
    assert found["verdict"].fillna("").tolist() == ["agrees", "agrees", "differs", ""]


def test_sweeps_of_one_model_and_data_are_told_apart_by_name(tmp_path, published):
    sources = recognise([make_run(tmp_path / name) for name in ("center", "random")])
    titles = [one.title for one in table1(sources, published).columns]
    assert titles[-2:] == ["BirdNET_V2.4, esc10 (center)", "BirdNET_V2.4, esc10 (random)"]


def test_the_nearest_block_is_one_that_was_probed(tmp_path):
    (sweep,) = recognise([make_run(tmp_path / "run", only=(0, 7, 15))]).sweeps
    found = nearest(sweep, pd.Series([0.0, 0.03, 0.2, 7 / 15, 0.5, 1.0]))
    wanted = ["block_00", "block_00", "none", "block_07", "block_07", "block_15"]  # 0.2 is block 3: not probed
    assert found["tap"].fillna("none").tolist() == wanted
    assert found["knn"].isna().tolist() == [tap == "none" for tap in wanted]


# ---- Tables 2 to 4


def priors_run(folder):
    """An experiment on priors with all of the arms that Tables 2 and 3 speak of."""
    an_experiment(folder)
    moderate, strong = "weight 0.5, sigma 1, prior", "weight 1, sigma 1.5, prior"
    against = [
        ("as predicted", ""),
        (f"{moderate} of other folds", "as predicted"),
        (f"{moderate} saw the windows", "as predicted"),
        (f"{strong} saw the windows", f"{moderate} saw the windows"),
    ]
    one = pd.read_csv(folder / "outcome.csv").iloc[1].drop("role")  # as older versions wrote it
    rows = [
        one.to_dict() | {"arm": arm, "against": other, "heldout": 0.1 * i} for i, (arm, other) in enumerate(against)
    ]
    pd.DataFrame(rows).assign(heldout_gain=[np.nan, 0.02, 0.03, -0.05]).to_csv(folder / "outcome.csv", index=False)
    config = json.loads((folder / "config.json").read_text()) | {"experiment": "priors"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_table_2_sets_our_steps_beside_the_published_ones(tmp_path, published):
    frame = frame_of(scores.table2(recognise([priors_run(tmp_path / "run")]), published)).set_index("version")
    assert frame["score"].tolist() == ["0.816", "0.862", "0.867", "0.879", "0.861"]
    np.testing.assert_allclose(frame["step"].to_numpy()[1:], [0.046, 0.005, 0.012, -0.018], atol=1e-9)
    assert frame["ours"]["v6"] == 0.02 and frame["ours"]["v7"] == -0.05  # held out, not out of fold
    assert frame["ours"][["v1", "v2", "v5"]].isna().all()


def test_tables_3_and_4_keep_both_private_scores(tmp_path, published):
    three, four = scores.table3(Sources(), published), scores.table4(Sources(), published)
    assert shown(three, "private")[0] == "0.942" and shown(four, "private")[0] == "0.941"
    assert shown(three, "private - public") == ["-0.008", "+0.019", "+0.023", "+0.029"]
    assert shown(four, "private - public")[0] == "-0.009"  # computed: Table 4 prints none
    assert set(shown(four, "ours, held out")) == {MISSING}


def test_attempts_stand_beside_their_like(tmp_path, published):
    blend = a_comparison(tmp_path / "blend")
    config = {"search": {"nested_auc": 0.75, "n_rows": 9, "n_groups": 3}}
    (blend / "submission.json").write_text(json.dumps(config))
    sources = recognise([priors_run(tmp_path / "run"), blend])
    frame = frame_of(scores.table3(sources, published)).set_index("attempt")
    assert frame["heldout"].round(6).to_dict() == pytest.approx(
        {"blend": sources.comparisons[0].frame["macro_auc"].iloc[0], "v6": 0.1, "v4": np.nan, "v7": 0.3},
        nan_ok=True,
        abs=1e-6,
    )
    assert frame["oof"]["blend"] == 0.75 and frame["oof_said"]["blend"] == "0.750"  # no interval
    assert frame["ours_change"]["blend"] == pytest.approx(frame["heldout"]["blend"] - 0.75)
    assert np.isnan(frame["ours_change"]["v4"])


def test_the_first_run_that_has_a_number_gives_it():
    some = Measure("run", "on", 1.0, 1.0, 1.0, "n", "at")
    assert scores._first([None, some, None]) is some and scores._first([]) is None


# ---- heads


@pytest.mark.parametrize(("widths", "classes"), [((232, 384, 384), 234), ((36, 108), 10)])
def test_counted_parameters_are_those_of_the_heads_that_we_train(widths, classes):
    from birdprobe.heads.modules import build, parameters_count

    taps = {f"tap_{i}": width for i, width in enumerate(widths)}
    found = {name: parameters_count(build(name, taps, classes)) for name in ("attention", "scalarmix")}
    assert attention_parameters(widths, classes, dim=256, ffn=512) == found["attention"]
    assert scalarmix_parameters(widths, classes, dim=256) == found["scalarmix"]


def test_tokens_of_a_vit():
    assert (vit_tokens(224, 14), vit_tokens(196, 14), vit_tokens(224, 16)) == (257, 197, 197)


def test_sizes_name_what_is_stated_and_what_is_described(tmp_path, published):
    sources = recognise([trained(tmp_path / "run")])
    frame = frame_of(tables(sources, published)["heads"])
    assert frame["parameters"].tolist()[:3] == [430_000, 846_570, 318_445]
    assert frame["said"].tolist()[0] == "about 430k" and frame["parameters"].tolist()[3:] == [1234, 1234]


def test_weights_stand_beside_the_probe(tmp_path, published):
    made = tables(agreed(tmp_path / "run"), published)["weights"]
    frame = frame_of(made)
    theirs, ours = frame[frame["of"] == "published"], frame[frame["of"] != "published"]
    assert theirs["scalarmix_said"].tolist() == ["0.128 (3)", "0.473 (1)", "0.399 (2)"]
    assert theirs["knn_said"].tolist() == ["0.555 (3)", "0.648 (1)", "0.595 (2)"]
    assert ours[["tap", "attention", "knn"]].values.tolist() == [["block_24", 0.75, 0.6], ["block_25", 0.25, 0.7]]
    assert ours["scalarmix"].isna().all()  # concat does not mix


# ---- members


def test_presets_are_the_card(published):
    table = frame_of(members.members(Sources(), published)).set_index("field")
    assert not table["differs"].str.len().any()
    assert table["birdmae-large card"]["learning_rate"] == "3e-4"
    assert float(table["birdmae-large ours"]["learning_rate"]) == 3e-4
    assert table["efficientnet-b1 ours"]["layer_decay"] == MISSING == table["efficientnet-b1 card"]["layer_decay"]
    assert not frame_of(members.augmentation(Sources(), published))["differs"].str.len().any()


def test_another_preset_is_named(published, monkeypatch):
    other = members.read_presets()
    other["efficientnet-b1"] |= {"batch_size": 32, "clip_norm": 1.0}
    other["birdmae-large"]["augment"] |= {"roll_p": 0.5, "mixup_partners": [1, 2]}
    monkeypatch.setattr(members, "read_presets", lambda: other)
    table = frame_of(members.members(Sources(), published)).set_index("field")
    assert table["differs"][table["differs"] != ""].to_dict() == dict.fromkeys(
        ("batch_size", "clip_norm"), "efficientnet-b1"
    )
    frame = frame_of(members.augmentation(Sources(), published)).set_index("field")
    assert frame.index[frame["differs"] == "yes"].tolist() == ["sources", "roll_p"]


def test_what_a_run_changed_is_named(tmp_path, published):
    from dataclasses import asdict

    from birdprobe.finetune.models.members import get

    folder = a_member(tmp_path / "run")
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {"member": "birdmae-tiny"}
    recipe = json.loads(json.dumps(asdict(get("birdmae-tiny").recipe)))  # tuples become lists on the way
    config["settings"] = {"folds": 5, "recipe": recipe}
    path.write_text(json.dumps(config))
    (folder / "oof" / "timm-resnet18.csv").rename(folder / "oof" / "birdmae-tiny.csv")
    assert frame_of(members.changed(recognise([a_member(tmp_path / "timm")]), published))["setting"].tolist() == [
        members.NO_PRESET
    ]
    frame = frame_of(members.changed(recognise([folder]), published))
    assert frame[["folds", "setting"]].values.tolist() == [["1 of 5", "none"]]
    recipe |= {"epochs": 3}
    recipe["augment"] |= {"gain_p": 0.0}
    path.write_text(json.dumps(config))
    frame = frame_of(members.changed(recognise([folder]), published))
    preset = get("birdmae-tiny").recipe
    wanted = [["epochs", str(preset.epochs), "3"], ["augment.gain_p", str(preset.augment.gain_p), "0"]]
    assert frame[["setting", "preset", "trained"]].values.tolist() == wanted


# ---- files


def test_every_table_in_three_forms_and_the_same_bytes_again(tmp_path, published):
    paths = [make_run(tmp_path / "sweep"), priors_run(tmp_path / "priors"), trained(tmp_path / "heads")]
    first, second = (write_tables(tables(recognise(paths), published), tmp_path / name) for name in ("a", "b"))
    assert [path.name for path in first] == [path.name for path in second]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(first, second))
    names = [path.name for path in first]
    assert {"table1.csv", "table4.md", "claims.tex", "claim-needs.csv"} <= set(names)
    assert "member-runs.csv" not in names  # no member was trained
    knn = pd.read_csv(tmp_path / "a" / "table1.csv")["run0_knn"]
    assert knn.iloc[-1] == recognise(paths).sweeps[0].ranking.loc["block_15", "knn"]


def test_latex_is_whole(tmp_path, published):
    for path in write_tables(tables(Sources(), published), tmp_path):
        if path.suffix == ".tex":
            text = path.read_text()
            assert text.count(r"\begin{tabular}") == 1 == text.count(r"\end{tabular}")
            assert rf"\label{{tab:{path.stem}}}" in text and text.isascii(), path
