"""What sweeps of several backbones on several data sets say together: where to read, and which rule of thumb survives.

A cell is one backbone on one data set; a control is the same with untrained weights. Tables in, tables out:

    taps     backbone, data, control, tap, position, effective_rank, logme, macs      a row a tap of a cell
    scores   backbone, data, control, tap, readout, score, lo, hi, corrected,         a row a tap and read-out
             vs_last, vs_last_lo, vs_last_hi, vs_last_p_adjusted
    cells    backbone, data, control, distance, n, groups, classes, chance            a row a cell

Depth is the place of a tap among those up to the final embedding: 0 the first, 1 the embedding; logits count as 1.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from ..ranking import spearman
from ..readout_ranking import best_index
from ..transferability import label_free_regret

CELL = ["backbone", "data", "control"]
KEY = [*CELL, "readout"]
LAST = "embedding"
DISTANCES = ("inside", "near", "far", "unknown")
CLOSE = 0.02  # two points: a difference that nobody would miss
DIGITS = 6


def answers(taps: pd.DataFrame, scores: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """A row a cell and read-out: the best tap, its depth, what it gains over the final embedding, and its cost."""
    placed = scores.merge(with_depth(taps), on=[*CELL, "tap"])
    best = placed.loc[
        [rows.index[best_index(rows["score"], rows["tap"] == LAST)] for _, rows in placed.groupby(KEY, sort=False)]
    ]
    last = placed[placed["tap"] == LAST].set_index(KEY)
    found = best.merge(cells, on=CELL).join(last[["score", "macs"]].add_prefix("last_"), on=KEY)
    found["beats_last"] = (found["vs_last"] > 0) & (found["vs_last_p_adjusted"] < 0.05)
    found["cost_share"] = found["macs"] / found["last_macs"]
    columns = [
        *("backbone", "data", "control", "distance", "readout", "n", "groups", "classes", "chance", "tap", "depth"),
        *("score", "lo", "hi", "corrected", "last_score", "vs_last", "vs_last_lo", "vs_last_hi"),
        *("vs_last_p_adjusted", "beats_last", "cost_share"),
    ]
    return found[columns].reset_index(drop=True).round(DIGITS)


def with_depth(taps: pd.DataFrame) -> pd.DataFrame:
    """The taps with their depth."""
    ends = taps[taps["tap"] == LAST].set_index(CELL)["position"].rename("end")
    table = taps.join(ends, on=CELL)
    return table.assign(depth=(table["position"] / table["end"]).clip(upper=1.0)).drop(columns="end")


def distances(found: pd.DataFrame) -> pd.DataFrame:
    """A row a distance and read-out of the trained cells: depth of the best tap, its gain over the final embedding."""
    trained = found[~found["control"]]
    table = trained.groupby(["distance", "readout"], sort=False).agg(
        cells=("depth", "size"),
        depth_mean=("depth", "mean"),
        depth_min=("depth", "min"),
        depth_max=("depth", "max"),
        gain_mean=("vs_last", "mean"),
        gain_max=("vs_last", "max"),
        beaten=("beats_last", "sum"),
    )
    order = [d for d in DISTANCES if d in set(trained["distance"])]
    return table.loc[order].reset_index().round(DIGITS)


def block_at(share: float) -> Callable[[pd.DataFrame], str]:
    """The block at a share of the way from the first to the last."""
    return lambda cell: blocks_of(cell)[round(share * (len(blocks_of(cell)) - 1))]


def block_from_end(number: int) -> Callable[[pd.DataFrame], str]:
    """The last block is 1, the one before it 2; the first where there are fewer."""
    return lambda cell: blocks_of(cell)[max(len(blocks_of(cell)) - number, 0)]


def _best_tap(scores: pd.Series) -> str:
    """The index of the best; of equals the final embedding, else the first."""
    return str(scores.index[best_index(scores, scores.index == LAST)])


def blocks_of(cell: pd.DataFrame) -> list[str]:
    return [tap for tap in cell["tap"] if tap.startswith("block_")]


def highest(column: str) -> Callable[[pd.DataFrame], str]:
    return lambda cell: _best_tap(cell.set_index("tap")[column])


# name -> the tap that the rule reads, of the taps of a cell with their scores under every read-out as columns
RULES: dict[str, Callable[[pd.DataFrame], str]] = {
    "final embedding": lambda cell: LAST,
    "last block": block_from_end(1),
    "penultimate block": block_from_end(2),
    "fourth block before the last": block_from_end(5),
    "three quarters of the blocks": block_at(0.75),
    "half of the blocks": block_at(0.5),
    "first block": block_at(0.0),
    "highest effective rank": highest("effective_rank"),
    "highest LogME": highest("logme"),
    "best by 5-NN (published)": highest("knn"),
}


def regrets(taps: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """A row a trained cell, read-out and rule: the tap it reads, and what that costs against the best tap."""
    rows = []
    for key, cell in scores[~scores["control"]].groupby(CELL, sort=False):
        wide = cell.pivot(index="tap", columns="readout", values="score")
        own = taps[(taps[CELL] == list(key)).all(axis=1)]
        table = own.join(wide, on="tap").reset_index(drop=True)
        by_tap = table.set_index("tap")
        for rule, choose in RULES.items():
            tap = choose(table)
            for readout in wide.columns:
                regret = by_tap[readout].max() - by_tap.loc[tap, readout]
                rows.append((*key[:2], readout, rule, tap, by_tap.loc[tap, readout], regret))
    names = ["backbone", "data", "readout", "rule", "tap", "score", "regret"]
    return pd.DataFrame(rows, columns=names).round(DIGITS)


def rules(found: pd.DataFrame) -> pd.DataFrame:
    """A row a rule and read-out: mean and worst regret over the trained cells, and in how many it is at most CLOSE."""
    rows = []
    for (rule, readout), group in found.groupby(["rule", "readout"], sort=False):
        worst = group.iloc[int(group["regret"].to_numpy().argmax())]
        rows.append(
            {
                "rule": rule,
                "readout": readout,
                "cells": len(group),
                "regret_mean": group["regret"].mean(),
                "regret_worst": worst["regret"],
                "worst_cell": f"{worst['backbone']} on {worst['data']}",
                "close": int((group["regret"] <= CLOSE).sum()),
            }
        )
    return pd.DataFrame(rows).round(DIGITS)


def label_free(taps: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """A row a cell, read-out and score that trains nothing: the tap it chooses, its regret, rho over the taps."""
    parts = []
    for key, cell in scores.groupby(KEY, sort=False):
        own = taps[(taps[CELL] == list(key[:3])).all(axis=1)].set_index("tap")[["effective_rank", "logme"]]
        regret = label_free_regret(own, cell.set_index("tap")["score"])
        about = pd.DataFrame([key] * len(regret), columns=KEY, index=regret.index)
        parts.append(about.join(regret))
    return pd.concat(parts, ignore_index=True).round(DIGITS)


def controls(scores: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """A row a backbone, data set and read-out: trained against untrained, at the best tap and at the final embedding.

    architecture: the untrained network's best score above chance, as a share of the trained one's. rho: Spearman's, of
    the two curves over taps.
    """
    rows = []
    trained_cells = cells[~cells["control"]]
    chance = dict(zip(zip(trained_cells["backbone"], trained_cells["data"]), trained_cells["chance"]))
    for (backbone, data, readout), group in scores.groupby(["backbone", "data", "readout"], sort=False):
        wide = group.pivot(index="tap", columns="control", values="score")
        if set(wide.columns) != {False, True}:
            continue
        wide = wide.loc[[tap for tap in group["tap"].drop_duplicates() if tap in wide.index]]
        base = float(chance[backbone, data])
        trained, untrained = wide[False], wide[True]
        above = trained.max() - base
        rows.append(
            {
                "backbone": backbone,
                "data": data,
                "readout": readout,
                "chance": base,
                "trained_tap": _best_tap(trained),
                "trained": trained.max(),
                "untrained_tap": _best_tap(untrained),
                "untrained": untrained.max(),
                "architecture": (untrained.max() - base) / above if above > 0 else np.nan,
                "trained_last": trained[LAST],
                "untrained_last": untrained[LAST],
                "rho": float(spearman([trained], [untrained])[0]),
            }
        )
    return pd.DataFrame(rows).round(DIGITS)
