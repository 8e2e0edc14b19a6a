"""Effects: what is counted, what AUC can and cannot see, warnings for steps that do nothing."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from birdprobe.analysis import metrics, predictions
from birdprobe.analysis.postprocess import effects, file_confidence, nocall, site_hour, taxonomic, temporal
from birdprobe.analysis.postprocess.step import Reach
from birdprobe.features import InputError

FILES = [f"BC2026_Test_{i:04d}_S{i % 3 + 1:02d}_20260512_0{i % 2 + 5}0000" for i in range(10)]
IDS = [f"{file}_{end}" for file in FILES for end in range(5, 65, 5)]
CLASSES = ["a", "b", "1161364", "c"]


def truth(seed=0):
    """Songs that last: in a recording, a class is there for some windows in a row."""
    rng = np.random.default_rng(seed)
    values = np.zeros((len(FILES), 12, len(CLASSES)), dtype=bool)
    for i, k in np.ndindex(len(FILES), len(CLASSES)):
        if rng.random() < 0.5:
            begin = rng.integers(0, 8)
            values[i, begin : begin + 4, k] = True
    return pd.DataFrame(values.reshape(-1, len(CLASSES)), index=IDS, columns=CLASSES)


def noisy(seed=1, noise=1.5):
    rng = np.random.default_rng(seed)
    logits = 2 * truth().to_numpy() - 2 + noise * rng.normal(size=(len(IDS), len(CLASSES)))
    return pd.DataFrame(1 / (1 + np.exp(-logits)), index=IDS, columns=CLASSES)


@dataclass(frozen=True)
class Warp:
    """p -> scale p ^ exponent, another exponent a class: monotone within each class."""

    exponents: tuple[float, ...]
    scale: float = 1.0
    stage: ClassVar[str] = "power"

    def __str__(self):
        return "warp"

    def __call__(self, table):
        return self.scale * table ** np.array(self.exponents)

    def reach(self, table):
        return Reach(len(table))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.05, 20), min_size=4, max_size=4),
    st.floats(0.01, 1),
    st.integers(0, 2**32 - 1),
    st.sampled_from([5, 50, 10**6]),
)
def test_a_monotone_transform_a_class_moves_no_rank_and_no_auc(exponents, scale, seed, levels):
    p = (noisy(seed) * levels).round() / levels  # with ties
    out, (effect,) = effects.apply(p, [Warp(tuple(exponents), scale)], truth(), n_boot=20)
    assert effect.ranks_changed == 0
    assert effect.auc_after == effect.auc_before and effect.gain == 0 == effect.gain_lo == effect.gain_hi
    assert metrics.macro_auc(truth().to_numpy(), out.to_numpy()) == metrics.macro_auc(truth().to_numpy(), p.to_numpy())


def test_counts_by_hand():
    p = pd.DataFrame({"x": [0.1, 0.2, 0.3, 0.4], "y": [0.2, 0.0, 0.9, 0.0]}, index=["a_5", "a_10", "b_5", "b_10"])
    # rows 1 and 2 (maximum below 0.25) fall to a tenth: x keeps its order; in y, 0.2 stays above the zeros
    _, (effect,) = effects.apply(p, [nocall.Damping(0.25, 0.1)])
    assert (effect.rows, effect.applied_rows, effect.rows_changed) == (4, 2, 2)
    assert (effect.values, effect.values_changed, effect.ranks_changed) == (8, 3, 0)
    assert effect.gain is None and effect.gain_lo is None and effect.warning is None
    # the loud file's power: x of file a, 0.1 and 0.2, to 0.015 and 0.03; b to 0.105 and 0.14: order kept again
    # y: a 0.2 x 0.1, b 0.9 x 0.45, zeros stay: 6 of 8 values move, no rank
    _, (effect,) = effects.apply(p, [file_confidence.Power(1.0, 2)])
    assert (effect.rows_changed, effect.values_changed, effect.ranks_changed) == (4, 6, 0)
    # row 3 falls to the bottom of x (rank 3 -> 1, and 1 -> 2, 2 -> 3) and of y it was the top
    falling = pd.DataFrame({"x": [0.5, 0.6, 0.7], "y": [0.1, 0.1, 0.2]}, index=["a_5", "b_5", "c_5"])
    _, (effect,) = effects.apply(falling.assign(nocall=[0, 0, 0.9]), [nocall.Class()])
    assert (effect.values, effect.values_changed, effect.ranks_changed) == (6, 2, 6)


def test_rounding_is_no_change():
    p = pd.DataFrame({"x": [0.3] * 12 + [0.7] * 12}, index=IDS[:24])  # constant in each recording
    out, (effect,) = effects.apply(p, [temporal.Kernel((0.35, 0.3, 0.35))])
    assert not (out.to_numpy() == p.to_numpy()).all()  # it does round
    assert effect.values_changed == 0 == effect.ranks_changed
    assert effect.warning == "kernel 0.35/0.3/0.35: changed 0 of 24 rows: every value stays what it was."


def test_auc_and_gains_are_those_of_scikit_learn_and_of_the_paired_bootstrap():
    steps = [temporal.Gaussian(), file_confidence.Power()]
    out, found = effects.apply(noisy(), steps, truth(), seed=3)
    tables, files = [noisy(), steps[0](noisy()), out], predictions.files(IDS)
    for effect, before, after in zip(found, tables, tables[1:]):
        old, new = (roc_auc_score(truth(), table, average="macro") for table in (before, after))
        assert effect.auc_before == pytest.approx(old) and effect.auc_after == pytest.approx(new)
        wanted = metrics.paired(
            metrics.macro_auc, truth().to_numpy(), after.to_numpy(), before.to_numpy(), files, seed=3
        )
        assert (effect.gain, effect.gain_lo, effect.gain_hi) == pytest.approx(wanted)
    assert found[0].gain_lo > 0  # songs last, noise does not: smoothing really helps here


def test_truth_may_cover_a_part_and_the_table_may_have_a_column_more():
    part = truth().iloc[3::2]
    p = noisy().assign(nocall=0.1)
    out, found = effects.apply(p, [temporal.Gaussian(), nocall.Class()], part, n_boot=50)
    assert [effect.scored_rows for effect in found] == [len(part)] * 2
    assert found[1].auc_after == pytest.approx(metrics.macro_auc(part.to_numpy(), out.loc[part.index].to_numpy()))
    assert list(out.columns) == CLASSES and found[1].values == len(IDS) * len(CLASSES)
    with pytest.raises(InputError, match="table to be scored: rows: 12"):
        effects.apply(noisy().iloc[12:], [], truth())
    with pytest.raises(InputError, match=r"table to be scored: columns: 1 \('c'\) missing"):
        effects.apply(noisy().drop(columns="c"), [], truth())
    with pytest.raises(InputError, match=r"post-processing, table: values: 1 outside 0..1"):
        effects.apply(noisy().replace(noisy().iloc[0, 0], 1.5), [])


def test_one_recording_has_a_gain_without_interval_and_no_positive_none():
    _, (effect,) = effects.apply(noisy().iloc[:12], [temporal.Gaussian()], truth().iloc[:12])
    assert effect.gain is not None and effect.gain_lo is None and effect.gain_hi is None
    _, (effect,) = effects.apply(noisy(), [temporal.Gaussian()], truth() & False)
    assert effect.auc_before is None and effect.gain is None and effect.gain_lo is None


@pytest.mark.parametrize(
    ("step", "warning"),
    [
        (
            site_hour.SiteHour(site_hour.fit(truth().rename(index=lambda name: name.replace("_S0", "_S1")))),
            "site/hour prior, laplace 0.5: applied to 0 of 120 rows: 120 rows of a site and hour that no labels cover.",
        ),
        (nocall.Class(), "no-call class 'nocall': applied to 0 of 120 rows: no column 'nocall'."),
        (
            taxonomic.Taxonomic({"z": "Z"}, {"z": "Aves"}),
            "taxonomic 0.15/0.05: applied to 0 of 120 rows: 4 of 4 columns are not in the taxonomy, "
            "no genus or class_name in use has two columns.",
        ),
        (
            nocall.Damping(0.0, 0.5),
            "no-call window < 0: x 0.5: applied to 0 of 120 rows: 120 rows are of windows with a value of 0 or more.",
        ),
        (file_confidence.Power(0.0), "power 0, top 2: changed 0 of 120 rows: every value stays what it was."),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_step_that_does_nothing_says_so(step, warning):
    out, found = effects.apply(noisy(), [step], truth(), n_boot=20)
    assert effects.warnings(found) == (warning,)
    assert found[0].gain == 0 and out.equals(noisy())


def test_the_table_shows_what_there_is():
    _, with_truth = effects.apply(noisy(), [temporal.Gaussian(), file_confidence.Power()], truth(), n_boot=50)
    text = effects.table(with_truth, "Chain").to_markdown()
    assert text.startswith("*Chain*") and "| Gaussian 1 " in text and "| power 0.4, top 2 " in text
    assert (
        " 120 of 120 |" in text and f"{with_truth[0].gain:+.4f}" in text and f" [{with_truth[0].gain_lo:+.4f}, " in text
    )
    raw = effects.table(with_truth).to_csv().splitlines()
    assert len(raw) == 3 and raw[0].startswith("step,rows,applied_rows,") and repr(with_truth[1].auc_after) in raw[2]
    _, without = effects.apply(noisy(), [temporal.Gaussian()])
    assert "AUC" not in effects.table(without).to_markdown()
    assert effects.table(()).rows == ()
