"""Post-processing steps: laws that hold for all of them, and each formula against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdprobe.analysis import predictions
from birdprobe.analysis.postprocess import file_confidence, nocall, rows, site_hour, step, taxonomic, temporal
from birdprobe.analysis.postprocess.gates import classes, mixing, spikes
from birdprobe.features import InputError

CLASSES = ("amber1", "amber2", "amber3", "22961", "47158son01", "mouse1")
GENUS = dict(zip(CLASSES, ("Sibilornis", "Sibilornis", "Tremulornis", "Hyla", "Insecta", "Mus")))
GROUP = dict(zip(CLASSES, ("Aves", "Aves", "Aves", "Amphibia", "Insecta", "Mammalia")))
FILES = (
    "BC2026_Train_0001_S01_20260512_050000",
    "BC2026_Train_0002_S02_20260513_235930",  # ends on the next day
    "BC2026_Train_0003_S09_20260514_170000",
    "garden",
)


def table(seed=0, files=FILES, windows=6, classes=CLASSES):
    ids = [f"{file}_{5 * (i + 1)}" for file in files for i in range(windows)]
    values = np.random.default_rng(seed).random((len(ids), len(classes)))
    return pd.DataFrame(values, index=pd.Index(ids, name="row_id"), columns=list(classes))


def column(values, file="a", ends=None):
    """A table of one class and one recording."""
    ends = range(5, 5 * len(values) + 5, 5) if ends is None else ends
    return pd.DataFrame({"x": np.array(values, float)}, index=[f"{file}_{end}" for end in ends])


LABELS = table(7) > 0.7
GATE = spikes.SilentSpikes(table(8), table(9), 0.92, 0.7, 0.4)  # members whose values serve as ranks
STEPS = (
    mixing.Mix(table(8), "other", 0.6, "logit"),
    GATE,
    spikes.Continuity(GATE, level=0.5),
    spikes.SecondSpikes(table(8), table(9), high=0.6),
    classes.SharedMaximum(GENUS),
    classes.Temperatures({"Aves": 1.1, "mouse1": 0.5}, GROUP),
    temporal.Adaptive(),
    taxonomic.Taxonomic(GENUS, GROUP),
    taxonomic.Taxonomic(GENUS, GROUP, a=0.5, b=0.2),
    site_hour.SiteHour(site_hour.fit(LABELS)),
    site_hour.SiteHour(site_hour.fit(LABELS, towards="base"), weight=1.0),
    site_hour.SiteHour(site_hour.fit(LABELS, kind="shrunk")),
    site_hour.cross_fit(LABELS, [FILES.index(name) % 2 for name in predictions.files(LABELS.index)]),
    temporal.Gaussian(),
    temporal.Gaussian(0.65),
    temporal.Kernel(),
    temporal.Kernel((0.1, 0.2, 0.4, 0.2, 0.1)),
    file_confidence.Power(),
    file_confidence.Power(0.6, top=1),
    nocall.Damping(0.8, 0.5),
    nocall.Damping(0.99, 0.25, unit="file"),
    nocall.Class("mouse1"),
)
every_step = pytest.mark.parametrize("step", STEPS, ids=str)


@every_step
def test_a_step_keeps_rows_columns_and_0_to_1(step):
    for values in (table(1), table(1).round(), table(1) * 0, table(1) * 0 + 1):
        given_ = values.copy()
        out = step(values)
        pd.testing.assert_frame_equal(values, given_)  # the input is untouched
        assert list(out.index) == list(values.index) and out.index.name == "row_id"
        assert list(out.columns) == [
            name for name in CLASSES if str(step) != "no-call class 'mouse1'" or name != "mouse1"
        ]
        assert predictions.faults(out) == ()
        assert (out.dtypes == np.float64).all()


@every_step
def test_no_step_looks_across_recordings(step):
    # alone, or beside recordings that say something else: the same bits
    whole = step(table(2))
    for file in FILES:
        mine = predictions.files(whole.index) == file
        pd.testing.assert_frame_equal(step(table(2)[mine]), whole[mine], check_exact=True)
        beside = table(3)
        beside[mine] = table(2)[mine]
        pd.testing.assert_frame_equal(step(beside)[mine], whole[mine], check_exact=True)


@every_step
def test_the_order_of_the_rows_does_not_count(step):
    shuffled = table(4).sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(step(shuffled), step(table(4)).loc[shuffled.index], check_exact=True)


@every_step
def test_the_order_of_the_columns_does_not_count(step):
    turned = list(CLASSES[::-1])
    wanted = step(table(4))
    pd.testing.assert_frame_equal(step(table(4)[turned])[wanted.columns], wanted, check_exact=False, rtol=1e-12)


@pytest.mark.parametrize(
    "step",
    [
        taxonomic.Taxonomic(GENUS, GROUP, a=0, b=0),
        taxonomic.Taxonomic({}, {}),
        site_hour.SiteHour(site_hour.fit(LABELS), weight=0),
        temporal.Gaussian(0),
        temporal.Kernel((0, 1, 0)),
        temporal.Kernel((1.0,)),
        file_confidence.Power(0),
        nocall.Damping(factor=1, threshold=1),
        nocall.Damping(threshold=0, factor=0),
        nocall.Class(),  # there is no such column
        mixing.Mix(table(8), "other", 1.0, "prob"),
        spikes.SilentSpikes(table(8), table(9), keep=1.0),
        classes.Temperatures({}),
        temporal.Adaptive(0),
    ],
    ids=str,
)
def test_steps_without_effect_return_the_same_values(step):
    pd.testing.assert_frame_equal(step(table(5)), table(5), check_exact=True)


@pytest.mark.parametrize(
    "step",
    [
        nocall.Damping(0.9, 0.0),
        nocall.Damping(0.999, 0.0, unit="file"),
        nocall.Class("mouse1"),
        taxonomic.Taxonomic(GENUS, GROUP, a=1, b=0),
    ],
    ids=str,
)
def test_steps_that_a_second_time_changes_nothing(step):
    once = step(table(6))
    assert not once.equals(table(6)[once.columns])
    np.testing.assert_allclose(step(once), once, rtol=1e-15)


def test_ordered_puts_every_step_where_it_belongs():
    assert [one.stage for one in step.ordered(STEPS[::-1])] == sorted(
        (one.stage for one in STEPS), key=step.ORDER.index
    )
    assert {one.stage for one in STEPS} == set(step.ORDER)
    first, second = temporal.Kernel(), temporal.Gaussian()
    assert step.ordered([first, second]) == (first, second)


# --- rows


def test_rows_of_a_recording_are_ordered_by_their_end_as_a_number():
    ids = ["b_10", "a_100", "a_5", "b_7.5", "a_20", "no window"]
    assert [[ids[i] for i in at] for at in rows.by_file(ids)] == [
        ["a_5", "a_20", "a_100"],
        ["b_7.5", "b_10"],
        ["no window"],
    ]
    assert rows.ends(ids).tolist() == [10, 100, 5, 7.5, 20, 0]
    assert rows.by_file([]) == [] and len(rows.ends([])) == 0


def test_site_and_hour_of_a_row():
    ids = [
        f"{FILES[0]}_5",
        f"{FILES[0]}_3600",
        f"{FILES[1]}_25",
        f"{FILES[1]}_30",
        "garden_5",
        "BC2026_Train_1_S01_20261332_050000_5",
    ]
    sites, hours = rows.places(ids)
    assert sites.tolist() == ["S01", "S01", "S02", "S02", None, None]
    assert hours.tolist() == [5, 6, 23, 0, -1, -1]  # the window's end: 23:59:30 + 30 s is midnight


# --- taxonomic


def test_taxonomic_smoothing_by_hand():
    p = pd.DataFrame([[0.8, 0.4, 0.1, 0.5, 0.9, 0.2]], index=["a_5"], columns=list(CLASSES))
    out = taxonomic.Taxonomic(GENUS, GROUP)(p)
    birds = np.array([0.85 * 0.8 + 0.15 * 0.6, 0.85 * 0.4 + 0.15 * 0.6, 0.1])  # one genus has two labels
    birds = 0.95 * birds + 0.05 * birds.mean()
    np.testing.assert_allclose(out.to_numpy()[0], [*birds, 0.5, 0.9, 0.2], rtol=1e-14)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_taxonomic_smoothing_keeps_the_sum_over_relatives(seed, a, b):
    p, out = table(seed), taxonomic.Taxonomic(GENUS, GROUP, a, b)(table(seed))
    for name in set(GROUP.values()):
        members = [label for label in CLASSES if GROUP[label] == name]
        np.testing.assert_allclose(out[members].sum(axis=1), p[members].sum(axis=1), rtol=1e-12)


def test_taxonomic_reads_the_table_and_leaves_other_columns(tmp_path):
    path = tmp_path / "taxonomy.csv"
    lines = [f"{label},{GENUS[label]} fictus,{GROUP[label]}" for label in CLASSES]
    path.write_text("\n".join(["primary_label,scientific_name,class_name", *lines]) + "\n")
    step = taxonomic.Taxonomic.read(path, a=0.2)
    assert step == taxonomic.Taxonomic(GENUS, GROUP, 0.2, 0.05)
    more = table(1).assign(nocall=0.5)
    pd.testing.assert_series_equal(step(more)["nocall"], more["nocall"])
    path.write_text(path.read_text() + lines[0] + "\n")
    with pytest.raises(InputError, match=r"taxonomy\.csv, line 8: label 'amber1' twice"):
        taxonomic.Taxonomic.read(path)


# --- temporal


def test_kernel_by_hand_with_renormalised_edges():
    out = temporal.Kernel((0.1, 0.8, 0.1))(column([1, 0, 0.5]))
    wanted = [0.8 / 0.9, 0.1 * 1 + 0.1 * 0.5, 0.8 * 0.5 / 0.9]
    np.testing.assert_allclose(out["x"], wanted, rtol=1e-14)


def test_a_kernel_that_is_not_symmetric_looks_the_right_way():
    # the first weight is the window before: 0.3 p[i - 1] + 0.7 p[i]
    out = temporal.Kernel((0.3, 0.7, 0))(column([1, 0, 0]))
    np.testing.assert_allclose(out["x"], [1, 0.3, 0], rtol=1e-14)


def test_gaussian_by_hand():
    a, b = np.exp(-0.5), np.exp(-2)
    out = temporal.Gaussian(1.0)(column([1, 0, 0]))
    np.testing.assert_allclose(out["x"], [1 / (1 + a + b), a / (1 + 2 * a), b / (1 + a + b)], rtol=1e-14)


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-300, 1), st.integers(1, 15), st.floats(0.01, 5))
def test_smoothing_leaves_a_constant_and_stays_within_the_extremes(value, n, sigma):
    for smoothing in (temporal.Gaussian(sigma), temporal.Kernel((0.35, 0.3, 0.35)), temporal.Kernel((0.5, 0, 0.5))):
        np.testing.assert_allclose(smoothing(column([value] * n))["x"], value, rtol=1e-12)
        some = column(np.random.default_rng(n).random(n))
        smooth = smoothing(some)["x"]
        assert some["x"].min() - 1e-12 <= smooth.min() and smooth.max() <= some["x"].max() + 1e-12


def test_a_missing_window_is_no_neighbour():
    # labelled rows of a soundscape have gaps; 10 and 25 s are three windows apart, not one
    out = temporal.Kernel((0.1, 0.8, 0.1))(column([1, 0, 1], ends=[5, 10, 25]))
    np.testing.assert_allclose(out["x"], [0.8 / 0.9, 0.1 / 0.9, 1], rtol=1e-14)


# --- file-wise


def test_power_by_hand():
    p = column([0.9, 0.1, 0.5])
    np.testing.assert_allclose(file_confidence.Power(0.4, 2)(p)["x"], p["x"] * 0.7**0.4, rtol=1e-14)
    np.testing.assert_allclose(file_confidence.Power(0.5, 1)(p)["x"], p["x"] * 0.9**0.5, rtol=1e-14)
    one = column([0.25])
    np.testing.assert_allclose(file_confidence.Power(0.5, 2)(one)["x"], [0.125], rtol=1e-14)  # fewer windows than top


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 3), st.integers(1, 8))
def test_power_lowers_and_keeps_the_order_inside_a_recording(seed, exponent, top):
    p, out = table(seed), file_confidence.Power(exponent, top)(table(seed))
    assert (out.to_numpy() <= p.to_numpy()).all()
    for at in rows.by_file(p.index):
        np.testing.assert_array_equal(np.argsort(out.to_numpy()[at], axis=0), np.argsort(p.to_numpy()[at], axis=0))


# --- no-call


def test_damping_by_hand():
    p = pd.DataFrame({"x": [0.05, 0.6, 0.02, 0.01], "y": [0.08, 0.0, 0.1, 0.0]}, index=["a_5", "a_10", "b_5", "b_10"])
    by_window = nocall.Damping(0.1, 0.5)(p)
    np.testing.assert_allclose(by_window, p * np.array([[0.5], [1], [1], [0.5]]))  # 0.1 is not below 0.1
    by_file = nocall.Damping(0.2, 0.5, unit="file")(p)
    np.testing.assert_allclose(by_file, p * np.array([[1], [1], [0.5], [0.5]]))


def test_no_call_class_lowers_the_others_and_goes():
    p = pd.DataFrame({"x": [0.5, 0.5], "nocall": [0.9, 0.0]}, index=["a_5", "a_10"])
    out = nocall.Class()(p)
    assert list(out.columns) == ["x"]
    np.testing.assert_allclose(out["x"], [0.05, 0.5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: taxonomic.Taxonomic({}, {}, a=1.2), "got a 1.2, b 0.05"),
        (lambda: temporal.Gaussian(-1), "got -1"),
        (lambda: temporal.Gaussian(float("nan")), "got nan"),
        (lambda: temporal.Kernel((0.5, 0.5)), "expected an odd number of weights"),
        (lambda: temporal.Kernel((-0.1, 1, 0.1)), "none negative"),
        (lambda: temporal.Kernel((0, 0, 0)), "not all 0"),
        (lambda: file_confidence.Power(-0.1), "exponent -0.1"),
        (lambda: file_confidence.Power(top=0), "top 0"),
        (lambda: nocall.Damping(unit="site"), "'site'"),
        (lambda: nocall.Damping(factor=2), "got 0.1, 2 and"),
    ],
)
def test_impossible_parameters_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
