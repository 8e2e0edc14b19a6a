"""Probe against head: do the trained heads weigh the taps as the cheap probe ranks them?

Yadav 2026 claims so from three taps, with which no rank correlation means anything. Here every tap counts that both
sides know: the k-NN probe's accuracy (of a sweep, or computed on the heads' own clips and folds), each tap's own linear
head where those were trained (`--head linear:0,linear:1,...`; else the ridge probe), and what each multi-tap head
learned to read.

A concat head's weights grow with a tap's width as well as with its use; read its agreement with that in mind.

    agreement.csv    score, against, taps, spearman, spearman_lo, spearman_hi, kendall, kendall_lo, kendall_hi, head
    tap_scores.csv   tap, score, value, lo, hi; agreement.md: both for people

Intervals, 95 %: accuracies are drawn by a bootstrap over groups (the same draws where the clips are the same), a head's
weights by one over its folds. Folds share training rows, so the latter intervals are too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from ..analysis import knn, ranking, readouts, wording
from ..analysis.scored_items import Units, make_units
from ..analysis.tables import Table
from ..features import InputError
from ..features.csv_files import read_csv, write_csv
from ..features.files import check_run, read_json
from ..features.output_folder import adding
from ..features.store import FeatureStore
from ..probe.sweep.score import last_before_classifier
from .dataset import groups_of, label_set

LEAST = 3  # taps; fewer have no rank correlation
K, N_BOOT, SEED = 5, 2000, 0  # neighbours of the probe; draws
PROBE, RIDGE, LINEAR, WEIGHT = "knn", "ridge", "linear head", "weight of "


@dataclass(frozen=True, eq=False)
class Score:
    """One number per tap: value [T], 95 % interval lo, hi [T], bootstrap draws [B, T]; without draws it is exact.
    head: whose weights these are, "" for accuracies."""

    name: str
    taps: tuple[str, ...]
    value: np.ndarray
    draws: np.ndarray | None = None
    head: str = ""

    def at(self, taps: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None]:
        places = [self.taps.index(tap) for tap in taps]
        return self.value[places], None if self.draws is None else self.draws[:, places]

    def table(self) -> pd.DataFrame:
        low, high = (self.value,) * 2 if self.draws is None else np.percentile(self.draws, (2.5, 97.5), axis=0)
        return pd.DataFrame({"tap": self.taps, "score": self.name, "value": self.value, "lo": low, "hi": high})


@dataclass(frozen=True, eq=False)
class Agreed:
    """The rows of tap_scores.csv and agreement.csv."""

    scores: pd.DataFrame
    agreement: pd.DataFrame


def agree(run: Path, sweep: Path | None = None) -> Agreed:
    """Write agreement.csv, tap_scores.csv and agreement.md into the train run `run`.

    sweep: a sweep's folder, whose k-NN and ridge scores are taken; None computes both on the heads' store and folds.
    InputError: a folder that is no such run, no head that reads 3 taps or more, fewer than 3 taps in common.
    """
    run = Path(run)
    config, held = read_run(run)
    own = linear_heads(config)
    scores = Clips.of(config, held).probes() if sweep is None else sweep_scores(Path(sweep))
    if own:
        scores = scores[0], Clips.of(config, held).linear_heads(own, held, config["activation"])
    weights = weight_scores(run)
    pairs = [(scores[1], scores[0]), *product(weights, scores)]
    found = [row for one, other in pairs for row in [compare(one, other)] if row]
    if not any(row["head"] for row in found):
        known = {tap for score in weights for tap in score.taps} & set(scores[0].taps)
        raise InputError(
            f"{run}: expected {LEAST} taps that the probe ranked and a head weighs, got {len(known)}. "
            "Train attention, scalarmix or concat with --taps all?"
        )
    table = pd.concat([score.table() for score in (*scores, *weights)], ignore_index=True)
    agreed = Agreed(table, pd.DataFrame(found))
    with adding(run) as draft:
        for name, frame in (("tap_scores", agreed.scores), ("agreement", agreed.agreement)):
            write_csv(frame, draft / f"{name}.csv", index=False, float_format="%.6g")
        (draft / "agreement.md").write_text(markdown(agreed) + "\n", encoding="utf-8")
    return agreed


def compare(one: Score, other: Score) -> dict | None:
    """A row of agreement.csv over the taps that both know; None below 3."""
    taps = [tap for tap in other.taps if tap in one.taps]
    if len(taps) < LEAST:
        return None
    (a, draws_a), (b, draws_b) = one.at(taps), other.at(taps)
    found = ranking.agreement(a, b, draws_a, draws_b, seed=SEED)
    names = [f"{kind}{end}" for kind in ("spearman", "kendall") for end in ("", "_lo", "_hi")]
    row = {"score": one.name, "against": other.name, "taps": len(taps)}
    return row | {name: getattr(found, name) for name in names} | {"head": one.head}


# ---- what the heads learned


def read_run(run: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """(config.json, the arrays of oof.npz) of a train run."""
    check_run(run, "train", "config.json", "oof.npz", "tap_weights.csv")
    with np.load(run / "oof.npz", allow_pickle=False) as arrays:
        return read_json(run / "config.json"), dict(arrays)


def weight_scores(run: Path) -> list[Score]:
    """Per head that reads 3 taps or more: mean weights over its folds, drawn by a bootstrap over the folds.

    Differences of two taps are no taps: they are left out.
    """
    table = read_csv(run / "tap_weights.csv", dtype={"head": str, "tap": str})
    found = []
    for name, rows in table.groupby("head", sort=False):
        head = str(name)
        rows = rows[~rows["tap"].str.contains("-")]
        by_fold = rows.pivot(index="fold", columns="tap", values="weight")[list(dict.fromkeys(rows["tap"]))]
        if by_fold.shape[1] < LEAST:
            continue
        drawn = np.random.default_rng([SEED, 4]).integers(0, len(by_fold), size=(N_BOOT, len(by_fold)))
        draws = by_fold.to_numpy()[drawn].mean(axis=1)
        found.append(
            Score(WEIGHT + head, tuple(map(str, by_fold.columns)), by_fold.to_numpy().mean(axis=0), draws, head)
        )
    return found


def linear_heads(config: dict) -> dict[str, str]:
    """tap -> name of the head that reads it alone, where 3 or more of these were trained."""
    heads = {head["tokens"][0]: head["name"] for head in config["heads"] if head["kind"] == "linear"}
    heads = {tap: name for tap, name in heads.items() if "-" not in tap}
    return heads if len(heads) >= LEAST else {}


# ---- what the probes say


@dataclass(frozen=True, eq=False)
class Clips:
    """The units that the heads were scored on: their store, its rows, one label set, group and fold a unit."""

    store: Path
    rows: np.ndarray  # rows of the store that a fold held out
    units: Units
    labels: tuple[frozenset[str], ...]
    order: np.ndarray  # of oof.npz: the place of each of `rows`

    @classmethod
    def of(cls, config: dict, held: dict[str, np.ndarray]) -> "Clips":
        source = config["scored"]["source"]
        path = next(Path(store["path"]) for store in config["stores"] if store["source"] == source)
        places = zip(held["row_source"], held["row_file"], held["row_start_s"], held["row_end_s"])
        at = {tuple(place[1:]): i for i, place in enumerate(places) if place[0] == source}
        with FeatureStore.open(path) as store:
            table = store.rows()
        order = np.array([at.get(place, -1) for place in zip(table["file"], table["start_s"], table["end_s"])])
        kept = np.flatnonzero(order >= 0)
        if len(kept) < len(at):
            raise InputError(f"{path}: expected the run's {len(at)} windows, got {len(kept)}. Was it extracted anew?")
        table = table.iloc[kept].assign(fold=held["row_fold"][order[kept]])
        first = table.drop_duplicates("clip").set_index("clip")
        clips = pd.DataFrame({"label": first["label"], "group": groups_of(first), "fold": first["fold"]})
        units = make_units(table.drop(columns=["label", "group", "fold"]), clips, config["scored"]["unit"])
        texts = pd.Series(list(table["labels"])).groupby(units.rows).agg(";".join)
        labels = tuple(frozenset(label_set(text)) for text in texts)
        return cls(path, kept, units, labels, order[kept])

    def probes(self) -> tuple[Score, Score]:
        """k-NN and ridge accuracy of every tap of the store, out of the heads' own folds."""
        y, folds = self.units.table["label"].to_numpy(), self.units.table["fold"].to_numpy()
        correct: dict[str, dict[str, np.ndarray]] = {PROBE: {}, RIDGE: {}}
        with FeatureStore.open(self.store) as store:
            for tap in store.taps:
                x = self.units.vectors(store.read(tap, self.rows))
                correct[PROBE][tap] = knn.predict(x, y, folds, K) == y
                correct[RIDGE][tap] = readouts.predict("linear", x, y, folds) == y
        probe, ridge = (self.accuracy(name, hits) for name, hits in correct.items())
        return probe, ridge

    def linear_heads(self, heads: dict[str, str], held: dict, activation: str) -> Score:
        """Accuracy of each tap's own linear head: mean logits over a unit's windows, as in scores.csv."""
        names, correct = held["labels"], {}
        for tap, head in heads.items():
            p = np.clip(held[head][self.order].astype(np.float64), 1e-38, 1 - 2.0**-25)
            logits = np.log(p) - (0 if activation == "softmax" else np.log1p(-p))  # softmax's: but for a constant
            best = names[self.units.vectors(logits).argmax(axis=1)]
            correct[tap] = np.array([name in labels for name, labels in zip(best, self.labels)])
        return self.accuracy(LINEAR, correct)

    def accuracy(self, name: str, correct: dict[str, np.ndarray]) -> Score:
        return score_of(name, correct, self.units.table["group"].to_numpy())


def score_of(name: str, correct: dict[str, np.ndarray], groups: np.ndarray) -> Score:
    taps = tuple(correct)
    ranked = ranking.rank(correct, groups, last_before_classifier(taps), n_boot=N_BOOT, n_perm=1, seed=SEED)
    return Score(name, taps, ranked.table["knn"].to_numpy(), ranked.draws)


def sweep_scores(sweep: Path) -> tuple[Score, Score]:
    """A sweep's k-NN accuracies with draws from its predictions, and its ridge accuracies as they are."""
    check_run(sweep, "sweep", "ranking.csv", "predictions.csv")
    table = read_csv(sweep / "ranking.csv", dtype={"tap": str})
    said = read_csv(sweep / "predictions.csv", dtype=str, keep_default_na=False)
    if missing := [tap for tap in table["tap"] if tap not in said.columns]:
        raise InputError(f"{sweep / 'predictions.csv'}: no column {', '.join(missing)}, which ranking.csv has.")
    correct = {tap: (said[tap] == said["label"]).to_numpy() for tap in table["tap"]}
    probe = score_of(PROBE, correct, said["group"].to_numpy())
    return probe, Score(RIDGE, tuple(table["tap"]), table["linear"].to_numpy(dtype=float))


# ---- for people


def markdown(agreed: Agreed) -> str:
    """A row a tap with every score, then a row a pair with its agreement."""
    wide = agreed.scores.pivot(index="tap", columns="score", values="value")
    wide = wide.loc[list(dict.fromkeys(agreed.scores["tap"])), list(dict.fromkeys(agreed.scores["score"]))]
    shown = wide.map(lambda value: "" if np.isnan(value) else f"{value:.3f}").reset_index().rename_axis(None, axis=1)
    pairs = pd.DataFrame(
        {
            "score": agreed.agreement["score"],
            "against": agreed.agreement["against"],
            "taps": agreed.agreement["taps"],
            **{
                f"{name} [95 %]": [
                    wording.interval(value, low, high, 2)
                    for value, low, high in agreed.agreement[[kind, f"{kind}_lo", f"{kind}_hi"]].to_numpy()
                ]
                for name, kind in (("Spearman", "spearman"), ("Kendall", "kendall"))
            },
        }
    )
    return "\n\n".join(Table.from_frame(frame).to_markdown().rstrip() for frame in (shown, pairs))
