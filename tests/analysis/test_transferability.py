"""LogME against the marginal likelihood maximised by brute force; effective rank, CKA and regret in closed form."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, ortho_group

from birdprobe.analysis import transferability
from birdprobe.features import InputError


def brute_force_evidence(x, y):
    """The largest log N(y; 0, XX'/alpha + I/beta) over alpha and beta, per row: the definition itself."""

    def loss(log_variances):
        weight, noise = np.exp(log_variances)
        return -multivariate_normal(np.zeros(len(y)), weight * x @ x.T + noise * np.eye(len(y))).logpdf(y)

    starts = [(-2.0, -2.0), (-6.0, -2.0)]
    return -min(minimize(loss, s, method="Nelder-Mead", options={"fatol": 1e-8}).fun for s in starts) / len(y)


@pytest.mark.parametrize("d", [2, 10, 60])
def test_logme_is_the_maximal_evidence(d):
    rng = np.random.default_rng(d)
    y = rng.integers(0, 3, 40)
    x = rng.standard_normal((40, d)) + 0.7 * rng.standard_normal((3, d))[y]
    expected = np.mean([brute_force_evidence(x, (y == c).astype(float)) for c in range(3)])
    assert transferability.logme(x, y) == pytest.approx(expected, abs=1e-6)


def test_logme_prefers_features_that_know_the_label_and_ignores_scale():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 5, 300)
    noise = rng.standard_normal((300, 40))
    scores = [
        transferability.logme(noise + strength * rng.standard_normal((5, 40))[y], y) for strength in (0.0, 0.2, 1.0)
    ]
    assert scores == sorted(scores)
    assert transferability.logme(1e6 * noise, y) == pytest.approx(transferability.logme(noise, y), abs=1e-9)
    assert transferability.logme(noise.astype(np.float32), y) == pytest.approx(
        transferability.logme(noise, y), abs=1e-6
    )


def test_logme_stays_finite_on_separable_wide_and_dead_features():
    y = np.arange(40) % 4
    assert np.isfinite(transferability.logme(np.eye(4)[y], y))  # one-hot: no residual at all
    assert np.isfinite(transferability.logme(np.random.default_rng(0).standard_normal((40, 500)), y))
    dead = transferability.logme(np.zeros((40, 3)), y)
    assert dead == pytest.approx(-0.5 * (np.log(2 * np.pi * 0.25) + 1))  # N(0, 1/4) on a quarter of ones


def test_effective_rank_in_closed_form():
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.standard_normal((40, 7)))[0]
    assert transferability.effective_rank(q) == pytest.approx(7)
    assert transferability.effective_rank(q.T) == pytest.approx(7)
    one = np.outer(np.arange(1, 41), np.arange(1, 10)) * 1e200
    assert transferability.effective_rank(one) == pytest.approx(1)
    assert transferability.effective_rank(np.zeros((5, 3))) == 0
    x = rng.standard_normal((60, 25)) * np.geomspace(1, 1e-3, 25)
    p = np.linalg.svd(x, compute_uv=False)
    p /= p.sum()
    assert transferability.effective_rank(x.astype(np.float32)) == pytest.approx(
        np.exp(-(p * np.log(p)).sum()), rel=1e-5
    )


@pytest.mark.parametrize("d", [5, 90])  # fewer columns than rows, and more: the Gram route
def test_cka_ignores_rotation_scale_and_offset(d):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((30, d))
    table = transferability.cka(
        {"a": x, "b": 4 * x @ ortho_group.rvs(d, random_state=1) + 7, "dead": np.full((30, 4), 0.1)}
    )
    assert table.loc["a", "b"] == pytest.approx(1) and table.loc["b", "b"] == 1
    assert table["dead"].isna().all()


def test_cka_equals_the_definition_by_any_route():
    rng = np.random.default_rng(2)
    features = {str(d): rng.standard_normal((30, d)) @ rng.standard_normal((d, d)) + 3 for d in (4, 12, 50, 80)}
    table = transferability.cka(features)
    centre = np.eye(30) - 1 / 30

    def hsic(one, other):
        return np.trace(one @ one.T @ centre @ other @ other.T @ centre)

    for a, x in features.items():
        for b, y in features.items():
            assert table.loc[a, b] == pytest.approx(hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y)))
    with pytest.raises(InputError, match=r"CKA, tap b: expected \[3, d\], got features \(2, "):
        transferability.cka({"a": np.eye(3), "b": np.eye(2)})


def test_regret_of_a_score_that_knows_and_of_one_that_does_not():
    labelled = pd.Series({"stem": 0.2, "block_00": 0.5, "embedding": 0.4})
    scores = pd.DataFrame({"knows": labelled * 3, "opposite": -labelled, "flat": 1.0}).loc[::-1]
    table = transferability.label_free_regret(scores, labelled).set_index("label_free")
    assert table.loc["knows", ["tap", "regret", "spearman"]].tolist() == ["block_00", 0, pytest.approx(1)]
    assert table.loc["opposite", ["tap", "regret", "spearman"]].tolist() == [
        "stem",
        pytest.approx(0.3),
        pytest.approx(-1),
    ]
    assert table.loc["flat", "tap"] == "stem" and np.isnan(table.loc["flat", "spearman"])


def test_bad_input_is_one_line():
    x = np.random.default_rng(0).standard_normal((50, 4))
    with pytest.raises(InputError, match="at least two classes, got 1"):
        transferability.logme(x, np.zeros(50))
    x[0, 0] = np.inf
    for function in (transferability.effective_rank, lambda x: transferability.logme(x, np.arange(50))):
        with pytest.raises(InputError, match="not finite"):
            function(x)
