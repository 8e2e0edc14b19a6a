"""Every claim is tested where a run can, and says what is missing where none does."""

import json
import shlex
from dataclasses import replace

import pandas as pd
import pytest
import typer

from birdprobe.heads.inputs import parse_tokens
from birdprobe.paper import claims as package
from birdprobe.paper.claims import TESTS, commands, failures, heads, lastmile, needs_table, probing, rules_table, table
from birdprobe.paper.claims.verdicts import ARTEFACT, FAILS, HOLDS, UNDECIDED, UNTESTED, VERDICTS
from birdprobe.paper.published import read
from birdprobe.paper.runs.discovery import Sources, recognise
from birdprobe.paper.runs.readers import PERCH_V2
from tests.paper.test_discovery import a_comparison, a_sweep, an_experiment
from tests.paper.test_measures import agreed, trained
from tests.runs import PERCH, make_run

EXACT = {"size", "position"}  # follow from the published description alone
PUBLISHED_READOUT = [test for test in probing.TESTS if test is not probing.beaten]  # need no readouts.csv


@pytest.fixture(scope="module")
def published():
    return read()


def perch(folder):
    """A sweep that passes for one of the published file."""
    make_run(folder, PERCH)
    config = json.loads((folder / "config.json").read_text())
    config["model"]["sha256"] = PERCH_V2[0]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_without_runs_every_claim_says_what_it_needs(published):
    found = package.claims(Sources(), published)
    keys = [one.key for one in found]
    assert len(keys) == len(set(keys)) == len(TESTS)
    assert {one.key for one in found if one.tested} == EXACT
    for one in found:
        assert one.claim and one.published and one.test and one.source.split(",")[0] in published.works
        assert bool(one.needs) == bool(one.command) == (one.verdict == UNTESTED) == (one.value is None)


def test_what_follows_from_the_description(published):
    found = {one.key: one for one in package.claims(Sources(), published)}
    assert found["size"].verdict == FAILS and found["size"].value == 846_570
    assert found["size"].shown == "846,570"
    assert found["position"].verdict == HOLDS and found["position"].value == 257 - 197


def test_a_sweep_of_another_backbone_leaves_the_row_for_perch(tmp_path, published):
    sources = recognise([make_run(tmp_path / "run")])
    for test in PUBLISHED_READOUT:
        one, other = test(sources, published)
        assert one.tested and one.run == "run" and one.on == "BirdNET_V2.4, esc10"
        assert other.verdict == UNTESTED and other.on == commands.THEIRS


def test_a_sweep_of_perch_fills_the_row(tmp_path, published):
    sources = recognise([perch(tmp_path / "run")])
    for test in PUBLISHED_READOUT:
        (one,) = test(sources, published)
        assert one.tested and one.on == "Perch v2, esc10"
    (best,) = probing.over_end(sources, published)
    row = sources.sweeps[0].ranking.loc["block_24"]
    assert (best.value, best.low, best.high) == tuple(row[["vs_last", "vs_last_lo", "vs_last_hi"]])


def test_probing_verdicts_follow_the_rules(tmp_path, published):
    sources = recognise([make_run(tmp_path / "run")])
    for test in (probing.ranks, probing.before_last):
        one = next(test(sources, published))
        assert one.verdict == (HOLDS if one.low > 0 else FAILS if one.high <= 0 else UNDECIDED)
    minutes = next(probing.cheap(sources, published))
    assert minutes.verdict == HOLDS and minutes.value < published["protocol.minutes"].number and minutes.low is None


def with_readouts(folder, **cells):
    """A sweep whose best block, 11, stands against the embedding as given: read-out -> (difference, lo, hi, p)."""
    make_run(folder)
    rows = []
    for readout, (value, low, high, p) in cells.items():
        score = {"score": 0.6 + value, "lo": 0.5, "hi": 0.7, "corrected": 0.6, "p_best": 0.5}
        against = {"vs_last": value, "vs_last_lo": low, "vs_last_hi": high, "vs_last_p": p, "vs_last_p_adjusted": p}
        rows.append({"tap": "block_11", "readout": readout, **score, **against})
        rows.append(rows[-1] | {"tap": "block_00", "score": 0.1, "vs_last": -0.5})
        rows.append(rows[-1] | {"tap": "embedding", "score": 0.6, "vs_last": 0.0, "vs_last_p_adjusted": 1.0})
    pd.DataFrame(rows).to_csv(folder / "readouts.csv", index=False)
    return recognise([folder])


def test_the_embedding_has_a_row_for_each_read_out(tmp_path, published):
    cells = {
        "knn": (0.09, 0.05, 0.13, 0.001),
        "knn-cosine": (0.03, 0.001, 0.06, 0.2),
        "linear": (-0.11, -0.15, -0.07, 0.01),
    }
    *rows, perch_row = probing.beaten(with_readouts(tmp_path / "run", **cells), published)
    assert [row.verdict for row in rows] == [HOLDS, UNDECIDED, FAILS]
    assert [(row.value, row.low, row.high) for row in rows] == [cell[:3] for cell in cells.values()]
    assert rows[0].at == "block_11 less embedding, knn" and perch_row.verdict == UNTESTED


def test_a_block_that_only_the_published_read_out_prefers_is_an_artefact(tmp_path, published):
    won, lost = (0.09, 0.05, 0.13, 0.001), (-0.01, -0.03, 0.01, 0.9)
    said = probing.over_end(recognise([make_run(tmp_path / "old")]), published)
    assert next(said).verdict == HOLDS  # no other read-out can contradict it
    said = probing.over_end(with_readouts(tmp_path / "one", knn=won, linear=lost), published)
    assert next(said).verdict == ARTEFACT
    said = probing.over_end(with_readouts(tmp_path / "two", knn=won, linear=won, centroid=lost), published)
    assert next(said).verdict == HOLDS


@pytest.mark.parametrize(
    ("linear", "said"), [((-0.01, -0.03, 0.01, 0.9), ARTEFACT), ((0.09, 0.05, 0.13, 0.001), FAILS)]
)
def test_a_head_that_weighs_the_embedding_most_is_not_wrong_by_one_read_out(tmp_path, published, linear, said):
    sweep = with_readouts(tmp_path / "sweep", knn=(0.09, 0.05, 0.13, 0.001), linear=linear).sweeps[0]
    run, taps = tmp_path / "run", {"block_24": "embedding", "block_25": sweep.run.best}
    agreed(run)
    config = json.loads((run / "config.json").read_text())
    config["store_key"] = {"model_sha256": sweep.config["model"]["sha256"]}
    (run / "config.json").write_text(json.dumps(config))
    for name in ("tap_weights.csv", "tap_scores.csv"):
        table = pd.read_csv(run / name)
        table["tap"] = table["tap"].map(taps)
        if name == "tap_scores.csv":
            table["value"] = sweep.ranking.loc[table["tap"], "knn"].to_numpy()
        table.to_csv(run / name, index=False)
    one, *_ = heads.favourite(recognise([tmp_path / "sweep", run]), published)
    assert "reads embedding most" in one.at and one.verdict == said


@pytest.mark.parametrize(("taps", "said"), [(3, UNDECIDED), (7, HOLDS)])
def test_an_order_of_few_taps_decides_nothing(tmp_path, published, taps, said):
    agreed(tmp_path / "run")
    path = tmp_path / "run" / "agreement.csv"
    pd.read_csv(path).assign(taps=taps).to_csv(path, index=False)
    one, other = heads.order(recognise([tmp_path / "run"]), published)
    assert (one.verdict, one.low, other.verdict) == (said, 0.2, UNTESTED)


def test_heads_are_compared_where_both_were_trained(tmp_path, published):
    sources = recognise([trained(tmp_path / "run", heads=("attention", "scalarmix"))])
    one, other = heads.mixing(sources, published)
    assert one.tested and one.at == "attention less scalarmix" and other.verdict == UNTESTED
    (alone,) = heads.mixing(recognise([trained(tmp_path / "b", heads=("attention", "concat"))]), published)
    assert alone.verdict == UNTESTED


def test_the_margin_of_equality_is_the_smallest_published_step(published):
    assert failures.smallest_step(published) == pytest.approx(0.005)  # shifted windows, Table 2
    assert abs(published["residual.oof_residual"].number - published["residual.oof_raw"].number) < 0.005


def test_late_additions_stay_within_the_published_thousandth(tmp_path, published):
    run = recognise([a_comparison(tmp_path / "run")]).comparisons[0]
    ends = {"vs_baseline": 0.0002, "vs_baseline_lo": -0.0004, "vs_baseline_hi": 0.0009}
    frame = run.frame.assign(member=["final", "final-plus"], **ends)
    (one,) = lastmile.late(Sources(comparisons=(replace(run, frame=frame),)), published)
    assert one.verdict == HOLDS
    wide = frame.assign(vs_baseline_hi=0.0011)
    (one,) = lastmile.late(Sources(comparisons=(replace(run, frame=wide),)), published)
    assert one.verdict == UNDECIDED


def test_a_comparison_of_the_competition_fills_the_row(tmp_path, published):
    run = recognise([a_comparison(tmp_path / "run")]).comparisons[0]
    frame = run.frame.assign(member=["head", "blend"])
    assert len(list(lastmile.blend(Sources(comparisons=(replace(run, frame=frame),)), published))) == 2
    whole = frame.assign(n_classes=234)
    (one,) = lastmile.blend(Sources(comparisons=(replace(run, frame=whole),)), published)
    assert one.tested and one.value == frame["vs_baseline"].iloc[1]


def test_public_and_private_are_two_comparisons_by_name(tmp_path, published):
    run = recognise([a_comparison(tmp_path / "run")]).comparisons[0]

    def part(name, value):
        ends = {"vs_baseline": value, "vs_baseline_lo": value - 0.01, "vs_baseline_hi": value + 0.01}
        return replace(run, name=name, frame=run.frame.assign(member=["head", "blend"], **ends))

    for before, after, said in ((0.07, 0.04, HOLDS), (0.04, 0.07, FAILS), (0.05, 0.045, UNDECIDED)):
        sources = Sources(comparisons=(part("runs/private", after), part("runs/public", before)))
        (one,) = lastmile.lead(sources, published)
        assert one.verdict == said and one.value == pytest.approx(after - before)


def test_the_experiment_on_members_tests_what_the_blend_is_claimed_to_do(tmp_path, published):
    """Rows of their own, with their verdicts, beside those that wait for Perch."""
    an_experiment(tmp_path / "members")
    run = recognise([tmp_path / "members"]).experiments[0]
    rows = [
        ("attention, inner", "attention, embedding", "inner-blocks", {"oof_gain": (0.02, 0.01, 0.03)}),
        ("protossm, inner", "protossm, embedding", "inner-blocks", {"oof_gain": (-0.02, -0.03, -0.01)}),
        ("two", "attention, inner", "blend", {"heldout_gain": (0.01, -0.01, 0.03), "inflation": (0.04, 0.01, 0.06)}),
        ("three", "two", "late", {"heldout_gain": (0.0, -0.0005, 0.0005)}),
    ]
    gains = pd.DataFrame(
        {"arm": arm, "against": against, "role": role}
        | {f"{name}{end}": value for name, ends in found.items() for end, value in zip(("", "_lo", "_hi"), ends)}
        for arm, against, role, found in rows
    )
    config = run.config | {"experiment": "members", "model": {"sha256": "", "path": "wren.onnx"}, "competition": "comp"}
    sources = Sources(experiments=(replace(run, config=config, outcome=gains, gains=gains),))
    found = {
        test: [one for one in test(sources, published) if one.tested]
        for test in (heads.over_end, lastmile.blend, lastmile.lead, lastmile.late)
    }
    assert [one.verdict for one in found[heads.over_end]] == [HOLDS, FAILS]
    ((blend,), (lead,), (late,)) = list(found.values())[1:]
    assert (blend.verdict, blend.value, blend.at) == (UNDECIDED, 0.01, "two against attention, inner")
    assert (lead.verdict, lead.value, lead.low, lead.high) == (HOLDS, -0.04, -0.06, -0.01)
    assert late.verdict == HOLDS and late.on == "Wren, comp"
    for test in found:
        assert [one.on for one in test(sources, published) if not one.tested] == [commands.THEIRS]


def test_same_sources_same_claims(tmp_path, published):
    paths = [make_run(tmp_path / "sweep"), agreed(tmp_path / "heads").heads[0].path, a_comparison(tmp_path / "blend")]
    assert package.claims(recognise(paths), published) == package.claims(recognise(paths), published)


def test_tables(tmp_path, published):
    found = package.claims(recognise([a_sweep(tmp_path / "run")]), published)
    main, how, missing = table(found), rules_table(found), needs_table(found)
    assert len(main.rows) == len(found) and "tested on" in main.to_markdown()
    verdict = main.fields.index("verdict")
    assert {row[verdict] for row in main.rows} <= set(VERDICTS)
    assert [row[how.fields.index("key")] for row in how.rows] == list(dict.fromkeys(one.key for one in found))
    waiting = {one.command for one in found if not one.tested}
    assert {row[missing.fields.index("command")] for row in missing.rows} == waiting
    assert "made-up" not in main.caption
    once = [cells[0] for cells in main.cells()]
    assert [text for text in once if text] == list(dict.fromkeys(one.claim for one in found))
    wren = [replace(found[0], on="Wren, 30x20-seed0")]
    assert "made-up" in table(wren).caption


def test_runs_on_the_same_recordings_are_told_apart_by_name(tmp_path, published):
    found = package.claims(recognise([make_run(tmp_path / name) for name in ("center", "random")]), published)
    where = [cells[2] for cells in table(found).cells()]
    assert where[:3] == ["BirdNET_V2.4, esc10 (center)", "BirdNET_V2.4, esc10 (random)", commands.THEIRS]


NEEDS = (
    *(commands.PERCH, commands.HEADS, commands.SHIFTS, commands.BLEND, commands.HALVES, commands.LATE),
    *(commands.BIRDMAE, *(commands.experiment(name) for name in ("pseudo", "residual", "priors"))),
)


@pytest.mark.parametrize("need", NEEDS, ids=lambda need: need.command[:60])
def test_commands_are_ones_that_we_have(need):
    from birdprobe.probe.cli.app import app

    group = typer.main.get_command(app)
    for line in need.command.split(" && "):
        program, name, *words = shlex.split(line)
        assert program == "birdprobe"
        group.commands[name].make_context(name, words)  # raises on an unknown option, or a value of another kind


def test_taps_of_commands_are_the_published_blocks(published):
    # to `train`, 21-25 would be block 21 less block 25
    wanted = [f"block_{block:02d}" for block in published.section("protocol")["blocks"].value]
    stored = [f"block_{i:02d}" for i in range(26)]
    assert list(parse_tokens(commands.TAPS, stored)) == wanted
    assert f"--taps {commands.TAPS} " in commands.HEADS.command
