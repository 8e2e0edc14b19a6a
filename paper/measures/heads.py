"""What a run of heads measured: weights against the probe, head against head."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...analysis import metrics
from ..runs.discovery import Sources
from ..runs.readers import PERCH_V2, Heads, Sweep
from .measure import Measure, model_name, paired
from .sweeps import counted, difference


def heads_on(sources: Sources, run: Heads) -> str:
    data = " + ".join(Path(store["path"]).stem for store in run.config.get("stores", ())) or run.name
    return f"{model_name(sources, _sha(run))}, {data}"


def order(sources: Sources, run: Heads) -> dict[str, Measure]:
    """head -> Spearman's rho of its weights with the k-NN probe, over the taps that both know, for heads that mix them
    (a concat head's weights grow with a tap's width as well). {} where probe and heads were not compared."""
    if run.agreement is None:
        return {}
    kinds = {head["name"]: head["kind"] for head in run.config["heads"]}
    found: dict[str, Measure] = {}
    row: Any
    for row in run.agreement[run.agreement["against"] == "knn"].itertuples():
        if kinds.get(row.head) in ("attention", "scalarmix"):
            ends = float(row.spearman), float(row.spearman_lo), float(row.spearman_hi)
            found[row.head] = _of_heads(sources, run, ends, f"{row.taps} taps, {row.head}")
    return found


def favourite(sources: Sources, run: Heads, head: str) -> tuple[Measure, bool] | None:
    """(accuracy of the probe at the tap that the head weighs most, mean over folds, less at the probe's best of the
    head's taps, paired; whether the two are one, or the sweep's family-wise test does not separate them).

    Measured on the sweep that the run was compared with; None where that is not among the sources.
    """
    sweep = probed_sweep(sources, run)
    if sweep is None:
        return None
    rows, heaviest = _probed(run), heaviest_tap(run, head)
    shared = [tap for tap in rows.index if tap in set(run.weights.loc[run.weights["head"] == head, "tap"])]
    best = str(rows[shared].idxmax())
    found = difference(sweep, heaviest, best) if heaviest != best else None
    ends = (found.value, found.low, found.high) if found else (0.0, 0.0, 0.0)
    at = f"{head} reads {heaviest} most, the probe's best of {len(shared)} taps is {best}"
    one = Measure(run.name, heads_on(sources, run), *ends, counted(sweep), at, sweep.is_perch_v2)
    return one, heaviest == best or (sweep.run.best == best and heaviest in sweep.run.tied)


def heaviest_tap(run: Heads, head: str) -> str:
    """The tap that a head weighs most, mean over folds, of those that were probed."""
    weights = run.weights[run.weights["head"] == head].groupby("tap")["weight"].mean()
    return str(weights[[tap for tap in _probed(run).index if tap in weights.index]].idxmax())


def probed_sweep(sources: Sources, run: Heads) -> Sweep | None:
    """The sweep with which the head's weights were compared; None where it is not among the sources."""
    if run.tap_scores is None:
        return None
    rows = _probed(run)
    for sweep in sources.sweeps:
        knn = sweep.ranking["knn"]
        same = sweep.config["model"]["sha256"] == _sha(run) and set(rows.index) <= set(knn.index)
        if same and np.allclose(knn[rows.index], rows, atol=1e-5):
            return sweep
    return None


def _probed(run: Heads) -> pd.Series:
    """The probe's accuracy of every tap, of a run that was compared with one."""
    assert run.tap_scores is not None
    return run.tap_scores[run.tap_scores["score"] == "knn"].set_index("tap")["value"]


def n_taps(run: Heads, head: str) -> int:
    """Taps over which `order` of this head was taken."""
    rows = run.agreement
    if rows is None:
        return 0
    return int(rows["taps"][(rows["head"] == head) & (rows["against"] == "knn")].iloc[0])


def head_gain(sources: Sources, run: Heads, head: str, other: str) -> Measure | None:
    """Macro ROC-AUC out of fold of one head less that of another, paired over recordings."""
    if head not in run.oof or other not in run.oof or run.truth is None:
        return None
    ends = paired(metrics.macro_auc, run.truth, run.oof[head], run.oof[other])
    return _of_heads(sources, run, ends, f"{head} less {other}")


def over_end(sources: Sources, run: Heads) -> dict[str, Measure]:
    """head -> its macro ROC-AUC out of fold less that of a linear head on the model's end, where the run has one."""
    ends = {
        head["name"] for head in run.config["heads"] if head["kind"] == "linear" and head["tokens"] == ["embedding"]
    }
    found: dict[str, Measure] = {}
    row: Any
    for row in run.differences.itertuples():
        if row.baseline in ends:
            gain = float(row.macro_auc), float(row.macro_auc_lo), float(row.macro_auc_hi)
            found[row.head] = _of_heads(sources, run, gain, f"{row.head} less {row.baseline}")
    return found


def _of_heads(sources: Sources, run: Heads, ends: tuple[float, float, float], at: str) -> Measure:
    n = run.counted if len(run.scored) else ""
    return Measure(run.name, heads_on(sources, run), *ends, n, at, _sha(run) in PERCH_V2)


def _sha(run: Heads) -> str:
    return str(run.config.get("store_key", {}).get("model_sha256", ""))
