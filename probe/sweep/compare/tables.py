"""The tables of a comparison: every cell, every model's taps with their cost, and the page for people."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ....analysis import wording
from ....analysis.readout_ranking import ReadoutRanking, best_index, compare_pairs
from ....analysis.readouts import USES
from ....analysis.tables import Column, Table
from ....features.spelling import short_names
from .conclusion import Names
from .pairing import ComparedModel, PairedRuns

VS_BEST_LAST = ("vs_best_last", "vs_best_last_lo", "vs_best_last_hi", "vs_best_last_p", "vs_best_last_p_adjusted")


def readouts_table(ranking: ReadoutRanking, names: Names) -> pd.DataFrame:
    """`readouts.csv`: one row a model, tap and read-out.

    A sweep's columns with `model` before them, vs_last* being against the model's own last tap, and after them
    vs_best_last*: against the best last tap of any model under the same read-out, family-wise over all cells and all
    models' last taps, so that picking the best model is paid for.
    """
    table = ranking.table.reset_index(drop=True)
    lasts = list(dict.fromkeys(ranking.references.values()))
    value = dict(zip(ranking.cells, ranking.jackknife.value))
    best = {name: max(lasts, key=lambda last: value[last, name]) for name in dict.fromkeys(table["readout"])}
    pairs = [((tap, name), (best[name], name)) for tap, name in ranking.cells]
    family = [((tap, name), (last, name)) for tap, name in ranking.cells for last in lasts]
    tests = compare_pairs(ranking, pairs, family).set_axis(list(VS_BEST_LAST), axis=1)
    models, taps = zip(*(names[tap] for tap in table["tap"]))
    table["tap"] = taps
    table.insert(0, "model", models)
    return table.join(tests)


def taps_table(paired: PairedRuns, readouts: pd.DataFrame) -> pd.DataFrame:
    """`ranking.csv`: one row a model and tap, what it costs and its best read-out for each use.

    last: whether it is the model's reference. macs: up to the tap, a window; macs_per_s: a second of audio. Of each use
    `training_free`, `linear`: the score, _lo, _hi, _readout.
    """
    rows = []
    for model in paired.models:
        own = readouts[readouts["model"] == model.name]
        for tap in model.taps:
            block = model.block(tap)
            macs = float(block.get("macs", np.nan))
            row = {"model": model.name, "tap": tap, "index": block.get("index"), "stage": block.get("stage")}
            row |= {"dim": model.probed.features[tap].shape[1], "last": tap == model.reference}
            row |= {"macs": macs, "macs_per_s": macs / model.window_s}
            for use, known in USES.items():
                row |= _best_of(own[(own["tap"] == tap) & own["readout"].isin(known)], use)
            rows.append(row)
    return pd.DataFrame(rows).astype({"index": "Int64", "stage": "Int64"})


def _best_of(cells: pd.DataFrame, use: str) -> dict[str, object]:
    if cells.empty:
        return {use: np.nan, f"{use}_lo": np.nan, f"{use}_hi": np.nan, f"{use}_readout": ""}
    best = cells.iloc[int(np.argmax(cells["score"]))]
    return {use: best["score"], f"{use}_lo": best["lo"], f"{use}_hi": best["hi"], f"{use}_readout": best["readout"]}


def summary(readouts: pd.DataFrame, taps: pd.DataFrame) -> Table:
    """The best cell of every model for each use, the highest score first, with its cost."""
    parts = best_of_models(readouts, taps)
    table = pd.concat([best.assign(use=use.lower()) for use, best in parts.items()])
    return Table.from_frame(
        pd.DataFrame(
            {
                "use": table["use"],
                "model": table["model"],
                "tap": table["tap"],
                "read-out": table["readout"],
                "score [95 %]": table["interval"],
                "vs its last tap, points [95 %]": [
                    wording.points(*ends).removesuffix(" points")
                    for ends in zip(table.vs_last, table.vs_last_lo, table.vs_last_hi)
                ],
                "p": [wording.number_of_p(p) for p in table["vs_last_p_adjusted"]],
                "MMAC/s of audio": table["cost"],
            }
        ).reset_index(drop=True)
    )


def short_summary(readouts: pd.DataFrame, taps: pd.DataFrame) -> dict[str, Table]:
    """The summary as a terminal of 80 columns holds it, a table for each use; the rest is in `compare.md`."""
    short = short_names(list(dict.fromkeys(readouts["model"])))
    return {
        use: Table.from_frame(
            pd.DataFrame(
                {
                    "model": best["model"].map(short),
                    "tap": best["tap"],
                    "read-out": best["readout"],
                    "score [95 %]": best["interval"],
                    "points vs last": [f"{wording.in_points(gain):+.1f}" for gain in best["vs_last"]],
                    "MMAC/s": best["cost"],
                }
            ).reset_index(drop=True),
            [
                *(Column(name, f"{{{name}}}", "left") for name in ("model", "tap", "read-out", "score [95 %]")),
                *(Column(name, f"{{{name}}}") for name in ("points vs last", "MMAC/s")),
            ],
        )
        for use, best in best_of_models(readouts, taps).items()
    }


def best_of_models(readouts: pd.DataFrame, taps: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The best cell of every model, the highest score first, for each use in words; with `interval` and `cost`."""
    by_tap = taps.set_index(["model", "tap"])
    cost, last = by_tap["macs_per_s"], by_tap["last"]
    found = {}
    for use, known in USES.items():
        cells = readouts[readouts["readout"].isin(known)]
        if len(cells):
            kept = pd.Series([last[key] for key in zip(cells["model"], cells["tap"])], cells.index)
            groups = cells.groupby("model", sort=False)["score"]
            best = cells.loc[[own.index[best_index(own, kept[own.index])] for _, own in groups]]
            best = best.sort_values("score", ascending=False, kind="stable")
            found[wording.USES[use]] = best.assign(
                interval=[wording.interval(*ends) for ends in zip(best.score, best.lo, best.hi)],
                cost=[_cost(cost[key]) for key in zip(best["model"], best["tap"])],
            )
    return found


def _cost(macs_per_s: float) -> str:
    return "–" if np.isnan(macs_per_s) else f"{macs_per_s / 1e6:,.0f}"


def page(readouts: pd.DataFrame, taps: pd.DataFrame, lines: Sequence[str], models: Sequence[ComparedModel]) -> str:
    """`compare.md`: the conclusion, the best of every model, the runs, every tap."""
    runs = pd.DataFrame([describe(model) for model in models])
    every = pd.DataFrame(
        {
            "model": taps["model"],
            "tap": taps["tap"],
            "MMAC/s of audio": taps["macs_per_s"].map(_cost),
            **{
                wording.USES[use].lower(): [
                    f"{score:.3f} ({readout})" if readout else "–"
                    for score, readout in zip(taps[use], taps[f"{use}_readout"])
                ]
                for use in USES
            },
        }
    )
    shown = runs[["name", "run", "window_s", "normalise", "pool", "select", "reference", "left_out"]]
    parts = [
        "\n".join(f"- {line}" for line in lines),
        summary(readouts, taps).to_markdown().rstrip(),
        Table.from_frame(shown.fillna("").astype(str)).to_markdown().rstrip(),
        Table.from_frame(every).to_markdown().rstrip(),
    ]
    return "\n\n".join(parts) + "\n"


def describe(model: ComparedModel) -> dict:
    """One model, for config.json."""
    settings, opened = model.config["settings"], model.config["model"]
    return {
        "name": model.name,
        "run": str(model.path),
        **{key: opened.get(key) for key in ("path", "sha256", "preset", "sample_rate", "window_s", "normalise")},
        "pool": settings.get("pool"),
        "select": settings.get("select"),
        "reference": model.reference,
        "taps": len(model.taps),
        "left_out": model.left_out,
    }
