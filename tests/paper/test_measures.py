"""Numbers that are taken from runs, on runs whose numbers are known."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis import runs
from birdprobe.paper.measures import comparisons, experiments, heads, members, sweeps
from birdprobe.paper.measures.measure import Measure, model_name
from birdprobe.paper.runs.discovery import Sources, recognise
from birdprobe.paper.runs.readers import PERCH_V2, with_roles
from tests.paper.test_discovery import a_comparison, a_member, a_sweep, an_experiment, heads_run
from tests.runs import PERCH, make_run


def said(folder, **columns):
    """The sweep in `folder` with these columns of its predictions."""
    path = folder / "predictions.csv"
    pd.read_csv(path, dtype=str, keep_default_na=False).assign(**columns).to_csv(path, index=False)
    return recognise([folder]).sweeps[0]


@pytest.fixture
def sweep(tmp_path):
    """All blocks; the last two differ by what each test says."""
    return make_run(tmp_path / "run")


def test_the_last_block_but_one_against_the_last(sweep):
    labels = pd.read_csv(sweep / "predictions.csv", dtype=str)["label"]
    wrong = labels.where(np.arange(len(labels)) % 4 > 0, "?")  # three of four are right
    found = sweeps.before_last(said(sweep, block_14=labels, block_15=wrong))
    assert found.value == pytest.approx(0.25) and 0.15 < found.low < 0.25 < found.high < 0.35
    assert found.at == "block_14 less block_15" and not found.perch
    assert sweeps.before_last(said(sweep, block_14=labels, block_15=labels)).value == 0


def test_blocks_that_were_not_probed_are_not_compared(tmp_path):
    assert sweeps.before_last(recognise([a_sweep(tmp_path / "run")]).sweeps[0]) is None


def test_halves_agree_where_the_blocks_differ_and_not_where_they_do_not(sweep):
    labels = pd.read_csv(sweep / "predictions.csv", dtype=str)["label"].to_numpy()
    rng = np.random.default_rng(0)
    taps = [f"block_{i:02d}" for i in range(16)]

    def of(accuracy):
        hits = {tap: rng.random(len(labels)) < share for tap, share in zip(taps, accuracy)}
        return sweeps.halves(said(sweep, **{tap: np.where(hit, labels, "?") for tap, hit in hits.items()}))

    steep, flat = of(np.linspace(0.1, 0.9, 16)), of(np.full(16, 0.5))
    assert steep.low > 0.9 and steep.low < steep.value < steep.high <= 1
    assert flat.low < 0 < flat.high


def test_a_block_over_the_embedding_is_what_the_sweep_ranked(sweep):
    found, table = sweeps.block_over_end(recognise([sweep]).sweeps[0]), pd.read_csv(sweep / "ranking.csv")
    blocks = table[table["index"].notna()]
    best = blocks.loc[blocks["knn"].idxmax()]
    assert (found.value, found.low, found.high) == tuple(best[["vs_last", "vs_last_lo", "vs_last_hi"]])
    assert found.at == f"{best['tap']} less embedding"


def test_p_belongs_to_the_best_tap_only_where_it_is_a_block(sweep):
    config = json.loads((sweep / "config.json").read_text())
    run = recognise([sweep]).sweeps[0]
    assert sweeps.end_p(run) == config["answer"]["p_adjusted"]
    config["answer"]["best"] = "embedding"
    (sweep / "config.json").write_text(json.dumps(config))
    assert math.isnan(sweeps.end_p(recognise([sweep]).sweeps[0]))


def test_minutes_are_scaled_to_the_clips(sweep):
    config = json.loads((sweep / "config.json").read_text())
    config["seconds"] = {"all": 60 * config["audio"]["clips"]}
    (sweep / "config.json").write_text(json.dumps(config))
    assert sweeps.minutes(recognise([sweep]).sweeps[0], clips=600).value == pytest.approx(600)


def test_perch_v2_is_known_by_its_file(tmp_path):
    folder = make_run(tmp_path / "run", PERCH)
    assert not sweeps.before_last(recognise([folder]).sweeps[0]).perch
    config = json.loads((folder / "config.json").read_text())
    config["model"]["sha256"] = PERCH_V2[0]
    (folder / "config.json").write_text(json.dumps(config))
    sources = recognise([folder])
    assert sweeps.before_last(sources.sweeps[0]).perch
    assert model_name(Sources(), PERCH_V2[1]) == "Perch v2"


def test_a_model_is_named_as_its_sweeps_name_it(tmp_path):
    sources = recognise([a_sweep(tmp_path / "run")])
    sha = sources.sweeps[0].config["model"]["sha256"]
    assert model_name(sources, sha) == sources.sweeps[0].model
    assert model_name(Sources(), "ab" * 32, "models/wren.onnx") == "Wren"
    assert model_name(Sources(), "ab" * 32) == "model abababab"


def trained(folder, heads=("attention", "linear-embedding")):
    """A run of heads whose configuration tells of each what it is and reads."""
    heads_run(folder, heads)
    config = json.loads((folder / "config.json").read_text())
    kinds = {name: name.split("-") for name in heads}
    config["heads"] = [
        {"name": name, "kind": kind, "tokens": own or ["block_24", "block_25"]} for name, (kind, *own) in kinds.items()
    ]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def agreed(folder, rho=(0.5, 0.2, 0.7)):
    """Heads on two taps and what was compared with the probe, as `heads.agreement` leaves it."""
    trained(folder, heads=("attention", "concat"))
    rows = [(f"weight of {head}", "knn", 7, *rho, *rho) for head in ("attention", "concat")] + [
        ("ridge", "knn", 7, *rho, *rho),
        ("weight of attention", "ridge", 7, 1, 1, 1, 1, 1, 1),
    ]
    ends = [f"{kind}{end}" for kind in ("spearman", "kendall") for end in ("", "_lo", "_hi")]
    pd.DataFrame(rows, columns=["score", "against", "taps", *ends]).to_csv(folder / "agreement.csv", index=False)
    taps = pd.DataFrame({"tap": ["block_24", "block_25"], "score": "knn", "value": [0.6, 0.7], "lo": 0.5, "hi": 0.8})
    taps.to_csv(folder / "tap_scores.csv", index=False)
    return recognise([folder])


def test_weights_follow_the_probe_by_its_own_row_of_heads_that_mix(tmp_path):
    sources = agreed(tmp_path / "run")
    found = heads.order(sources, sources.heads[0])
    assert list(found) == ["attention"]  # a concat head's weights grow with a tap's width
    assert (found["attention"].value, found["attention"].low, found["attention"].high) == (0.5, 0.2, 0.7)
    assert heads.n_taps(sources.heads[0], "attention") == 7
    assert heads.favourite(sources, sources.heads[0], "attention") is None  # the sweep is not there


def test_heads_without_a_probe_have_no_order(tmp_path):
    sources = recognise([trained(tmp_path / "run")])
    assert heads.order(sources, sources.heads[0]) == {}


def test_a_favourite_tap_is_measured_on_the_sweep_of_the_same_clips(tmp_path):
    folder = make_run(tmp_path / "sweep", PERCH)
    swept = recognise([folder]).sweeps[0]
    run = tmp_path / "run"
    agreed(run)
    config = json.loads((run / "config.json").read_text())
    config["store_key"] = {"model_sha256": swept.config["model"]["sha256"]}
    (run / "config.json").write_text(json.dumps(config))
    knn = swept.ranking.loc[["block_24", "block_25"], "knn"]
    table = pd.read_csv(run / "tap_scores.csv").assign(value=knn.to_numpy())
    table.to_csv(run / "tap_scores.csv", index=False)
    sources = recognise([folder, run])
    one, tied = heads.favourite(sources, sources.heads[0], "attention")  # it weighs block_24 with 0.75
    assert one.value == pytest.approx(min(0, knn["block_24"] - knn["block_25"]))
    assert tied == (knn.idxmax() == "block_24" or (swept.run.best == "block_25" and "block_24" in swept.run.tied))
    table.assign(value=knn.to_numpy() + 0.01).to_csv(run / "tap_scores.csv", index=False)
    other = recognise([folder, run])
    assert heads.favourite(other, other.heads[0], "attention") is None  # of other clips


def test_heads_are_compared_on_the_same_windows(tmp_path):
    folder = trained(tmp_path / "run")
    sources = recognise([folder])
    run = sources.heads[0]
    same = heads.head_gain(sources, run, "attention", "attention")
    assert (same.value, same.low, same.high) == (0, 0, 0)
    one, other = (
        heads.head_gain(sources, run, *names)
        for names in (("attention", "linear-embedding"), ("linear-embedding", "attention"))
    )
    assert one.value == -other.value and one.n == "4 focal clips"
    assert heads.head_gain(sources, run, "attention", "scalarmix") is None


def test_heads_on_blocks_are_compared_with_a_linear_one_on_the_embedding(tmp_path):
    sources = recognise([trained(tmp_path / "run")])
    found = heads.over_end(sources, sources.heads[0])
    assert list(found) == ["attention"] and found["attention"].value == 0.01  # as differences.csv has it
    other = recognise([trained(tmp_path / "other", heads=("attention", "concat"))])
    assert heads.over_end(other, other.heads[0]) == {}


ARMS = [
    ("weight 0.5, sigma 1, prior of other folds", "as predicted", runs.MODERATE_HONEST),
    ("weight 0.5, sigma 1, prior saw the windows", "as predicted", runs.MODERATE_LEAKY),
    ("weight 1.5, sigma 0, prior saw the windows", "weight 0.5, sigma 1, prior saw the windows", runs.TUNED_LEAKY),
    ("naive student", "teacher", runs.NAIVE),
]


def test_arms_of_old_experiments_have_the_roles_that_their_names_tell():
    outcome = pd.DataFrame(ARMS, columns=["arm", "against", "wanted"])
    first = pd.DataFrame({"arm": ["as predicted"], "against": [None], "wanted": [""]})
    outcome = pd.concat([first, outcome], ignore_index=True)
    assert with_roles(outcome, "priors")["role"].tolist() == outcome["wanted"].tolist()
    changed = pd.DataFrame({"arm": ["attention", "attention, 25-24 for 25"], "against": [None, "attention"]})
    assert with_roles(changed, "residual")["role"].tolist() == ["", runs.RESIDUAL]
    told = outcome.assign(role=[None, "a", "b", "c", "d"])  # the column is believed, whatever the names say
    assert with_roles(told, "priors")["role"].tolist() == ["", "a", "b", "c", "d"]


def test_arms_are_found_by_their_roles(tmp_path):
    run = recognise([an_experiment(tmp_path / "run")]).experiments[0]
    arms = [*ARMS, ("a", "scalarmix", runs.RESIDUAL), ("b", "attention", runs.RESIDUAL)]
    run = replace(run, gains=pd.DataFrame(arms, columns=["arm", "against", "role"]))
    assert experiments.arm_of_role(run, runs.MODERATE_HONEST) == ARMS[0][0]
    assert experiments.arm_of_role(run, runs.TUNED_LEAKY) == ARMS[2][0]
    assert experiments.arm_of_role(run, runs.RESIDUAL, "attention") == "b"
    assert experiments.arm_of_role(run, runs.TUNED_HONEST) is None


def test_an_arm_gives_its_row(tmp_path):
    sources = recognise([an_experiment(tmp_path / "run")])
    found = experiments.arm(sources, sources.experiments[0], "student", "inflation")
    assert (found.value, found.low, found.high) == (0.01, 0.01, 0.01)
    assert found.n == "9 windows, 3 recordings out of fold; 9 windows, 3 recordings held out"
    assert experiments.arm(sources, sources.experiments[0], "teacher", "oof_gain") is None
    assert experiments.arm(sources, sources.experiments[0], "nobody", "oof_gain") is None


def compared(tmp_path, *names):
    run = recognise([a_comparison(tmp_path / "run")]).comparisons[0]
    return replace(run, frame=run.frame.assign(member=list(names)))


def test_members_are_told_by_their_names(tmp_path):
    run = compared(tmp_path, "head", "blend")
    value = run.frame["vs_baseline"].iloc[1]
    assert comparisons.blend_gain(run).value == value
    assert comparisons.tta_gain(run) is None is comparisons.plus_gain(run)
    assert comparisons.tta_gain(compared(tmp_path, "head", "head-tta")).value == value
    assert comparisons.plus_gain(compared(tmp_path, "final", "final-plus")).at == "final-plus against final"
    assert comparisons.blend_gain(compared(tmp_path, "blend", "head")) is None  # nothing to compare the blend with


def test_a_head_with_its_own_shifted_windows_is_no_blend(tmp_path):
    run = compared(tmp_path, "head", "blend")
    more = replace(run, frame=pd.concat([run.frame, run.frame.iloc[1:].assign(member="head-tta")], ignore_index=True))
    assert comparisons.blend_gain(run) is not None is not comparisons.tta_gain(more)
    assert comparisons.blend_gain(more) is None


def test_a_lead_changes_with_both_errors(tmp_path):
    run = compared(tmp_path, "head", "blend")

    def with_lead(value, half):
        ends = dict(zip(("vs_baseline", "vs_baseline_lo", "vs_baseline_hi"), (value, value - half, value + half)))
        return replace(run, frame=run.frame.assign(**ends))

    found = comparisons.lead_change(with_lead(0.07, 0.03), with_lead(0.04, 0.04))
    assert found.value == pytest.approx(-0.03)
    assert (found.low, found.high) == pytest.approx((-0.08, 0.02))  # 3, 4, 5
    assert comparisons.lead_change(run, compared(tmp_path, "other", "blend")) is None


def frozen(folder, head, epochs=3):
    a_member(folder, begun=(0,))
    path = folder / "config.json"
    config = json.loads(path.read_text()) | {"member": "birdmae-tiny"}
    config["settings"] = {"recipe": {"epochs": 3, "frozen_epochs": epochs}, "options": {"head": head}}
    path.write_text(json.dumps(config))
    rows = [f"f{i // 3}_{5 * (i % 3) + 5}" for i in range(12)]
    truth = pd.DataFrame(np.eye(2)[np.arange(12) % 2], rows, ["crow", "wren"]).rename_axis("row_id")
    scores = truth if head == "attentive" else 1 - truth
    truth.to_csv(folder / "oof" / "truth.csv")
    scores.to_csv(folder / "oof" / "birdmae-tiny.csv")
    return folder


def test_frozen_birdmae_tokens_against_the_pooled_vector(tmp_path):
    folders = [frozen(tmp_path / head, head) for head in ("plain", "attentive")]
    (found,) = members.frozen_heads(recognise(folders))
    assert found.value == pytest.approx(0.5) and found.n == "12 windows"  # perfect less worst: half are right
    assert members.frozen_heads(recognise(folders[:1])) == ()
    thawed = frozen(tmp_path / "thawed", "attentive", epochs=1)
    assert members.frozen_heads(recognise([folders[0], thawed])) == ()


@pytest.mark.parametrize(
    ("ends", "form", "text"),
    [
        ((0.05, 0.01, 0.09), "{:+.3f}", "+0.050 [+0.010, +0.090]"),
        ((2.81, math.nan, math.nan), "{:.1f} min", "2.8 min"),
        ((2.81, 2.0, 3.0), "{:.1f} min", "2.8 min [2.0, 3.0]"),
    ],
)
def test_a_number_as_people_read_it(ends, form, text):
    assert Measure("run", "on", *ends, "n", "at").said(form) == text
