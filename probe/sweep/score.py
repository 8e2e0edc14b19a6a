"""From a store to a verdict: scored items, every tap under every read-out, the ranking and the conclusion."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...analysis import projection, ranking, readouts, transferability
from ...analysis.readout_ranking import Cell, ReadoutRanking, rank_readouts
from ...analysis.scored_items import Units, make_units
from ...features.store import FeatureStore
from ..blocks.architecture import Block
from ..runtime.cost import Timing
from .conclusion import Conclusion, conclude
from .data import FoldedClips
from .published_answer import Answer, answer

TRAJECTORY_BLOCKS = 5  # published Figure 2 follows the last five blocks
COLUMNS = (
    *("index", "stage", "dim", "knn", "knn_lo", "knn_hi", "p_best"),
    *("vs_last", "vs_last_lo", "vs_last_hi", "vs_last_p", "linear", "logme", "ms_per_window", "ms_spread"),
)


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the read-outs say.

    table: the columns of ranking.csv, a row a tap. predictions: the items' table with one column a tap, the published
    read-out's out-of-fold label. answer: the published protocol's answer. readouts: taps x read-outs. conclusion: which
    tap to read for each use.
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    answer: Answer
    readouts: ReadoutRanking
    conclusion: Conclusion


def multi_hot(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> np.ndarray:
    """bool [n, K]: which of the classes each item carries; labels outside them are not counted."""
    column = {name: i for i, name in enumerate(classes)}
    targets = np.zeros((len(labels), len(classes)), dtype=bool)
    for row, names in enumerate(labels):
        targets[row, [column[name] for name in names if name in column]] = True
    return targets


def items_of(store: FeatureStore, clips: FoldedClips, classes: tuple[str, ...], unit: str) -> tuple[Units, np.ndarray]:
    """(scored items, their targets bool [n, K]) of a store."""
    units = make_units(store.rows(), clips.table, unit)
    return units, multi_hot([clips.labels[clip] for clip in units.table["clip"]], classes)


def score_taps(
    store: FeatureStore,
    units: Units,
    targets: np.ndarray,
    names: Sequence[str],
    k: int,
    progress: Callable[[str], None] = lambda tap: None,
) -> dict[Cell, np.ndarray]:
    """Out-of-fold class scores of every tap under every read-out.

    Args:
        store: the cached features. units: what is scored, with its folds. targets: bool [n, K].
        names: read-outs. k: neighbours that vote. progress: called with each tap that is done.

    Returns:
        (tap, read-out) -> float64 [n, K].
    """
    folds = units.table["fold"].to_numpy()
    scores: dict[Cell, np.ndarray] = {}
    for tap in store.taps:
        x = store.read(tap)
        plain = [name for name in names if name != readouts.ATTENTIVE]
        found = readouts.out_of_fold_all(plain, units.vectors(x), targets, folds, k)
        if readouts.ATTENTIVE in names:
            found[readouts.ATTENTIVE] = readouts.out_of_fold(readouts.ATTENTIVE, units.maps(x), targets, folds)
        scores |= {(tap, name): found[name] for name in names}
        progress(tap)
    return scores


def rank_taps(
    store: FeatureStore,
    units: Units,
    scores: dict[Cell, np.ndarray],
    targets: np.ndarray,
    classes: Sequence[str],
    blocks: Mapping[str, Block],
    cost: Mapping[str, Timing],
    k: int = 5,
    metric: str = "euclidean",
    score: str = "top1",
    seed: int = 0,
) -> Verdict:
    """The ranking of every tap of a store, by the published read-out and by all that were scored.

    Args:
        scores: `score_taps` of the same units; targets: bool [n, K]; classes: names of the K columns.
        blocks: tap -> the block that it reads.
        cost: tap -> milliseconds a window and their spread; none where they were not measured.
        metric: distance of the published k-NN. score: "top1", "auc" or "cmap", what `readouts` is ranked by.

    Returns:
        The verdict.
    """
    table = units.table
    labels, folds, groups = (table[name].to_numpy() for name in ("label", "fold", "group"))
    reference = last_before_classifier(store.taps)
    published = "knn" if metric == "euclidean" else "knn-cosine"
    names = np.asarray(classes, dtype=labels.dtype)
    predicted, columns = {}, {}
    for tap in store.taps:
        x = units.vectors(store.read(tap))
        predicted[tap], by_linear = (
            names[scores[tap, name].argmax(axis=1)]
            if (tap, name) in scores
            else names[readouts.out_of_fold(name, x, targets, folds, k).argmax(axis=1)]  # `--readout` left it out
            for name in (published, "linear")
        )
        columns[tap] = {
            "dim": x.shape[1],
            "linear": float(np.mean(by_linear == labels)),
            "logme": transferability.logme(x, labels),
            "ms_per_window": cost[tap].ms if tap in cost else np.nan,
            "ms_spread": cost[tap].spread if tap in cost else np.nan,
        }
    ranked = ranking.rank({tap: found == labels for tap, found in predicted.items()}, groups, reference, seed=seed)
    places = pd.DataFrame(
        {part: [getattr(blocks[tap], part) for tap in store.taps] for part in ("index", "stage")},
        index=list(store.taps),
    ).astype("Int64")
    ranking_table = places.join(pd.DataFrame(columns).T).join(ranked.table).astype({"dim": int}).rename_axis("tap")
    ranking_table = ranking_table[list(COLUMNS)].reset_index().round(6)  # what is shown and stored rounds alike
    chance = float(table["label"].value_counts(normalize=True).iloc[0])
    linear_scores = {tap: part["linear"] for tap, part in columns.items()}
    macs = {tap: float(blocks[tap].macs) for tap in store.taps}
    by_readout = rank_readouts(scores, targets, groups, reference, score, seed=seed, n_folds=len(np.unique(folds)))
    return Verdict(
        ranking_table,
        table.assign(**predicted),
        answer(ranked, reference, macs, linear_scores, chance),
        by_readout,
        conclude(by_readout, k),
    )


def last_before_classifier(taps: tuple[str, ...]) -> str:
    """The tap that people read by default: the embedding, or the deepest one that is not the class scores."""
    return "embedding" if "embedding" in taps else ([tap for tap in taps if tap != "logits"] or list(taps))[-1]


def project(
    store: FeatureStore, units: Units, blocks: Mapping[str, Block], method: str = "umap", seed: int = 0
) -> pd.DataFrame:
    """The last blocks in one joint plane (published Figure 2): tap, item, label, x, y."""
    inside = [tap for tap in store.taps if blocks[tap].index is not None]
    taps = inside[-TRAJECTORY_BLOCKS:] or list(store.taps)[-TRAJECTORY_BLOCKS:]
    features = {tap: units.vectors(store.read(tap)) for tap in taps}
    labels = units.table["label"].to_numpy()
    return projection.trajectories(features, labels, method=method, seed=seed)
