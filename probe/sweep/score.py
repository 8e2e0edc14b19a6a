"""From a store to a verdict: scored items, every tap under every read-out, the ranking and the conclusion."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...analysis import projection, ranking, readouts, transferability
from ...analysis.readout_ranking import Cell, ReadoutRanking, rank_readouts
from ..blocks.architecture import Block
from ..runtime.cost import Timing
from .conclusion import Conclusion, conclude
from .items import Items, per_tap, score_cells
from .published_answer import Answer, answer
from .settings import Settings

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


def score_taps(
    items: Items, names: Sequence[str], k: int, progress: Callable[[str], None] = lambda tap: None
) -> dict[Cell, np.ndarray]:
    """Out-of-fold class scores of every tap under some read-outs: (tap, read-out) -> float64 [n, K]."""
    folds = items.column("fold")
    plain = [name for name in names if name != readouts.ATTENTIVE]

    def score(tap: str) -> dict[str, np.ndarray]:
        found = readouts.out_of_fold_all(plain, items.vectors(tap), items.targets, folds, k)
        if readouts.ATTENTIVE in names:
            found[readouts.ATTENTIVE] = readouts.out_of_fold(readouts.ATTENTIVE, items.maps(tap), items.targets, folds)
        return {name: found[name] for name in names}

    return score_cells(items.taps, score, progress)


def rank_taps(
    items: Items,
    scores: Mapping[Cell, np.ndarray],
    blocks: Mapping[str, Block],
    cost: Mapping[str, Timing],
    settings: Settings,
    score: str,
) -> Verdict:
    """The ranking of every tap, by the published read-out and by all that were scored.

    blocks: tap -> the block that it reads. cost: tap -> its timing; none where not measured. score: "top1", "auc" or
    "cmap", what `readouts` is ranked by.
    """
    labels, folds, groups = (items.column(name) for name in ("label", "fold", "group"))
    reference = last_before_classifier(items.taps)
    published = "knn" if settings.metric == "euclidean" else "knn-cosine"
    names = np.asarray(items.classes, dtype=labels.dtype)

    def read(tap: str) -> tuple[np.ndarray, dict]:
        x = items.vectors(tap)
        predicted, by_linear = (
            names[scores[tap, name].argmax(axis=1)]
            if (tap, name) in scores
            else names[readouts.out_of_fold(name, x, items.targets, folds, settings.k).argmax(axis=1)]  # left out
            for name in (published, "linear")
        )
        return predicted, {
            **{part: getattr(blocks[tap], part) for part in ("index", "stage")},
            "dim": x.shape[1],
            "linear": float(np.mean(by_linear == labels)),
            "logme": transferability.logme(x, labels),
            "ms_per_window": cost[tap].ms if tap in cost else np.nan,
            "ms_spread": cost[tap].spread if tap in cost else np.nan,
        }

    tapwise = per_tap(items.taps, read)
    predicted = {tap: found for tap, (found, _) in tapwise.items()}
    columns = {tap: row for tap, (_, row) in tapwise.items()}
    correct = {tap: found == labels for tap, found in predicted.items()}
    ranked = ranking.rank(correct, groups, reference, seed=settings.seed)
    table = pd.DataFrame.from_dict(columns, orient="index").join(ranked.table).rename_axis("tap")
    table = table.astype({"index": "Int64", "stage": "Int64"})[list(COLUMNS)].reset_index()
    by_readout = rank_readouts(
        scores, items.targets, groups, reference, score, seed=settings.seed, n_folds=len(np.unique(folds))
    )
    macs = {tap: float(blocks[tap].macs) for tap in items.taps}
    linear = {tap: part["linear"] for tap, part in columns.items()}
    chance = float(items.units.table["label"].value_counts(normalize=True).iloc[0])
    return Verdict(
        table.round(6),  # what is shown and stored rounds alike
        items.units.table.assign(**predicted),
        answer(ranked, reference, macs, linear, chance),
        by_readout,
        conclude(by_readout, settings.k),
    )


def last_before_classifier(taps: tuple[str, ...]) -> str:
    """The tap that people read by default: the embedding, or the deepest one that is not the class scores."""
    return "embedding" if "embedding" in taps else ([tap for tap in taps if tap != "logits"] or list(taps))[-1]


def project(items: Items, blocks: Mapping[str, Block], method: str, seed: int) -> pd.DataFrame:
    """The last blocks in one joint plane (published Figure 2): tap, item, label, x, y."""
    inside = [tap for tap in items.taps if blocks[tap].index is not None]
    taps = inside[-TRAJECTORY_BLOCKS:] or items.taps[-TRAJECTORY_BLOCKS:]
    features = {tap: items.vectors(tap) for tap in taps}
    return projection.trajectories(features, items.column("label"), method=method, seed=seed)
