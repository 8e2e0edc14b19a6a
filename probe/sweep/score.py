"""From a store to a verdict: units, the probes of every tap, the ranking and the answer."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...analysis import knn, linear, projection, ranking, transferability
from ...analysis.scored_items import Units
from ...features.store import FeatureStore
from ..blocks.architecture import Architecture
from .conclusion import Answer, answer

TRAJECTORY_BLOCKS = 5  # published Figure 2 follows the last five blocks
COLUMNS = (
    *("index", "stage", "dim", "knn", "knn_lo", "knn_hi", "p_best"),
    *("vs_last", "vs_last_lo", "vs_last_hi", "vs_last_p", "linear", "logme", "ms_per_window"),
)


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the probes say. `table`: the columns of ranking.csv, a row a tap; `predictions`: the units' table with one
    column a tap, the out-of-fold label; `answer`: the conclusion."""

    table: pd.DataFrame
    predictions: pd.DataFrame
    answer: Answer


def rank_taps(
    store: FeatureStore,
    units: Units,
    architecture: Architecture,
    cost: dict[str, float],
    k: int = 5,
    metric: str = "euclidean",
    seed: int = 0,
    tick: Callable[[str], None] = lambda tap: None,
) -> Verdict:
    """k-NN, linear probe and LogME of every tap of a store, ranked by k-NN.

    cost: tap -> milliseconds a window. `tick` hears each tap as it is done.
    """
    y, folds = units.table["label"].to_numpy(), units.table["fold"].to_numpy()
    predicted, scores = {}, {}
    for tap in store.taps:
        x = units.vectors(store.read(tap))
        predicted[tap] = knn.predict(x, y, folds, k, metric)
        scores[tap] = {
            "dim": x.shape[1],
            "linear": float(np.mean(linear.predict(x, y, folds) == y)),
            "logme": transferability.logme(x, y),
            "ms_per_window": cost[tap],
        }
        tick(tap)
    reference = last_before_classifier(store.taps)
    ranked = ranking.rank(
        {tap: labels == y for tap, labels in predicted.items()},
        units.table["group"].to_numpy(),
        reference,
        seed=seed,
    )
    places = pd.DataFrame(
        {part: [getattr(architecture.taps[tap], part) for tap in store.taps] for part in ("index", "stage")},
        index=list(store.taps),
    ).astype("Int64")
    table = places.join(pd.DataFrame(scores).T).join(ranked.table).astype({"dim": int}).rename_axis("tap")
    table = table[list(COLUMNS)].reset_index().round(6)  # what is shown and what is stored round alike
    chance = float(units.table["label"].value_counts(normalize=True).iloc[0])
    linear_scores = {tap: score["linear"] for tap, score in scores.items()}
    return Verdict(table, units.table.assign(**predicted), answer(ranked, reference, cost, linear_scores, chance))


def last_before_classifier(taps: tuple[str, ...]) -> str:
    """The tap that people read by default: the embedding, or the deepest one that is not the class scores."""
    return "embedding" if "embedding" in taps else ([tap for tap in taps if tap != "logits"] or list(taps))[-1]


def project(
    store: FeatureStore, units: Units, architecture: Architecture, method: str = "umap", seed: int = 0
) -> pd.DataFrame:
    """The last blocks in one joint plane (published Figure 2): tap, item, label, x, y."""
    blocks = [tap for tap in store.taps if architecture.taps[tap].index is not None]
    taps = blocks[-TRAJECTORY_BLOCKS:] or list(store.taps)[-TRAJECTORY_BLOCKS:]
    features = {tap: units.vectors(store.read(tap)) for tap in taps}
    labels = units.table["label"].to_numpy()
    return projection.trajectories(features, labels, method=method, seed=seed)
