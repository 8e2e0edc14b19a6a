"""The sentence across models claims what the tests support, and no more often than it should where nothing differs."""

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis.readout_ranking import rank_readouts
from birdprobe.probe.sweep.compare.conclusion import best_cells, conclude_models
from birdprobe.probe.sweep.compare.tables import best_of_models, readouts_table

READOUTS = ("knn", "knn-cosine", "linear")


def concluded(rng, gains, n_groups=40, n_boot=20, n_perm=400, noise=0.7):
    """The conclusion for models {name: the gain of each of its taps, the last one its reference}."""
    groups = np.repeat(np.arange(n_groups), 5)
    targets = np.eye(3, dtype=bool)[rng.integers(0, 3, n_groups)[groups]]
    common = rng.standard_normal(targets.shape)
    scores, names, references = {}, {}, {}
    for model, of_taps in gains.items():
        for i, gain in enumerate(of_taps):
            tap = f"{model}/block_{i:02d}"
            names[tap], references[tap] = (model, f"block_{i:02d}"), f"{model}/block_{len(of_taps) - 1:02d}"
            for readout in READOUTS:
                shift = gain.get(readout, 0) if isinstance(gain, dict) else gain
                own = rng.standard_normal(targets.shape) + noise * rng.standard_normal((n_groups, 3))[groups]
                scores[tap, readout] = common + own + (0.8 + shift) * targets
    ranking = rank_readouts(scores, targets, groups, references, n_boot=n_boot, n_perm=n_perm)
    return conclude_models(ranking, names, 5)


def test_a_clearly_better_model_is_named():
    found = concluded(np.random.default_rng(0), {"wren": [0, 0], "robin": [0, 3, 0.2], "tit": [0.5]})
    assert found.lines[0] == "Use robin: its best tap beats that of every other model beyond chance."
    for part in (found.training_free, found.linear):
        assert (part.model, part.advice.tap, part.beats_others, part.advice.beats_last) == (
            *("robin", "block_01"),
            *(True, True),
        )
        assert part.rivals[0].difference <= part.rivals[1].difference
    assert found.agree and found.references == {"wren": "block_01", "robin": "block_02", "tit": "block_00"}
    assert "Without training: robin block_01 by " in found.sentence
    assert "it beats the best tap of" in found.sentence and "and those of the other 1" in found.sentence
    assert "against its own block 2 (p < 0.001)" in found.sentence or "(p = 0.00" in found.sentence
    assert "40 groups" not in found.sentence


def test_which_model_may_depend_on_the_use():
    gains = {"wren": [0, {"knn": 3}], "robin": [0, {"linear": 3}]}
    found = concluded(np.random.default_rng(1), gains)
    assert found.lines[0] == "It depends on the use: wren without training, robin with a linear head."
    assert not found.agree
    assert found.training_free.model == "wren" and found.linear.model == "robin"
    assert "no inner tap of wren does better" in found.lines[1]


def test_equal_models_are_not_told_apart():
    found = concluded(np.random.default_rng(3), {"wren": [0, 0], "robin": [0, 0]})
    assert "not beyond chance" in found.lines[1] and "Use " not in found.lines[0]
    told = found.to_json()
    assert told["training_free"]["beats_others"] is False and told["training_free"]["others"][0]["beaten"] is False


def equal_scores(models, better=()):
    """The conclusion for models with one tap of the very same scores; those in `better` have better ones by `linear`."""
    rng = np.random.default_rng(6)
    targets = np.eye(2, dtype=bool)[rng.integers(0, 2, 40)]
    same, more = (gain * targets + rng.standard_normal(targets.shape) for gain in (0.5, 3.0))
    cells = {
        (f"{model}/t", readout): (more if readout == "linear" and model in better else same).copy()
        for model in models
        for readout in ("knn", "linear")
    }
    names = {f"{model}/t": (model, "t") for model in models}
    ranking = rank_readouts(cells, targets, None, {name: name for name in names}, n_boot=20)
    return conclude_models(ranking, names, 5, "clips")


@pytest.mark.parametrize("models", [("wren", "robin"), ("robin", "wren")])
def test_of_equal_models_none_comes_first(models):
    found = equal_scores(models)
    assert (
        found.lines[0] == f"{' and '.join(models)} are not told apart: for each use their best taps have equal scores."
    )
    assert "comes first" not in found.sentence and "level with the best tap of" in found.lines[1]
    assert "intervals over 40 clips, of one" in found.note
    ahead = equal_scores(models, better=("robin",))  # level without training, ahead with a linear head
    assert ahead.lines[0].startswith("robin comes first") and "It depends" not in ahead.sentence


@pytest.mark.parametrize("taps", [(6, 1), (3, 3)])
def test_no_model_is_named_in_more_than_5_of_100_null_comparisons(taps):
    # the model with many taps comes first by luck alone: picking its best one is paid for
    rng, n, named = np.random.default_rng(4), 150, 0
    for _ in range(n):
        found = concluded(rng, {"wren": [0] * taps[0], "robin": [0] * taps[1]}, 16, 2, 200, noise=0.3)
        named += any(part.beats_others for part in (found.training_free, found.linear))
    assert named <= 0.05 * n + 2 * np.sqrt(0.05 * 0.95 * n)


def test_of_equal_taps_each_model_is_named_by_its_last_one():
    rng = np.random.default_rng(5)
    targets = np.eye(2, dtype=bool)[rng.integers(0, 2, 40)]
    strong, weak = (gain * targets + rng.standard_normal(targets.shape) for gain in (3.0, 0.5))
    taps = {("wren", "block_00"): weak, ("wren", "embedding"): weak.copy()}
    taps |= {("robin", "block_00"): strong, ("robin", "embedding"): strong.copy()}
    names = {"/".join(key): key for key in taps}
    ranking = rank_readouts(
        {("/".join(key), "knn"): scores for key, scores in taps.items()},
        targets,
        None,
        {name: f"{model}/embedding" for name, (model, _) in names.items()},
    )
    assert best_cells(ranking, names, ["knn"]) == {
        "wren": ("wren/embedding", "knn"),
        "robin": ("robin/embedding", "knn"),
    }
    table = readouts_table(ranking, names)
    shown = best_of_models(
        table, pd.DataFrame([*names.values()], columns=["model", "tap"]).assign(last=[False, True] * 2, macs_per_s=1.0)
    )
    assert shown["Without training"]["tap"].tolist() == ["embedding", "embedding"]
