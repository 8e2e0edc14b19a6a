"""Taps x read-outs as tables: scores with intervals, differences from the reference, what choosing costs, the shift."""

from collections.abc import Mapping
from html import escape

import pandas as pd

from ....analysis import wording
from ....analysis.readout_ranking import ALPHA, best_index
from ....analysis.runs import Run
from ....analysis.wording import in_points as points
from .markup import interval, number, table

SIDES = ("score", "shifted_score")  # in domain, on the test recordings


def heading(data: Run, readout: str) -> str:
    """A read-out's name, "cosine 5-NN"."""
    return wording.readout_name(readout, data.config["settings"]["k"])


def score_name(data: Run) -> str:
    """What the read-outs are scored by, "accuracy"."""
    return wording.SCORES[data.config["conclusion"]["metric"]]


def best_cells(data: Run, score: str = "score") -> pd.DataFrame:
    """The rows of `readouts.csv` with the best tap of each read-out; of equals see `best_index`."""
    rows = [
        cells.iloc[[best_index(cells[score], cells.tap == data.reference)]]
        for _, cells in data.readouts.groupby("readout", sort=False)
    ]
    return pd.concat(rows)


def readouts_table(data: Run) -> str:
    """Every tap under every read-out: score, interval, difference from the reference, family-wise p."""
    best = best_cells(data)
    names, winners = list(best.readout), dict(zip(best.readout, best.tap))
    rows = []
    for tap, cells in data.readouts.groupby("tap", sort=False):
        by_name = cells.set_index("readout")
        each = [_cell(by_name.loc[name], winners[name] == tap, tap == data.reference) for name in names]
        rows.append(("reference" if tap == data.reference else "", str(tap), each))
    rows.append(("corrected", "best, corrected", [_corrected(row) for row in best.to_dict("records")]))
    last = wording.tap_name(data.reference)
    name = score_name(data)
    note = (
        f"{name[0].upper()}{name[1:]} with its 95 % interval; "
        f"below it the difference from {last} under the same read-out, in points, and its p, family-wise over all "
        f"{len(data.readouts)} cells. Bold: the best tap of each read-out. Shaded: better than {last} beyond chance "
        f"(p < {ALPHA:g}). Last row: what the best tap of each read-out can be expected to score on other groups, "
        "corrected for having been chosen among the taps; the lines at the top are corrected for choosing among all "
        "read-outs of their use as well. "
    )
    drawn = table("readouts", "Every tap under every read-out", ["tap", *(heading(data, n) for n in names)], rows)
    return f'{drawn}\n<p class="note">{escape(note)}Unrounded: <a href="readouts.csv">readouts.csv</a>.</p>'


def _cell(row: Mapping, best: bool, reference: bool) -> str:
    value = number(row["score"], "{:.3f}")
    value = f"<b>{value}</b>" if best else value
    beats = row["vs_last"] > 0 and row["vs_last_p_adjusted"] < ALPHA
    below = "reference" if reference else _difference(row["vs_last"], row["vs_last_p_adjusted"])
    look = ' class="beats"' if beats else ""
    return f"<td{look}>{value} <i>{interval(row['lo'], row['hi'], '{:.3f}')}</i><small>{below}</small></td>"


def _difference(value: float, p: float) -> str:
    sure = escape(wording.p_value(p)).replace(" ", "\u00a0")
    return f"{number(points(value), '{:+.1f}')}, {sure}"


def _corrected(row: Mapping) -> str:
    return f"<td>{number(row['corrected'], '{:.3f}')}<small>{escape(str(row['tap']))}</small></td>"


def has_shift(data: Run) -> bool:
    """Whether the read-outs were scored on other recordings too."""
    return "shifted_score" in data.readouts


def shift_table(data: Run) -> str:
    """In-domain and shifted scores side by side, a pair of columns for each read-out."""
    inside, outside = (dict(zip(*best_cells(data, score)[["readout", "tap"]].T.values)) for score in SIDES)
    names = list(inside)
    rows = []
    for tap, cells in data.readouts.groupby("tap", sort=False):
        by_name, each = cells.set_index("readout"), []
        for name in names:
            row = by_name.loc[name]
            values = [number(row[score], "{:.3f}") for score in SIDES]
            first, second = (
                f"<b>{v}</b>" if winner[name] == tap else v for v, winner in zip(values, (inside, outside))
            )
            ends = interval(row["shifted_lo"], row["shifted_hi"], "{:.3f}")
            same = tap == data.reference
            below = "reference" if same else _difference(row["shifted_vs_last"], row["shifted_vs_last_p_adjusted"])
            sure = row["shifted_vs_last"] > 0 and row["shifted_vs_last_p_adjusted"] < ALPHA
            look = ' class="beats"' if sure else ""
            each += [f'<td class="pair">{first}</td>', f"<td{look}>{second} <i>{ends}</i><small>{below}</small></td>"]
        rows.append(("reference" if tap == data.reference else "", str(tap), each))
    drawn = table(
        *("readouts shift", "Scores in domain and on the test recordings"),
        *(["tap", *("in domain", "test") * len(names)], rows),
        groups=[("", 1), *((heading(data, name), 2) for name in names)],
    )
    return f'<p>{escape(_regret(data))}</p>\n{drawn}\n<p class="note">{escape(_shift_note(data))}</p>'


def _regret(data: Run) -> str:
    """What choosing on either side gives away on the other."""
    shift = data.config["conclusion"]["shifted"]
    chosen, best = shift["chosen_in_domain"], shift["best"]
    if (chosen["tap"], chosen["readout"]) == (best["tap"], best["readout"]):
        return f"The same cell is best on both: {best['tap']} by {heading(data, best['readout'])}."
    return (
        f"Best in domain: {chosen['tap']} by {heading(data, chosen['readout'])}; on the test recordings it gives away "
        f"{wording.number(shift['regret'])}. Best on the test recordings: {best['tap']} by "
        f"{heading(data, best['readout'])}; in domain it gives away {wording.number(shift['regret_in_domain'])}."
    )


def _shift_note(data: Run) -> str:
    shift, last = data.config["conclusion"]["shifted"], wording.tap_name(data.reference)
    name = score_name(data)
    return (
        f"{name[0].upper()}{name[1:]}. In domain: out of fold. Test: fitted on all of those, scored on {shift['n']:,} "
        f"rows of {shift['n_groups']:,} groups over the {shift['n_classes']} classes that can be scored there; 95 % "
        f"interval, difference from {last} in points and its p, family-wise on these recordings. Bold: the best tap of "
        "each column."
    )
