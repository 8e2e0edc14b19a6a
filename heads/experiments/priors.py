"""The site/hour prior and the smoothing over time tuned out of fold, against the published moderate setting.

Yadav 2026: weight 0.5 with Gaussian sigma 1.0 raised the leaderboard to 0.879; 1.0 with 1.5, the best of an out-of-fold
sweep, gave 0.861. Tuned here in two ways: with priors that saw the labels of the very windows that are scored, as in a
sweep over finished out-of-fold tables, and with priors of the other folds. Held-out recordings always meet the prior
of all labels.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from ...analysis import metrics, runs
from ...analysis.postprocess import site_hour
from ...analysis.postprocess.temporal import Gaussian
from ...analysis.predictions.table import aligned
from .comparison import Arm, Truths, score
from .competition_stores import out_of_fold_files, predict
from .outcome import Finding, signed, verdict
from .training import Training

HEAD = "attention"
ALPHAS, SIGMAS = (0.0, 0.25, 0.5, 1.0, 1.5), (0.0, 0.65, 1.0, 1.5)
MODERATE = (0.5, 1.0)
LEAKY, HONEST = "prior saw the windows", "prior of other folds"
ROLES = {LEAKY: (runs.MODERATE_LEAKY, runs.TUNED_LEAKY), HONEST: (runs.MODERATE_HONEST, runs.TUNED_HONEST)}


def find(trainings: Sequence[Training]) -> Finding:
    """No prior, the moderate setting against it, the tuned settings against the moderate one."""
    training = trainings[0]  # every arm reads the same head, so chance in its training cancels
    here = training.material
    trained = training.run("head", ",".join(here.tokens), HEAD)
    oof, folds = out_of_fold_files(trained.run, HEAD, here.recordings())
    heldout, truths = predict(trained.run, HEAD, here.test()), training.truths()
    oof_tables, heldout_tables = _grid(oof, heldout, truths.oof, folds)
    grid = _scored(oof_tables, heldout_tables, truths)
    arms = [Arm("as predicted", oof, heldout)]
    settings = {"moderate": MODERATE}
    for kind in (HONEST, LEAKY):
        own = grid[grid["prior"] == kind]
        best = own.iloc[int(np.nanargmax(own["oof"].to_numpy()))]
        settings[kind] = best["alpha"], best["sigma"]
        moderate, tuned = (_name(*settings[key], kind) for key in ("moderate", kind))
        arms.append(
            Arm(moderate, oof_tables[kind, *MODERATE], heldout_tables[MODERATE], "as predicted", ROLES[kind][0])
        )
        if tuned != moderate:
            tables = oof_tables[kind, *settings[kind]], heldout_tables[settings[kind]]
            arms.append(Arm(tuned, *tables, moderate, ROLES[kind][1]))
    frame = score([arms], truths, training.settings.seed)
    reach = site_hour.SiteHour(site_hour.fit(truths.oof)).reach(heldout)
    notes = (
        f"The prior applied to {reach.rows} of {len(heldout)} held-out windows"
        + (f": {reach.reason}." * bool(reach.reason)),
        f"Grid: {len(ALPHAS)} weights x {len(SIGMAS)} sigmas, in grid.csv. Whole files are smoothed; only the windows "
        "of the label table are scored out of fold, all windows of the test soundscapes held out.",
    )
    return Finding(frame, _sentence(frame, settings), notes, grid)


def _grid(oof, heldout, labels: pd.DataFrame, folds: pd.Series) -> tuple[dict, dict]:
    """Tables of every setting: (out of fold by (prior, alpha, sigma), held out by (alpha, sigma))."""
    of_row = folds.loc[labels.index].to_numpy()
    oof_tables: dict[tuple, pd.DataFrame] = {}
    heldout_tables: dict[tuple, pd.DataFrame] = {}
    for alpha in ALPHAS:
        seen = site_hour.SiteHour(site_hour.fit(labels), alpha)
        unseen = site_hour.cross_fit(labels, of_row, weight=alpha)
        shifted = {HONEST: unseen(oof), LEAKY: seen(oof)}
        own = seen(heldout)
        for sigma in SIGMAS:
            smooth = Gaussian(sigma)
            heldout_tables[alpha, sigma] = smooth(own)
            oof_tables |= {(kind, alpha, sigma): smooth(table) for kind, table in shifted.items()}
    return oof_tables, heldout_tables


def _scored(oof_tables: dict, heldout_tables: dict, truths: Truths) -> pd.DataFrame:
    """Macro AUC of every setting: prior, alpha, sigma, oof, heldout."""

    def auc(table, truth):
        return metrics.macro_auc(truth.to_numpy(), aligned(table.loc[truth.index], truth).to_numpy())

    heldout = {setting: auc(table, truths.heldout) for setting, table in heldout_tables.items()}
    return pd.DataFrame(
        [
            {"prior": kind, "alpha": alpha, "sigma": sigma, "heldout": heldout[alpha, sigma]}
            | {"oof": auc(oof_tables[kind, alpha, sigma], truths.oof)}
            for kind, alpha, sigma in product((HONEST, LEAKY), ALPHAS, SIGMAS)
        ],
        columns=["prior", "alpha", "sigma", "oof", "heldout"],
    )


def _name(alpha: float, sigma: float, kind: str) -> str:
    return f"weight {alpha:g}, sigma {sigma:g}, {kind}"


def _sentence(frame: pd.DataFrame, settings: dict) -> str:
    rows = {row["arm"]: row for _, row in frame.iterrows()}
    said = []
    for kind in (LEAKY, HONEST):
        alpha, sigma = settings[kind]
        if (alpha, sigma) == MODERATE:
            said.append(f"Tuned out of fold ({kind}), the choice is the moderate setting itself.")
            continue
        row = rows[_name(alpha, sigma, kind)]
        told = verdict(
            row,
            "inflation",
            "tuning overfits",
            "held out it gains more than out of fold",
            "no overfit can be shown on so few recordings",
        )
        said.append(
            f"Tuned out of fold ({kind}), the choice is weight {alpha:g} and sigma {sigma:g}; against the published "
            f"0.5 and 1.0 it gains {signed(row, 'oof_gain')} out of fold and {signed(row, 'heldout_gain')} held out: "
            f"{told}."
        )
    moderate = rows[_name(*MODERATE, HONEST)]
    said.append(
        f"The published setting itself: {signed(moderate, 'oof_gain')} out of fold, "
        f"{signed(moderate, 'heldout_gain')} held out over no post-processing."
    )
    return " ".join(said)
