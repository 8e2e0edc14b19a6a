"""HeadClassifier: scikit-learn's own checks, the same training as the loop's, groups held out whole, taps by name."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs, make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from birdprobe.analysis.metrics import macro_auc
from birdprobe.features import InputError
from birdprobe.heads.estimator import HeadClassifier
from birdprobe.heads.modules import build
from birdprobe.heads.training.folds import Split
from birdprobe.heads.training.loop import Settings, fit

# Checks that cannot apply, with the reason: none. Sample weights and class weights, which would bring checks of their
# own, are not among fit's arguments; sparse input is refused with scikit-learn's own words.
EXPECTED_FAILURES: dict[str, str] = {}


@parametrize_with_checks(
    [
        HeadClassifier("concat", epochs=15, learning_rate=2e-2),
        HeadClassifier("attention", dim=16, epochs=12, learning_rate=3e-3),
        HeadClassifier("scalarmix", dim=16, epochs=12, learning_rate=2e-2, early_stopping=True),
    ],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def blobs():
    """x [300, 12] of 4 species, y of names; only columns 4..7, tap b, tell them apart."""
    x, y = make_blobs(300, 4, centers=4, cluster_std=1.0, random_state=0)
    noise = np.random.default_rng(0).normal(size=(300, 8))
    return np.concatenate([noise[:, :4], x, noise[:, 4:]], axis=1).astype(np.float32), np.array(list("wren"))[y]


WIDTHS = {"a": 4, "b": 4, "c": 4}


@pytest.mark.parametrize("head", ["attention", "scalarmix", "concat"])
def test_it_learns_and_weighs_the_tap_that_tells(blobs, head):
    x, y = blobs
    model = HeadClassifier(head, widths=WIDTHS, dim=16, epochs=12, learning_rate=1e-2, random_state=0)
    predicted = cross_val_predict(model, x, y, cv=3)
    assert np.mean(predicted == y) > 0.9
    weights = model.fit(x, y).tap_weights_
    assert sum(weights.values()) == pytest.approx(1, abs=1e-5)
    if head != "attention":  # attention is no measure of importance; it need not favour b
        assert max(weights, key=weights.get) == "b"


def test_it_is_the_training_loop_and_nothing_else(blobs):
    x, y = blobs
    model = HeadClassifier("concat", widths=WIDTHS, epochs=5, random_state=3).fit(x, y)
    codes = np.unique(y, return_inverse=True)[1]
    seed = int(np.random.RandomState(3).randint(2**31 - 1))
    xs = list(torch.from_numpy(x).split(4, dim=1))
    (alone,) = fit(
        lambda: build("concat", WIDTHS, 4),
        xs,
        torch.eye(4)[codes],
        [Split((np.arange(300),), np.arange(0))],
        Settings(loss="ce", epochs=5, patience=None, seed=seed),
    )
    with torch.inference_mode():
        wanted = alone.module(xs).double().softmax(-1).numpy()
    np.testing.assert_allclose(model.predict_proba(x), wanted, atol=1e-6)
    assert model.losses_ == alone.losses


def test_taps_by_name_are_the_stacked_columns_in_any_order(blobs):
    x, y = blobs
    by_tap = {"a": x[:, :4], "b": x[:, 4:8].reshape(-1, 2, 2), "c": x[:, 8:]}
    model = HeadClassifier("scalarmix", dim=8, epochs=3, random_state=0)
    named, stacked = clone(model).fit(by_tap, y), clone(model).set_params(widths=WIDTHS).fit(x, y)
    np.testing.assert_array_equal(named.predict_proba(by_tap), stacked.predict_proba(x))
    np.testing.assert_array_equal(named.predict_proba(dict(reversed(by_tap.items()))), named.predict_proba(x))
    with pytest.raises(InputError, match=r"X: expected the taps b, c too, got a\."):
        named.predict({"a": by_tap["a"]})
    with pytest.raises(InputError, match=r"X, tap b: expected \(300, 4\), got \(300, 3\)"):
        named.predict(by_tap | {"b": x[:, 4:7]})
    with pytest.raises(InputError, match="widths: expected a sum of 12, the columns of X, got a 4 \\+ b 4"):
        clone(model).set_params(widths={"a": 4, "b": 4}).fit(x, y)


@pytest.mark.parametrize("head", ["attention", "scalarmix", "concat"])
def test_a_row_s_probabilities_do_not_depend_on_the_batch(blobs, head):
    # in float32 some processors differed by 1.8e-7, more than scikit-learn's check of subsets allows
    x, y = blobs
    options = {} if head == "concat" else {"dim": 32}
    model = HeadClassifier(head, widths=WIDTHS, epochs=3, random_state=0, **options).fit(x, y)
    whole = model.predict_proba(x)
    for size in (1, 2, 3, 7, 64, 299):
        parts = [model.predict_proba(x[at : at + size]) for at in range(0, len(x), size)]
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-13)
    order = np.random.default_rng(0).permutation(len(x))
    np.testing.assert_allclose(model.predict_proba(x[order]), whole[order], rtol=0, atol=1e-13)


def test_several_labels_a_row():
    x, y = make_multilabel_classification(400, 10, n_classes=4, random_state=1)
    model = HeadClassifier("concat", epochs=60, learning_rate=1e-2, random_state=0).fit(x[:300], y[:300])
    probabilities = model.predict_proba(x[300:])
    assert probabilities.shape == (100, 4)
    assert (probabilities.sum(axis=1) > 1.2).any()
    peer = OneVsRestClassifier(LogisticRegression(max_iter=1000)).fit(x[:300], y[:300])
    assert np.mean(model.predict(x[300:]) == y[300:]) > np.mean(peer.predict(x[300:]) == y[300:]) - 0.03
    assert macro_auc(y[300:] > 0, probabilities) > macro_auc(y[300:] > 0, peer.predict_proba(x[300:])) - 0.03
    np.testing.assert_array_equal(model.predict(x[300:]), probabilities > 0.5)
    np.testing.assert_array_equal(model.classes_, np.arange(4))


def test_early_stopping_holds_out_whole_groups(blobs, monkeypatch):
    x, y = blobs
    groups = np.repeat(np.arange(30), 10)
    seen = []

    def watched(make, xs, targets, splits, settings, judge):
        seen.append(splits[0])
        return fit(make, xs, targets, splits, settings, judge)

    monkeypatch.setattr("birdprobe.heads.estimator.fit", watched)
    model = HeadClassifier("concat", epochs=50, learning_rate=3e-2, early_stopping=True, patience=2, random_state=0)
    model.fit(x, y, groups=groups)
    held, train = groups[seen[0].held], groups[seen[0].train[0]]
    assert len(np.unique(held)) == 6
    assert not set(held) & set(train)
    assert len(held) + len(train) == 300
    assert len(model.losses_) < 50
    assert model.epoch_ == len(model.losses_) - 2
    assert model.validation_score_ > 0.95
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(x, y, groups=groups[:-1])


def test_it_fits_into_pipelines_and_searches(blobs):
    x, y = blobs
    search = GridSearchCV(
        make_pipeline(StandardScaler(), HeadClassifier("concat", epochs=15, random_state=0)),
        {"headclassifier__learning_rate": [1e-6, 1e-2]},
        cv=GroupKFold(3),
        scoring="neg_log_loss",
    ).fit(x, y, groups=np.arange(300) // 10)
    assert search.best_params_ == {"headclassifier__learning_rate": 1e-2}


def test_equal_seeds_equal_numbers_and_the_global_state_is_left_alone(blobs):
    x, y = blobs
    model = HeadClassifier("attention", widths=WIDTHS, dim=8, epochs=2)
    torch.manual_seed(5)
    one = clone(model).set_params(random_state=7).fit(x, y).predict_proba(x)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == after
    np.testing.assert_array_equal(one, clone(model).set_params(random_state=7).fit(x, y).predict_proba(x))
    assert np.abs(one - clone(model).set_params(random_state=8).fit(x, y).predict_proba(x)).max() > 1e-3


def test_wrong_settings_are_told_as_everywhere(blobs):
    x, y = blobs
    with pytest.raises(InputError, match=r"`--head` must be one of attention, scalarmix.*got 'mlp'"):
        HeadClassifier("mlp").fit(x, y)
    with pytest.raises(InputError, match=r"head linear: expected 1 tap, .*got 3"):
        HeadClassifier("linear", widths=WIDTHS).fit(x, y)
    with pytest.raises(InputError, match="expected at least 2 classes in y, got 1 class \\(w\\)"):
        HeadClassifier().fit(x, np.full(300, "w"))
