"""The sentences of a sweep: which tap for which use, and never more than the table of read-outs supports."""

import json

import numpy as np
import pytest

from birdprobe.analysis.readout_ranking import rank_readouts
from birdprobe.probe.sweep.conclusion import conclude


def ranked(accuracy, n_groups=60, per_group=20, rough=(), reference="embedding"):
    """A ranking of made-up predictions: {read-out: {tap: share right}}; `rough` read-outs err independently by tap."""
    rng = np.random.default_rng(0)
    n = n_groups * per_group
    order = np.tile(np.arange(per_group), n_groups) / per_group
    scores = {}
    for readout, taps in accuracy.items():
        for tap, share in taps.items():
            right = rng.permutation(n) < share * n if readout in rough else order < share - 1e-9
            scores[tap, readout] = np.c_[right, ~right].astype(float)
    targets = np.tile([True, False], (n, 1))
    ordered = {(tap, readout): scores[tap, readout] for tap in next(iter(accuracy.values())) for readout in accuracy}
    groups = np.repeat(np.arange(n_groups), per_group)
    return rank_readouts(ordered, targets, groups, reference, n_boot=200, n_perm=500)


def test_real_birds_read_the_embedding_and_the_published_protocol_would_have_misled():
    better = {"block_12": 0.60, "embedding": 0.80, "logits": 0.70}
    ranking = ranked(
        {
            "knn": {"block_12": 0.66, "embedding": 0.60, "logits": 0.40},
            **{"knn-cosine": better, "centroid": better | {"embedding": 0.85}, "linear": better},
        },
        n_groups=30,
        rough=("knn",),
    )
    found = conclude(ranking, 5)
    assert found.lines[0] == (
        "Read the final embedding, by nearest class mean or with a linear head: only Euclidean 5-NN puts another tap "
        "first (block_12), and not beyond chance."
    )
    assert found.parts["training_free"].startswith("Without training: the final embedding by nearest class mean, 0.8")
    assert found.parts["training_free"].endswith("no other tap does better.")
    assert found.misled and not found.agree
    assert found.inner_first == ("knn",)
    published = found.parts["published"]
    assert "would have sent you to block_12 (0.660) and misled you: by nearest class mean it is" in published
    assert published.endswith("points below the final embedding.")
    assert found.to_json()["misled"] is True
    json.dumps(found.to_json(), allow_nan=False)


def test_once_standardised_there_is_no_difference_worth_having():
    level = {"block_11": 0.90, "block_13": 0.90, "embedding": 0.90}
    ranking = ranked(
        {
            "knn": {"block_11": 0.90, "block_13": 0.85, "embedding": 0.80},
            "knn-standard": level | {"block_11": 0.85},
            "centroid": level | {"block_11": 0.95, "embedding": 0.93},
            **{"linear": level, "logistic": level | {"block_13": 0.91}},
        },
        rough=("centroid", "logistic"),
    )
    found = conclude(ranking, 5)
    assert found.lines[0] == (
        "It depends on how you read it: by Euclidean 5-NN block_11 beats the final embedding (+10.0 points), but once "
        "the vectors are standardised no difference worth having is found (at most +1.0 points, up to +3.6 by "
        "its interval, not beyond chance)."
    )
    assert "not beyond chance" in found.parts["training_free"]
    assert not found.training_free.beats_last


def test_a_line_says_where_it_changes_the_read_out():
    """0.85 less 0.82 is not +5 points: those are under ridge, where the embedding has 0.80."""
    ranking = ranked(
        {"linear": {"block_11": 0.85, "embedding": 0.80}, "logistic": {"block_11": 0.70, "embedding": 0.82}},
        n_groups=4,
        rough=("linear", "logistic"),
    )
    line = conclude(ranking, 5).parts["linear"]
    assert "block_11 by ridge comes first with 0.850" in line
    assert "+5.0 [" in line and "] points against the final embedding under the same read-out, not beyond" in line
    assert line.endswith("; by logistic regression the final embedding itself has 0.825.")


def test_a_lead_of_several_points_is_not_called_worthless():
    taps = {"block_11": 0.85, "embedding": 0.80}
    found = conclude(ranked({"knn-standard": taps, "linear": taps}, 8, 20, rough=("knn-standard", "linear")), 5)
    assert not found.beating
    assert "worth having" not in found.sentence
    assert (
        found.lines[0]
        == "block_11 leads the final embedding under every read-out, nowhere beyond chance: not enough to leave it."
    )


def test_an_inner_tap_leads_under_every_readout_with_what_few_groups_can_show():
    names = ("knn", "knn-cosine", "centroid", "linear")
    inner = {"block_07": 0.60, "block_09": 0.58, "block_10": 0.58, "embedding": 0.52, "logits": 0.4}
    accuracy = dict.fromkeys(names, inner) | {"linear": inner | {"block_10": 0.62}}
    accuracy |= {
        "knn-cosine": inner | {"block_09": 0.62},
        "centroid": {tap: share + 0.1 for tap, share in inner.items()},
    }
    accuracy["logistic"] = {"block_07": 0.50, "block_09": 0.60, "block_10": 0.50, "embedding": 0.50, "logits": 0.40}
    found = conclude(ranked(accuracy, 6, rough=names), 5)
    assert found.lines[0] == (
        "An inner tap (block_07 to block_10) leads the final embedding under every read-out, beyond chance only for "
        "block_09 by logistic regression (+10.0 points, p = 0.031)."
    )
    assert "; beyond chance: block_09 by logistic regression (+10.0 points, p = 0.031)." in found.parts["linear"]
    assert found.parts["limit"].startswith("6 groups: p cannot fall below 0.031.")
    assert found.inner_first == found.readouts
    # above the reference under the other read-out: then its lead does survive
    published = found.parts["published"]
    assert "points above the final embedding too, not beyond chance (p = " in published
    assert "survive" not in found.sentence and "misled" not in found.sentence


def test_logits_are_no_inner_tap():
    taps = {"block_01": 0.5, "embedding": 0.6, "logits": 0.65}
    found = conclude(ranked({"knn": taps, "linear": taps}, 8, rough=("knn", "linear")), 5)
    assert found.inner_first == ()
    assert found.lines[0] == "No tap beats the final embedding beyond chance under any read-out."
    assert not found.is_inner("logits/max") and found.is_inner("block_01/max")


@pytest.mark.parametrize("lead", ["one", "two"])
def test_taps_that_beat_the_reference_for_every_use(lead):
    taps = {"block_01": 0.9, "block_02": 0.8, "embedding": 0.7}
    other = taps if lead == "one" else taps | {"block_02": 0.95}
    found = conclude(ranked({"knn-cosine": taps, "linear": other}), 5)
    if lead == "one":
        wanted = "Read block_01: it beats the final embedding beyond chance, without training and with a linear head."
    else:
        wanted = (
            "Read block_01 without training, block_02 with a linear head: both beat the final embedding beyond chance."
        )
    assert found.lines[0] == wanted
    assert found.agree == (lead == "one")


def test_a_readout_that_keeps_the_reference_is_told_beside_the_winner():
    taps = {"block_01": 0.9, "embedding": 0.7}
    found = conclude(ranked({"knn": {"block_01": 0.5, "embedding": 0.6}, "knn-cosine": taps, "linear": taps}), 5)
    assert found.lines[0].endswith("with a linear head; Euclidean 5-NN puts the final embedding first.")
    assert found.parts["published"].endswith("names the final embedding (0.600).")  # not "too": the uses name another


def test_one_use_of_two_depends_on_how_it_is_read():
    found = conclude(
        ranked({"centroid": {"block_01": 0.9, "embedding": 0.7}, "linear": {"block_01": 0.8, "embedding": 0.9}}), 5
    )
    assert found.lines[0] == (
        "It depends on how you read it: without training block_01 beats the final embedding beyond chance, with a "
        "linear head the final embedding is itself the best."
    )


def test_one_readout_alone_says_no_more_than_it_knows():
    found = conclude(ranked({"knn": {"block_01": 0.62, "embedding": 0.6}}, 8, rough=("knn",)), 5)
    assert found.lines[0] == "No tap beats the final embedding beyond chance."
    assert set(found.parts) == {"headline", "training_free", "published", "limit"}
    assert found.parts["published"].endswith("names block_01 (0.625).")


def test_many_groups_need_no_word_on_the_least_p():
    taps = {"block_01": 0.5, "embedding": 0.6}
    assert "limit" not in conclude(ranked({"knn": taps, "linear": taps}, 30), 5).parts
