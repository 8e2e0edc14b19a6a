"""Scores that train no read-out, and how well they would have chosen; see `analysis.transferability`."""

import numpy as np
import pandas as pd

from ....analysis import transferability
from ....analysis.readouts import USES
from ..items import Items, per_tap
from ..score import Verdict
from .finding import Finding, records

MOST_ROWS = 2000  # more change effective rank and CKA by less than they cost


def study_label_free(items: Items, verdict: Verdict, seed: int) -> Finding:
    """Effective rank and LogME of every tap, CKA between taps, and what choosing by either score would cost.

    Effective rank and CKA need no labels, LogME needs them but trains nothing. Both of the former are of at most
    MOST_ROWS rows, drawn without replacement. answer.json's `label_free`: per use and score the tap it would choose and
    its regret under that use's best read-out.
    """
    rows = np.sort(np.random.default_rng([seed, 3]).permutation(len(items.targets))[:MOST_ROWS])
    features = {tap: items.vectors(tap)[rows] for tap in items.taps}
    scores = pd.DataFrame(
        {
            "effective_rank": per_tap(items.taps, lambda tap: transferability.effective_rank(features[tap])),
            "logme": verdict.table.set_index("tap")["logme"],
        }
    ).loc[list(items.taps)]
    tables = {
        "label_free.csv": scores.rename_axis("tap").reset_index(),
        "cka.csv": transferability.cka(features).rename_axis("tap").reset_index(),
    }
    return Finding(
        tables=tables, answer={"label_free": _regrets(scores, verdict)}, config={"label_free_rows": len(rows)}
    )


def _regrets(scores: pd.DataFrame, verdict: Verdict) -> list[dict]:
    """Per use and score, a record of `transferability.label_free_regret` with the use and its read-out before it."""
    found: list[dict] = []
    for use in USES:
        if (advice := getattr(verdict.conclusion, use)) is None:
            continue
        table = verdict.readouts.table
        labelled = table[table["readout"] == advice.readout].set_index("tap")["score"]
        regrets = records(transferability.label_free_regret(scores, labelled))
        found += [{"use": use, "readout": advice.readout, **record} for record in regrets]
    return found
