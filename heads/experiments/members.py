"""The members of the dominant blend where the truth is known: what do inner blocks add when heads over time read them?

One protocol for all of them: focal clips and labelled soundscapes, folds by site. Windows alone (attention), plain
attention over windows, ProtoSSM, and a residual SSM on top of it, each on inner blocks and on the final embedding.
Heads over time read the first pass of a linear head on the embedding. Last the best member, and the best two blended:
for each fold both the choice and the weights are those of the other sites, so out of fold they are paid for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ...analysis import metrics, runs
from ...analysis.blending import blend, search
from ...analysis.predictions.table import aligned, files
from ...features import InputError
from ...features.recordings.names import SoundscapeName
from .comparison import Arm, score
from .competition_stores import out_of_fold, predict
from .outcome import Finding, moved, signed
from .training import Training

EMBEDDING, LINEAR, FIRST = "embedding", "linear", "linear-embedding"
WINDOWS, PLAIN, PROTOSSM, RESIDUAL = "attention", "sequence-attention", "protossm", "residual-ssm"
BEST, TWO, THREE = "best member", "best two blended", "best two and a third at 0.07"
LATE_SHARE = 0.07  # as the note's attention head came into the blend
PARTS = ("oof_gain", "heldout_gain")
AGAINST = {  # arm -> (what it is compared with, role)
    f"{WINDOWS}, embedding": ("linear, embedding", ""),
    f"{PLAIN}, embedding": (f"{WINDOWS}, embedding", runs.TIME),
    f"{PROTOSSM}, embedding": (f"{WINDOWS}, embedding", runs.TIME),
    f"{RESIDUAL}, embedding": (f"{PROTOSSM}, embedding", runs.TIME),
    **{f"{name}, inner": (f"{name}, embedding", runs.INNER) for name in (WINDOWS, PLAIN, PROTOSSM, RESIDUAL)},
    BEST: (f"{WINDOWS}, inner", ""),
    TWO: (f"{WINDOWS}, inner", runs.BLEND),
    THREE: (TWO, runs.LATE),
}


@dataclass(frozen=True, eq=False)
class Tables:
    """Predictions by arm, out of fold and held out. folds: of the labelled windows."""

    folds: pd.Series
    oof: dict[str, pd.DataFrame] = field(default_factory=dict)
    heldout: dict[str, pd.DataFrame] = field(default_factory=dict)


def find(trainings: Sequence[Training]) -> Finding:
    """Every member, the best one, the best two blended, and a third added late. InputError: the embedding alone."""
    repeats, chosen = [], []
    for training in trainings:
        tables = _members(training)
        truth = training.truths().oof
        choices = choose(tables, truth, training.settings.seed)
        chosen.append(choices)
        repeats.append(
            [Arm(name, tables.oof[name], tables.heldout[name], *AGAINST.get(name, (None, ""))) for name in tables.oof]
        )
    frame = score(repeats, trainings[0].truths(), trainings[0].settings.seed)
    return Finding(frame, _sentence(frame), _notes(trainings[0], tables.folds, chosen[0]))


def _members(training: Training) -> Tables:
    """Four trainings with the same folds: the first pass, the members that read it, a residual on each ProtoSSM."""
    inner = [token for token in training.material.tokens if token != EMBEDDING]
    if not inner:
        raise InputError("`--taps` must be one inner block or more, got the embedding alone.")
    blocks, heads = ",".join(inner), (WINDOWS, PLAIN, PROTOSSM)
    first = training.run("first", EMBEDDING, LINEAR)
    tables = Tables(out_of_fold(first.run, LINEAR)[1])
    test = training.material.test()

    def add(name: str, run, head: str, first_pass: pd.DataFrame | None = None) -> None:
        tables.oof[name] = out_of_fold(run.run, head)[0]
        tables.heldout[name] = predict(run.run, head, test, first_pass=first_pass)

    add("linear, embedding", first, LINEAR)
    given = tables.heldout["linear, embedding"]
    both = [*heads, *(f"{head}:{EMBEDDING}" for head in heads)]
    members = training.run("members", blocks, ",".join(both), first_pass=training.first_pass(first, LINEAR))
    for kind, end, taps in (("embedding", f"-{EMBEDDING}", EMBEDDING), ("inner", "", blocks)):
        for head in heads:
            add(f"{head}, {kind}", members, f"{head}{end}", given)
        below = training.first_pass(members, f"{PROTOSSM}{end}")
        top = training.run(f"residual-{kind}", taps, RESIDUAL, first_pass=below)
        add(f"{RESIDUAL}, {kind}", top, RESIDUAL, tables.heldout[f"{PROTOSSM}, {kind}"])
    return tables


# --- chosen by the other sites ----------------------------------------------------------------------------------------


def choose(tables: Tables, truth: pd.DataFrame, seed: int = 0) -> dict[str, str]:
    """Adds the arms BEST, TWO and THREE to the tables; what all labelled windows choose, in words.

    Held out the choice is that of all labelled windows. Out of fold each fold's values are percentile ranks within its
    own choice's table of all windows: members differ in scale, ranks do not, and the truth has no part in them.
    """
    oof = {name: aligned(table.loc[truth.index], truth, name) for name, table in tables.oof.items()}
    folds = tables.folds.loc[truth.index].to_numpy()
    found: dict[tuple[str, str], tuple] = {}

    def searched(names: Sequence[str]):
        pair = names[0], names[1]
        if pair not in found:
            one = search({name: oof[name] for name in pair}, truth, folds=folds.tolist(), seed=seed, n_boot=2)
            found[pair] = one.nested, tuple(one.weights.values())
        return found[pair]

    nested = {name: pd.DataFrame(np.nan, truth.index, truth.columns) for name in (BEST, TWO, THREE)}
    for fold in np.unique(folds):
        held = folds == fold
        names = _order(oof, truth, ~held)
        two, _ = searched(names)
        own = oof[names[0]], two, _late(two, oof[names[2]])
        for name, table in zip(nested, own):
            nested[name][held] = blend([table], space="rank")[held]
    names = _order(oof, truth, np.ones(len(folds), bool))
    weights = searched(names)[1]
    held_out = [tables.heldout[name] for name in names[:3]]
    two = blend(held_out[:2], weights)
    tables.oof.update(nested)
    tables.heldout.update(zip(nested, (held_out[0], two, _late(two, held_out[2]))))
    mixed = " and ".join(f"{name} {weight:.2f}" for name, weight in zip(names, weights))
    return {BEST: names[0], TWO: mixed, THREE: names[2]}


def _order(oof: Mapping[str, pd.DataFrame], truth: pd.DataFrame, rows: np.ndarray) -> list[str]:
    """The members, best first, by macro AUC on these rows."""
    auc = {name: metrics.macro_auc(truth.to_numpy()[rows], table.to_numpy()[rows]) for name, table in oof.items()}
    return sorted(auc, key=lambda name: -auc[name])


def _late(blended: pd.DataFrame, third: pd.DataFrame) -> pd.DataFrame:
    return blend([blended, third], (1 - LATE_SHARE, LATE_SHARE))


# --- in words ---------------------------------------------------------------------------------------------------------


def _sentence(frame: pd.DataFrame) -> str:
    rows = {row["arm"]: row for _, row in frame.iterrows()}

    def told(role: str) -> str:
        names = [name for name, (_, its) in AGAINST.items() if its == role]
        gains = "; ".join(
            f"{name.partition(',')[0]} {signed(rows[name], PARTS[0])} and {signed(rows[name], PARTS[1])}"
            for name in names
        )
        return f"{gains} ({moved([rows[name] for name in names], PARTS)})"

    best, two = rows[BEST], rows[TWO]
    return (
        "Gains out of fold by site, and held out. Inner blocks in place of the final embedding: "
        f"{told(runs.INNER)}. Time, on the embedding, over what each stands on: {told(runs.TIME)}. Against attention "
        f"on each window's inner blocks alone, the member that the other sites choose: {signed(best, PARTS[0])} and "
        f"{signed(best, PARTS[1])}; the two best blended: {signed(two, PARTS[0])} and {signed(two, PARTS[1])} "
        f"({moved([best, two], PARTS)})."
    )


def _notes(training: Training, folds: pd.Series, chosen: dict[str, str]) -> tuple[str, ...]:
    labelled, test = (_sites(files(ids)) for ids in (folds.index, training.material.truth.index))
    away = [site for site in test if site not in labelled]
    inner = ", ".join(token for token in training.material.tokens if token != EMBEDDING)
    return (
        f"{folds.nunique()} folds over {len(set(labelled))} sites. {len(away)} of the {len(test)} held-out recordings "
        f"lie at {len(set(away))} sites that have no labels.",
        f"Inner blocks: {inner}. Held out, the choice of all labelled windows: best member {chosen[BEST]}; best two "
        f"{chosen[TWO]}; third {chosen[THREE]}.",
        "A head over time reads, of every window that it learns from, what a first pass said that had not seen that "
        "window, though it had seen others of the fold held out.",
        "Intervals draw recordings. The held-out fold also stops the training, of every member alike.",
    )


def _sites(stems: Iterable[str]) -> list[str]:
    """The site of each recording."""
    names = [SoundscapeName.parse(stem) for stem in dict.fromkeys(stems)]
    return [name.site for name in names if name is not None]
