"""What a sweep measured: how sure its ranking is, block against block, block against embedding, minutes."""

import math

import numpy as np

from ...analysis import ranking
from ...analysis.resampling import group_sums
from ..runs.readers import Sweep
from .measure import N_BOOT, SEED, Measure

HALVINGS = 1000
VS_LAST = ("vs_last", "vs_last_lo", "vs_last_hi")


def counted(sweep: Sweep) -> str:
    groups = f", {sweep.run.n_groups:,} groups" if sweep.run.n_groups else ", no groups"
    return f"{sweep.run.n_units:,} {sweep.run.unit}{groups}"


def of_sweep(sweep: Sweep, value: float, low: float, high: float, at: str) -> Measure:
    on = f"{sweep.model}, {sweep.data}"
    return Measure(sweep.name, on, value, low, high, counted(sweep), at, sweep.is_perch_v2)


def halves(sweep: Sweep) -> Measure | None:
    """Spearman's rho of the blocks' accuracies over one half of the groups and over the other: median over random
    halvings, and their 2.5 and 97.5 percentiles. None below 3 blocks."""
    taps = list(sweep.blocks.index)
    if len(taps) < 3:
        return None
    correct, codes = _correct(sweep, taps)  # [T, n], [n]
    n_groups = codes.max() + 1
    sums = group_sums(correct, codes, n_groups)
    sizes = np.bincount(codes).astype(float)
    rng = np.random.default_rng([SEED, 7])
    first = np.argsort(rng.random((HALVINGS, n_groups)), axis=1) < n_groups // 2  # [H, G]
    a, b = ((half @ sums.T) / (half @ sizes)[:, None] for half in (first.astype(float), (~first).astype(float)))
    rho = ranking.spearman(a, b)
    if np.isnan(rho).all():
        return None
    low, middle, high = np.nanpercentile(rho, (2.5, 50, 97.5))
    return of_sweep(sweep, middle, low, high, f"{len(taps)} blocks, {HALVINGS:,} halvings")


def before_last(sweep: Sweep) -> Measure | None:
    """Accuracy of the last block but one less that of the last, a share: two fixed blocks, so nothing was chosen."""
    depth = sweep.blocks["index"].astype(int)
    last = len(sweep.run.architecture["blocks"]) - 1
    taps = [depth.index[depth == index] for index in (last - 1, last)]
    if last < 1 or any(len(tap) != 1 for tap in taps):
        return None
    return difference(sweep, taps[0][0], taps[1][0])


def block_over_end(sweep: Sweep) -> Measure | None:
    """Accuracy of the best block less that of the embedding under the published read-out. See `end_p`."""
    blocks, end = sweep.blocks, sweep.run.reference
    if blocks.empty or end in blocks.index:
        return None
    top = str(blocks["knn"].idxmax())
    value, low, high = map(float, blocks.loc[top, list(VS_LAST)])
    return of_sweep(sweep, value, low, high, f"{top} less {end}")


def readout_over_end(sweep: Sweep, readout: str) -> tuple[Measure, float] | None:
    """Score of a read-out's best block less that of the embedding under the same read-out, and the difference's p,
    family-wise over all taps and read-outs; None without blocks beside the reference.
    """
    end = sweep.run.reference
    table = sweep.run.readouts
    rows = table[(table["readout"] == readout) & table["tap"].isin(sweep.blocks.index.difference([end]))]
    if rows.empty:
        return None
    row = rows.to_dict("records")[int(rows["score"].to_numpy(dtype=float).argmax())]
    value, low, high = (float(row[name]) for name in VS_LAST)
    found = of_sweep(sweep, value, low, high, f"{row['tap']} less {end}, {readout}")
    return found, float(row["vs_last_p_adjusted"])


def end_p(sweep: Sweep) -> float:
    """Family-wise p of the best block against the model's end, corrected for selecting the best. nan where the best tap
    of all is no block: then it was not tested."""
    best = sweep.run.best in sweep.blocks.index
    return float(sweep.run.answer.get("p_adjusted", math.nan)) if best else math.nan


def minutes(sweep: Sweep, clips: int) -> Measure | None:
    """Minutes that the sweep would have taken for `clips` clips, all its taps; no interval."""
    seconds = sweep.config.get("seconds", {}).get("all")
    if not seconds:
        return None
    value = seconds / 60 * clips / sweep.config["audio"]["clips"]
    return of_sweep(sweep, value, math.nan, math.nan, f"{len(sweep.ranking)} taps")


def _correct(sweep: Sweep, taps: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """bool [T, n] and the group of each row as a number [n]; rows without a group are their own."""
    said = sweep.run.predictions
    groups = [group or f"row {i}" for i, group in enumerate(said["group"])]
    correct = np.array([(said[tap] == said["label"]).to_numpy() for tap in taps])
    return correct, np.unique(groups, return_inverse=True)[1]


def difference(sweep: Sweep, tap: str, other: str) -> Measure:
    correct, codes = _correct(sweep, [tap, other])
    ranked = ranking.rank(dict(zip((tap, other), correct)), codes, other, N_BOOT, n_perm=1, seed=SEED)
    value, low, high = map(float, ranked.table.loc[tap, list(VS_LAST)])
    return of_sweep(sweep, value, low, high, f"{tap} less {other}")
