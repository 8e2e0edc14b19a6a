"""Gates and recipes: every formula against a plain loop, and the published chain as a whole."""

import math

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis.postprocess import effects, file_confidence, recipes, taxonomic, temporal
from birdprobe.analysis.postprocess.gates import classes, mixing, spikes
from birdprobe.features import InputError

CLASSES = ("amber1", "amber2", "22961", "47158son01", "47158son02", "mouse1")
GROUP = dict(zip(CLASSES, ("Aves", "Aves", "Amphibia", "Insecta", "Insecta", "Mammalia")))
FILES = {"a": (5, 10, 15, 20, 25, 30, 35, 40), "b": (5, 10, 25, 30), "c": (5,)}  # b misses two windows
IDS = [f"{file}_{end}" for file, ends in FILES.items() for end in ends]


def table(seed):
    values = np.round(np.random.default_rng(seed).random((len(IDS), len(CLASSES))), 2)  # some ties
    return pd.DataFrame(values, index=pd.Index(IDS, name="row_id"), columns=list(CLASSES))


FIRST, SECOND, P = table(1), table(2), table(3)


def rank(values, at):
    """The percentile rank of values[at]: the mean place among equals."""
    below, same = sum(v < values[at] for v in values), sum(v == values[at] for v in values)
    return (below + (same + 1) / 2) / len(values)


def ranks_by_loop(frame):
    columns = {name: [rank(list(frame[name]), i) for i in range(len(frame))] for name in frame}
    return pd.DataFrame(columns, index=frame.index)


F, S = ranks_by_loop(FIRST), ranks_by_loop(SECOND)


def cell_by_cell(formula):
    out = P.copy()
    for row in IDS:
        for name in CLASSES:
            out.loc[row, name] = formula(row, name)
    return out


def same(found, wanted):
    pd.testing.assert_frame_equal(found, wanted, check_exact=False, rtol=1e-12, atol=1e-15)


def test_ranks_and_mixing_by_loop():
    same(mixing.ranks(FIRST), F)
    same(mixing.Mix(SECOND, "sed", 0.6)(FIRST), cell_by_cell(lambda r, k: 0.6 * F.loc[r, k] + 0.4 * S.loc[r, k]))
    added = mixing.Mix(SECOND.iloc[::-1, ::-1], "head", 0.93, "prob")(FIRST)
    same(added, cell_by_cell(lambda r, k: 0.93 * FIRST.loc[r, k] + 0.07 * SECOND.loc[r, k]))
    assert mixing.Mix(SECOND, "sed").reach(FIRST).rows == len(IDS)


def continuity(row, name, reach=3, scale=1.2, dof=2.0):
    """The Student-t mean of the first member's ranks in the other windows around; None without any."""
    file, end = row.split("_")
    total = weights = 0.0
    for d in range(-reach, reach + 1):
        other = f"{file}_{int(end) + 5 * d}"
        if d and other in IDS:
            k = (1 + (d / scale) ** 2 / dof) ** (-(dof + 1) / 2)
            total, weights = total + k * F.loc[other, name], weights + k
    return total / weights if weights else None


def silent(row, name):
    return F.loc[row, name] >= 0.6 and S.loc[row, name] <= 0.5


GATE = spikes.SilentSpikes(F, S, 0.92, 0.6, 0.5)


def test_silent_spikes_by_loop():
    wanted = cell_by_cell(lambda r, k: 0.92 * P.loc[r, k] + 0.08 * S.loc[r, k] if silent(r, k) else P.loc[r, k])
    same(GATE(P), wanted)
    assert GATE.reach(P).rows == sum(any(silent(r, k) for k in CLASSES) for r in IDS) > 3


@pytest.mark.parametrize("level", [0.3, 0.55, 1.0])
def test_damping_with_protection_by_loop(level):
    def formula(r, k):
        around = continuity(r, k)
        if silent(r, k) and not (around is not None and around >= level):
            return 0.92 * P.loc[r, k] + 0.08 * S.loc[r, k]
        return P.loc[r, k]

    protect = spikes.Continuity(GATE, level=level)
    same(protect(GATE(P)), cell_by_cell(formula))
    back = [r for r in IDS if any(silent(r, k) and (continuity(r, k) or 0) >= level for k in CLASSES)]
    assert protect.reach(P).rows == len(back) and ("c_5" not in back)
    assert len(back) > 2 or level > 0.5
    assert ("no damped spike" in protect.reach(P).reason) == (not back)


def test_the_seconds_spikes_by_loop():
    wanted = cell_by_cell(
        lambda r, k: (
            0.88 * P.loc[r, k] + 0.12 * S.loc[r, k] if S.loc[r, k] >= 0.7 and F.loc[r, k] <= 0.4 else P.loc[r, k]
        )
    )
    gate = spikes.SecondSpikes(F, S, high=0.7, low=0.4)
    same(gate(P), wanted)
    assert 0 < gate.reach(P).rows < len(IDS) and not wanted.equals(P)


def test_shared_maximum_by_loop_and_groups_from_a_table(tmp_path):
    file = tmp_path / "taxonomy.csv"
    file.write_text(
        "primary_label,sonotype_group\n47158son01,buzz\n47158son02,buzz\namber1,\n22961,buzz\nelsewhere,buzz\n"
    )
    groups = classes.read_groups(file)
    assert groups == dict.fromkeys(("47158son01", "47158son02", "22961", "elsewhere"), "buzz")
    together = ("47158son01", "47158son02", "22961")
    gate = classes.SharedMaximum(groups)
    same(gate(P), cell_by_cell(lambda r, k: max(P.loc[r, j] for j in together) if k in together else P.loc[r, k]))
    alone = classes.SharedMaximum({"amber1": "x"})
    assert alone.reach(P).rows == 0 and alone(P).equals(P)
    file.write_text("primary_label,sonotype_group\na,x\na,y\n")
    with pytest.raises(InputError, match=r"line 3: label 'a' in groups 'x' and 'y'"):
        classes.read_groups(file)


def test_rare_classes_by_loop_and_no_rank_moves():
    gate = classes.RareClasses(GROUP, share=1 / 6)  # Amphibia and Mammalia have one column of six
    rare = ("22961", "mouse1")

    def formula(r, k):
        mean = sum(P[k]) / len(P)
        return 0.9 * P.loc[r, k] if k in rare and P.loc[r, k] < mean + 0.05 else P.loc[r, k]

    same(gate(P), cell_by_cell(formula))
    _, (effect,) = effects.apply(P, [gate])
    assert effect.values_changed > 5 and effect.ranks_changed == 0
    assert classes.RareClasses(GROUP, share=0.1).reach(P).rows == 0


def test_temperatures_by_loop_and_the_ends_stay():
    p = P.copy()
    p.iloc[0, :] = 0.0
    p.iloc[1, :] = 1.0
    gate = classes.Temperatures({"Aves": 1.1, "amber2": 2.0, "Insecta": 0.95}, GROUP)
    of = dict(zip(CLASSES, (1.1, 2.0, 1.0, 0.95, 0.95, 1.0)))

    def formula(value, k):
        return value if value in (0.0, 1.0) else 1 / (1 + math.exp(-math.log(value / (1 - value)) / of[k]))

    wanted = pd.DataFrame({k: [formula(v, k) for v in p[k]] for k in CLASSES}, index=p.index)
    same(gate(p), wanted)
    assert classes.Temperatures({"Reptilia": 2.0}, GROUP).reach(p).rows == 0


def test_adaptive_smoothing_by_loop():
    def formula(r, k):
        file, end = r.split("_")
        beside = [o for o in (f"{file}_{int(end) - 5}", f"{file}_{int(end) + 5}") if o in IDS]
        if not beside:
            return P.loc[r, k]
        a = 0.2 * (1 - max(P.loc[r, j] for j in CLASSES))
        return (1 - a) * P.loc[r, k] + a * sum(P.loc[o, k] for o in beside) / len(beside)

    step = temporal.Adaptive(0.2)
    same(step(P), cell_by_cell(formula))
    assert step.reach(P).rows == len(IDS) - 1


def test_gates_refuse_members_that_lack_rows_or_columns():
    for lacking, what in (
        (SECOND.iloc[1:], "1 rows missing, the first 'a_5'"),
        (SECOND.drop(columns="mouse1"), "1 columns"),
    ):
        for step in (
            mixing.Mix(lacking, "sed"),
            spikes.SilentSpikes(FIRST, lacking),
            spikes.SecondSpikes(FIRST, lacking),
        ):
            with pytest.raises(InputError, match=what):
                step(P)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mixing.Mix(SECOND, "sed", 1.5), "mixing with sed: expected a weight from 0 to 1, got 1.5"),
        (lambda: spikes.SilentSpikes(F, S, high=0.4), "low 0.5, high 0.4"),
        (lambda: spikes.SecondSpikes(F, S, keep=0), "keep 0"),
        (lambda: spikes.Continuity(GATE, 0), "got 0, 1.2"),
        (lambda: classes.RareClasses({}, factor=2), "and 2"),
        (lambda: classes.Temperatures({"Aves": 0}), "above 0 for 'Aves', got 0"),
        (lambda: temporal.Adaptive(2), "alpha from 0 to 1, got 2"),
    ],
)
def test_impossible_parameters_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


# --- recipes


@pytest.fixture
def taxonomy(tmp_path):
    path = tmp_path / "taxonomy.csv"
    names = ("Sibilornis a", "Sibilornis b", "Hyla c", "Insecta", "Insecta", "Mus d")
    groups = ("", "", "", "buzz", "buzz", "")
    lines = [f"{k},{name},{GROUP[k]},{group}" for k, name, group in zip(CLASSES, names, groups)]
    path.write_text("primary_label,scientific_name,class_name,sonotype_group\n" + "\n".join(lines) + "\n")
    return path


def test_the_published_recipe_is_its_steps_one_after_another(taxonomy):
    third = table(4)
    recipe = recipes.read_recipe("eos7")
    built = recipes.build(recipe, {"proto": FIRST, "sed": SECOND, "head": third}, taxonomy)
    assert built.left_out == ()
    assert built.weights == pytest.approx({"proto": 0.93 * 0.6, "sed": 0.93 * 0.4, "head": 0.07})
    found, parts = effects.apply(FIRST, built.steps)
    groups = {"47158son01": "buzz", "47158son02": "buzz"}
    gate = spikes.SilentSpikes(F, S)
    p = 0.6 * F + 0.4 * S
    for step in (
        gate,
        spikes.Continuity(gate),
        spikes.SecondSpikes(F, S),
        classes.SharedMaximum(groups),
        classes.RareClasses(GROUP),
        classes.Temperatures({"Aves": 1.1, "Amphibia": 0.95, "Insecta": 0.95}, GROUP),
        file_confidence.Power(0.4, 2),
        file_confidence.Power(0.5, 1),
        temporal.Adaptive(0.2),
    ):
        p = step(p)
    wanted = taxonomic.Taxonomic.read(taxonomy)(0.93 * p + 0.07 * third)
    same(found, wanted)
    assert [part.step for part in parts][:2] == ["sed 0.4 (rank)", "silent spikes 0.92/0.08"]


def test_what_a_recipe_cannot_do_is_left_out_and_said(taxonomy):
    built = recipes.build(recipes.read_recipe("eos7"), {"proto": FIRST, "sed": SECOND})
    assert [line.split(":")[0] for line in built.left_out] == [
        "shared-maximum", "rare-classes", "temperatures", "mix", "taxonomic"
    ]  # fmt: skip
    assert "member 3 is not given" in built.left_out[3] and "needs a taxonomy" in built.left_out[4]
    with pytest.raises(InputError, match="mixes 3 members, got 4"):
        recipes.build(recipes.read_recipe("eos7"), dict(zip("abcd", [FIRST] * 4)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 'x'", r"no \[\[step\]\] found"),
        ("[[step]]\ndo = 'sharpen'", "step 1: expected do to be one of mix, .*got 'sharpen'"),
        ("[[step]]\ndo = 'mix'\nshare = 1", "step 1, mix: expected member, weight, space, got 'share'"),
        ("[[step]]\ndo = 'mix'\nweight = '0.6'", "expected weight to be a number, got '0.6'"),
        ("[[step]]\ndo = 'mix'\nmember = 2.5", "whole number, got 2.5"),
        ("[[step]]\ndo = 'temperatures'", "expected temperature"),
        ("[[step]]\ndo = 'temperatures'\ntemperature = {Aves = 'hot'}", "a table of numbers"),
        ("[[step]", "no TOML"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        recipes.read_recipe(path)


def test_an_unknown_name_lists_the_known_ones_and_member_1_is_not_mixed_in(tmp_path):
    with pytest.raises(InputError, match=r"eos9: .*expected a recipe's name \(eos7\) or a TOML file"):
        recipes.read_recipe("eos9")
    (tmp_path / "mine.toml").write_text("[[step]]\ndo = 'mix'\nmember = 1")
    with pytest.raises(InputError, match=r"expected member 2 or later .*got 1"):
        recipes.read_recipe(tmp_path / "mine.toml")
