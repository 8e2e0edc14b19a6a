"""Every number that the text may use, from the published ones and from the runs that have a role in it.

Names: those of `published.toml` as they stand there ("table1.24.knn"), with their notes left out; ours by role,
"sweep.best.knn", "leakage.embedding.difference".
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pandas as pd

from ..analysis.studies import sample_size
from ..analysis.wording import interval, p_value, points, tap_label, tap_name
from .claims import Claim
from .claims.verdicts import ARTEFACT, FAILS, HOLDS, UNDECIDED, UNTESTED
from .published import Published
from .runs.derived import Evidence, order_kept
from .runs.discovery import Sources
from .runs.readers import Comparison, Heads, Sweep
from .runs.roles import STAND_IN, Roles, weighed_taps


def of(published: Published, roles: Roles, evidence: Evidence) -> dict[str, str]:
    """name -> text. Parts without a run have no names, so `have(role)` is false of them."""
    found = {key: entry.text for key, entry in published.entries.items()}
    for role, sweep in roles.sweeps.items():
        found |= {f"{role}.{name}": text for name, text in of_sweep(sweep).items()}
    main = roles.perch or roles.sweep
    if roles.sweep is not None and roles.regrouped is not None:
        kept = order_kept(roles.sweep, roles.regrouped)
        found["regrouped.agreement"] = interval(kept.spearman, kept.spearman_lo, kept.spearman_hi, 2)
        found["regrouped.common"] = str(kept.n)
    if main is not None and main.name in evidence.budgets:
        frame = evidence.budgets[main.name]
        if (frame["n_clips"] < frame["n_all"]).any():  # too few clips have one size alone, and no curve
            found |= of_budget(frame)
    if main is not None and main.name in evidence.leaks:
        found |= of_leakage(evidence.leaks[main.name], main.run.reference)
    if roles.weights is not None:
        found |= of_weights(roles.weights)
    if roles.heads is not None:
        found |= of_heads(roles.heads)
    if roles.comparison is not None:
        found |= of_comparison(roles.comparison)
    for kind in ("pseudo", "residual", "priors"):
        if (run := getattr(roles, kind)) is not None:
            found[f"{kind}.sentence"] = run.sentence
    return found


def of_sweep(sweep: Sweep) -> dict[str, str]:
    run, answer, table = sweep.run, sweep.run.answer, sweep.ranking
    blocks = sweep.blocks
    top, last, linear = str(blocks["knn"].idxmax()), str(blocks.index[-1]), str(table["linear"].idxmax())
    best, reference = table.loc[run.best].to_dict(), table.loc[run.reference].to_dict()
    return {
        "model": sweep.model,
        "data": sweep.data,
        "n": f"{run.n_units:,}",
        "unit": run.unit,
        "groups": f"{run.n_groups:,} groups" if run.n_groups else "unknown groups",
        "classes": str(run.n_classes),
        "taps": str(len(table)),
        "chance": f"{run.chance:.3f}",
        "best": tap_name(run.best),
        "best.knn": interval(best["knn"], best["knn_lo"], best["knn_hi"]),
        "best.share": f"{best['p_best']:.2f}",
        "reference": tap_name(run.reference),
        "reference.knn": interval(reference["knn"], reference["knn_lo"], reference["knn_hi"]),
        "gain": points(answer["difference"], answer["lo"], answer["hi"]),
        "p": p_value(float(answer["p_adjusted"])),
        "tied": str(len(run.tied)),
        "top-block": tap_name(top),
        "top-block.knn": _interval(table.loc[[top]].iloc[0], "knn"),
        "last-block": tap_name(last),
        "last-block.knn": _interval(table.loc[[last]].iloc[0], "knn"),
        "linear.best": tap_name(linear),
        "linear.best.score": f"{table['linear'].loc[linear]:.3f}",
        "linear.at-best": f"{best['linear']:.3f}",
        "linear.reference": f"{reference['linear']:.3f}",
    }


def _interval(row: pd.Series, name: str, digits: int = 3) -> str:
    """A row's number `name` with its interval `name`_lo, `name`_hi."""
    value, low, high = row[[name, f"{name}_lo", f"{name}_hi"]].to_numpy(dtype=float)
    return interval(value, low, high, digits)


def of_budget(frame) -> dict[str, str]:
    """Where the curve gets to 0.95, and what two sets without a common group agree on at their largest size."""
    first = frame.iloc[0]
    smaller = frame[frame["n_clips"] < frame["n_all"]]
    found = {
        "budget.n": f"{first['n_all']:,}",
        "budget.draws": str(first["draws"]),
        "budget.tied": str(len(str(first["tied"]).split(";"))),
        "budget.largest.n": f"{smaller['n_clips'].iloc[-1]:,}",
        "budget.largest.same": _interval(smaller.iloc[-1], "p_same_top", 2),
    }
    enough = sample_size.enough(frame)
    found["budget.enough"] = f"{enough:,}" if enough is not None and enough < first["n_all"] else "none of the sizes"
    rows = smaller[smaller["pairs"] >= smaller["draws"] / 2]
    if len(rows):
        last = rows.iloc[-1]
        found |= {
            "budget.two.n": f"{last['n_clips']:,}",
            "budget.two.agree": _interval(last, "p_two_agree", 2),
            "budget.two.order": _interval(last, "spearman_two", 2),
            "budget.two.reading": reading(last["p_two_agree_lo"], last["p_two_agree_hi"], last["spearman_two_lo"]),
        }
    return found


def reading(agree_lo: float, agree_hi: float, order_lo: float) -> str:
    """What the agreement of two sets of clips without a common group says of what such a probe selects."""
    if agree_hi < 0.5 and order_lo > 0.5:
        return "A probe of this size selects a region of the network rather than a block."
    return "A probe of this size selects a block." if agree_lo > 0.5 else "Whether that selects a block is open."


def of_sources(sources: Sources) -> dict[str, str]:
    """On how much the findings on real recordings stand."""
    real = [one for one in sources.sweeps if one.model != STAND_IN]
    networks = {one.config["model"]["sha256"] for one in real}
    return {"real.networks": str(len(networks)), "real.sets": str(len({one.data for one in real}))}


def of_claims(claims: Iterable[Claim]) -> dict[str, str]:
    """How many rows of the claims table have each verdict, and under how many read-outs the embedding is beaten."""
    claims = tuple(claims)
    counts = Counter(one.verdict for one in claims)
    names = {"holds": HOLDS, "fails": FAILS, "undecided": UNDECIDED, "artefacts": ARTEFACT, "untested": UNTESTED}
    found = {"claims.rows": str(counts.total())} | {f"claims.{name}": str(counts[of]) for name, of in names.items()}
    read = [one for one in claims if one.key == "beaten" and one.tested]  # the embedding, once a sweep and read-out
    if not read:
        return found
    said = Counter(one.verdict for one in read)
    found["beaten.rows"], found["beaten.sweeps"] = str(len(read)), str(len({one.run for one in read}))
    return found | {f"beaten.{name}": str(said[names[name]]) for name in ("holds", "fails", "undecided")}


def of_leakage(frame, reference: str) -> dict[str, str]:
    rows, first = frame.set_index("tap"), frame.iloc[0]
    apart = (frame["difference_lo"] > 0).sum()
    widest = frame.loc[frame["difference"].idxmax()]
    best = {kind: frame.loc[frame[kind].idxmax(), "tap"] for kind in ("random", "grouped")}
    found = {
        "leakage.n": f"{first['n']:,}",
        "leakage.siblings.n": f"{first['n_siblings']:,}",
        "leakage.taps": str(len(frame)),
        "leakage.apart": str(apart),
        "leakage.widest": tap_name(widest["tap"]),
        "leakage.widest.difference": points(*widest[["difference", "difference_lo", "difference_hi"]]),
        "leakage.best.random": tap_name(best["random"]),
        "leakage.best.grouped": tap_name(best["grouped"]),
    }
    if reference in rows.index:
        row = rows.loc[reference]
        found["leakage.reference"] = tap_name(reference)
        found["leakage.reference.difference"] = points(*row[["difference", "difference_lo", "difference_hi"]])
        found["leakage.reference.siblings"] = points(*row[["siblings", "siblings_lo", "siblings_hi"]])
    return found


def of_weights(run: Heads) -> dict[str, str]:
    if run.tap_scores is None or run.agreement is None:
        return {}
    found = {"weights.taps": str(weighed_taps(run))}
    probe = run.tap_scores[run.tap_scores["score"] == "knn"].set_index("tap")["value"].astype(float)
    found["weights.probe.best"] = tap_name(str(probe.idxmax()))
    rows = run.agreement[(run.agreement["against"] == "knn") & (run.agreement["head"] != "")]
    means = run.weights.groupby(["head", "tap"], sort=False)["weight"].mean()
    said = []
    row: Any
    for row in rows.itertuples():
        head = row.head
        agreed = interval(row.spearman, row.spearman_lo, row.spearman_hi, 2)
        tap = str(means[head].idxmax())
        said.append(f"{head} {agreed}, heaviest {tap_name(tap)} ({means[head][tap]:.3f})")
    if said:
        found["weights.sentence"] = "; ".join(said)
    return found


def of_heads(run: Heads) -> dict[str, str]:
    taps = [tap for tap in dict.fromkeys(run.weights["tap"]) if tap.startswith("block_")]
    found = {
        "heads.n": f"{int(run.scored['n'].iloc[0]):,}",
        "heads.unit": f"{run.config['scored']['unit']}s",
        "heads.taps": ", ".join(map(tap_label, taps)) or "none",
    }
    rows: Iterable[Any] = run.differences.itertuples()
    gains = [
        f"{row.head} {points(row.accuracy, row.accuracy_lo, row.accuracy_hi)} and "
        f"{interval(row.macro_auc, row.macro_auc_lo, row.macro_auc_hi, signed=True)} of macro ROC-AUC"
        for row in rows
    ]
    if gains:
        found |= {"heads.gains": "; ".join(gains), "heads.baseline": str(run.differences["baseline"].iloc[0])}
    return found


def of_comparison(run: Comparison) -> dict[str, str]:
    first = run.frame.iloc[0]
    raw = run.frame[run.frame["step"] == "raw"]
    cells: Iterable[Any] = raw.itertuples()
    rows = [f"{row.member} {interval(row.macro_auc, row.lo, row.hi)}" for row in cells]
    found = {
        "comparison.rows": f"{int(first['n_rows']):,}",
        "comparison.files": f"{int(first['n_files']):,}",
        "comparison.raw": "; ".join(rows),
        "comparison.members": " and ".join(f"{one['name']} {one['weight']:g}" for one in run.config["members"]),
    }
    if search := run.config.get("search"):
        found["comparison.search"] = search["sentence"]
    steps = [
        f"{step['step']} {interval(step['gain'], step['gain_lo'], step['gain_hi'], signed=True)}"
        for step in run.config.get("steps", [])
        if step.get("gain") is not None and step.get("gain_lo") is not None
    ]
    if steps:
        found["comparison.steps"] = "; ".join(steps)
    return found
