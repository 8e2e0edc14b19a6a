"""The sentence says what the numbers say."""

import numpy as np
import pytest

from birdprobe.analysis import ranking
from birdprobe.probe.sweep.published_answer import answer


def answered(accuracies: dict[str, float], n: int = 400):
    """An answer over rows of which each tap has the first share right: paired, so differences are certain."""
    correct = {tap: np.arange(n) < accuracy * n for tap, accuracy in accuracies.items()}
    ranked = ranking.rank(correct, None, "embedding")
    cost = {tap: 10.0 + 2 * i for i, tap in enumerate(accuracies)}
    return answer(ranked, "embedding", cost, accuracies, chance=0.1)


def test_a_clear_winner():
    found = answered({"block_00": 0.5, "block_01": 0.905, "embedding": 0.815})
    assert (
        found.sentence == "Read block_01: 0.905, 9.0 points above the final embedding, p < 0.001, at 86 % of the cost."
    )
    assert found.cost_share == pytest.approx(12 / 14)
    assert "agrees" in found.remark


def test_no_clear_winner_is_not_sold_as_one():
    found = answered({"block_00": 0.5, "block_01": 0.805, "embedding": 0.8})
    assert found.sentence.startswith("No tap beats the final embedding (0.800)")
    assert "block_01" in found.tied and "embedding" in found.tied


def test_the_embedding_may_be_best():
    assert answered({"block_00": 0.5, "embedding": 0.8}).sentence.startswith("Keep reading the final embedding: 0.800")
