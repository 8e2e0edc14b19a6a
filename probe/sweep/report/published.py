"""The published ranking: the answer of Euclidean k-NN by itself, and `ranking.csv` as people read it."""

import math
from collections.abc import Mapping
from html import escape

from ....analysis.runs import Run
from ....analysis.wording import SCORES, number_of_p
from ....analysis.wording import in_points as points
from ....features.spelling import counted
from ..published_answer import plain
from .markup import bar, bracketed, interval, number, table, unbroken

MOST_TIED = 8


def lede(data: Run) -> str:
    """What the answer rests on: counts, intervals, the paired difference, what the p-value takes into account."""
    answer, over = data.answer, "groups" if data.n_groups else data.unit
    intervals = f"Brackets are 95 % intervals over {over}"
    accuracy = bracketed(answer["knn"], answer["knn_lo"], answer["knn_hi"], "{:.3f}")
    words = [f"Measured on {data.counted}, {data.config['folds']['description']}."]
    if data.best == data.reference:
        words.append(f"Accuracy of {plain(data.best)} {accuracy}. {intervals}.")
    else:
        gain = bracketed(points(answer["difference"]), points(answer["lo"]), points(answer["hi"]), "{:+.1f}")
        words.append(
            f"Accuracy of {plain(data.best)} {accuracy}, of {plain(data.reference)} {answer['reference_knn']:.3f}; "
            f"paired difference {gain} points. {intervals}; "
            f"p is corrected for having picked the best of {counted(len(data.ranking), 'tap')}."
        )
    return unbroken(escape(" ".join([*words, f"Chance is {answer['chance']:.3f}."])))


def tied(data: Run) -> str:
    """The taps that these clips cannot tell from the best, as runs of neighbours in graph order."""
    order = list(data.ranking.tap)
    places = sorted(order.index(tap) for tap in data.tied)
    if not places:
        return ""
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1 and order[place].startswith("block_"):
            runs[-1].append(place)
        else:
            runs.append([place])
    names = []
    for run in runs:
        words = [f"<b>{escape(plain(order[place]))}</b>" for place in run]
        names += [f"{words[0]} to {words[-1]}"] if len(run) > 2 else words
    more = f" and {len(names) - MOST_TIED} more" if len(names) > MOST_TIED else ""
    return f"Not separable from {', '.join(names[:MOST_TIED])}{more} on these clips."


def beside(data: Run) -> str:
    """What stands beside the answer: the taps that it cannot be told from, and what a linear probe says."""
    return " ".join(filter(None, (tied(data), unbroken(escape(data.answer.get("remark", ""))))))


def readout(data: Run) -> str:
    """The published read-out in words: "Euclidean 5-NN"."""
    metric = {"euclidean": "Euclidean"}.get(data.config["settings"]["metric"], data.config["settings"]["metric"])
    return f"{metric} {data.neighbours}"


def answer(data: Run) -> str:
    """What this ranking alone would answer, for pages that lead with the conclusion over all read-outs."""
    said = unbroken(escape(data.answer["sentence"]))
    return f'<p>By this read-out alone{_scored(data)}: {said} {beside(data)}</p>\n<p class="note">{lede(data)}</p>'


def _scored(data: Run) -> str:
    """What else differs from the conclusion above, where that is not ranked by top-1."""
    metric = data.config.get("conclusion", {}).get("metric", "top1")
    if metric == "top1":
        return ""
    return f", by top-1 of the first label alone and not by {SCORES[metric]} as above"


def ranking_table(data: Run) -> str:
    """`ranking.csv` for people: figures rounded, intervals beside them, a bar for every accuracy."""
    heads = [
        "tap",
        "stage",
        "dim",
        f"{data.neighbours} accuracy",
        "95 %",
        "P(best)",
        f"vs {data.reference}",
        "95 %",
        "p",
    ]
    rows = []
    for row in data.ranking.to_dict("records"):
        look = "best" if row["tap"] == data.best else "near" if row["tap"] in data.tied else ""
        rows.append((look, row["tap"], ranking_cells(row, row["tap"] == data.reference)))
    note = (
        f"{data.neighbours}: cross-validated top-1 accuracy; the bar and the stripe below it show it with its 95 % "
        "interval. ≈ marks taps that cannot be told from the best. P(best): share of bootstrap draws in which the tap "
        f"ranks first. vs {data.reference}: paired difference in points, its interval and its permutation p, not "
        "corrected for the number of taps. linear: linear probe on the same folds. LogME: evidence of a linear model, "
        "higher is better. ms/window: time to run the model up to the tap, on the machine of this run. "
    )
    drawn = table("ranking", "Ranking of all taps", [*heads, "linear", "LogME", "ms/window"], rows)
    return f'{drawn}\n<p class="note">{escape(note)}Unrounded: <a href="ranking.csv">ranking.csv</a>.</p>'


def ranking_cells(row: Mapping, reference: bool) -> list[str]:
    """The cells of one tap behind its name. The reference is not compared with itself."""
    compared = [
        number(points(row["vs_last"]), "{:+.1f}"),
        interval(points(row["vs_last_lo"]), points(row["vs_last_hi"]), "{:+.1f}"),
        "" if math.isnan(row["vs_last_p"]) else escape(number_of_p(row["vs_last_p"])),
    ]
    return [
        number(row["stage"], "{:.0f}"),
        number(row["dim"], "{:,.0f}"),
        bar(row["knn"], row["knn_lo"], row["knn_hi"]),
        interval(row["knn_lo"], row["knn_hi"], "{:.3f}"),
        number(row["p_best"], "{:.2f}"),
        *(["reference", "", ""] if reference else compared),
        number(row["linear"], "{:.3f}"),
        number(row["logme"], "{:.3f}"),
        number(row["ms_per_window"], "{:,.1f}"),
    ]
