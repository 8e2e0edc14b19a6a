"""The same audio in two groups, or in AUDIO and TEST; see `analysis.studies.duplicates`."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ....analysis.readout_ranking import Cell
from ....analysis.scored_items import make_units
from ....analysis.studies.duplicates import DuplicatesEffect, duplicated, near_duplicates, without_duplicates_effect
from ....features.spelling import agree, counted
from ....features.store import FeatureStore
from ..items import Items
from ..score import Verdict
from .finding import Finding

MOST_BYTES = 1 << 30  # of features held at once: wider taps are left out, which can only find more pairs
NAMED, LISTED = 3, 100  # pairs in the warning, and in config.json


def study_duplicates(items: Items, clips: pd.DataFrame, verdict: Verdict, scores: Mapping[Cell, np.ndarray]) -> Finding:
    """A warning that names pairs of clips in different groups that are the same file, or the same at every tap.

    clips: indexed by clip, with its group. scores: of every cell, float64 [n, K].
    """
    store = items.store
    rows = store.rows()
    whole = make_units(rows.drop(columns=["label", "group", "fold"]), clips, "clip")
    files = whole.table["file"]
    hashes = rows.groupby("clip")["sha256"].first().loc[whole.table["clip"]].tolist() if files.is_unique else None
    features = {tap: whole.vectors(store.read(tap)) for tap in _narrow(store, len(files))}
    pairs = near_duplicates(features, whole.table["group"].to_numpy(), hashes)
    if not len(pairs):
        return Finding()
    named = [(str(files[first]), str(files[second])) for first, second in zip(pairs["first"], pairs["second"])]
    marked = whole.table["clip"][duplicated(pairs, len(files))]
    best = verdict.readouts.best(list(dict.fromkeys(verdict.readouts.table["readout"])))
    right = items.targets[np.arange(len(items.targets)), scores[best.tap, best.readout].argmax(axis=1)]
    effect = without_duplicates_effect(right, items.units.table["clip"].isin(marked).to_numpy())
    record = {
        "pairs": len(pairs),
        "same_file": int(pairs["same_file"].sum()),
        "named": [list(pair) for pair in named[:LISTED]],
        "tap": best.tap,
        "readout": best.readout,
        "top1": effect.score,
        "top1_without": effect.score_without if effect.n_without else None,
        "n": effect.n,
        "n_without": effect.n_without,
    }
    return Finding(warnings=(_told(named, record, effect),), config={"duplicates": record})


def shared_with_test(rows: pd.DataFrame, test_rows: pd.DataFrame) -> Finding:
    """A warning where files of TEST, by hash, are in AUDIO too. rows, test_rows: the row tables of both stores."""
    both = test_rows[test_rows["sha256"].isin(set(rows["sha256"]) - {""})]["file"].drop_duplicates()
    if not len(both):
        return Finding()
    names = ", ".join(both[:NAMED])
    files = f"{counted(len(both), 'file')} of TEST {agree(len(both), 'is', 'are')}"
    words = f"{files} in AUDIO too (same sha256): {names}. It was learnt from."
    return Finding(warnings=(words,), config={"test_files_in_audio": list(both[:LISTED])})


def _narrow(store: FeatureStore, n: int) -> list[str]:
    """Taps, narrow ones first, whose vectors fit into MOST_BYTES together; at least one."""
    taps = sorted(store.taps, key=lambda tap: store.dims[tap][0])
    held = np.cumsum([4 * n * store.dims[tap][0] for tap in taps])
    return taps[: max(1, int((held <= MOST_BYTES).sum()))]


def _told(named: list[tuple[str, str]], record: dict, effect: DuplicatesEffect) -> str:
    n, same = record["pairs"], record["same_file"]
    alike = [f"{same} by sha256"] if same else []
    alike += [f"{n - same} by equal features at every tap"] if n > same else []
    count = "1 pair" if n == 1 else f"{n} pairs"
    told = (
        f"{count} of clips in different groups {'is' if n == 1 else 'are'} the same audio ({', '.join(alike)}): "
        f"{', '.join(' and '.join(pair) for pair in named[:NAMED])}{', ...' if n > NAMED else ''}."
    )
    if not effect.n_without:
        return f"{told} No clip is left without them. Give both of a pair one group."
    return (
        f"{told} Folds cannot keep them apart; with them {record['tap']} by {record['readout']} has top-1 "
        f"{effect.score:.3f} ({effect.n}), without them {effect.score_without:.3f} ({effect.n_without}). "
        "Give both of a pair one group, or leave one out."
    )
