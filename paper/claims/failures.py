"""What the note found not to work: pseudo-labels, residual tokens, stronger priors, a position embedding's size."""

import re
from collections.abc import Callable, Iterator

import numpy as np

from ...analysis import runs
from ..measures import Measure, experiments
from ..parameter_counts import vit_tokens
from ..published import Published
from ..runs.discovery import Sources
from . import commands, verdicts
from .record import Claim, judged, tested


def smallest_step(published: Published) -> float:
    """The smallest change of macro ROC-AUC that the note calls one: what is less is called the same (note, Table 2)."""
    return float(published.frame("table2")["public"].diff().abs().min())


def pseudo(sources: Sources, published: Published) -> Iterator[Claim]:
    gain, public = published["pseudo.oof_gain"], published["pseudo.public_gain"]
    about = {
        "key": "pseudo",
        "claim": "Pseudo-labels inflate the score out of fold; the leaderboard does not follow",
        "source": gain.source,
        "published": f"{gain.text} out of fold, {public.text} in public",
        "test": "gain of a naively pseudo-labelled student out of fold less its gain on recordings held out, macro "
        "ROC-AUC; holds if the interval is above 0",
    }
    yield from _arms(sources, "pseudo", runs.NAIVE, "inflation", verdicts.positive, about)


def residual(sources: Sources, published: Published) -> Iterator[Claim]:
    changed, raw = published["residual.oof_residual"], published["residual.oof_raw"]
    margin = smallest_step(published)
    about = {
        "key": "residual",
        "claim": "A residual token carries the same signal as the raw one",
        "source": raw.source,
        "published": f"{changed.text} against {raw.text} out of fold: {changed.number - raw.number:+.4f}",
        "test": "macro ROC-AUC out of fold of the attention head with the residual token less that with the raw one; "
        f"holds if the interval lies within {margin:.3f} of 0, the smallest step of Table 2",
    }

    def verdict(value: float, low: float, high: float) -> verdicts.Verdict:
        return verdicts.equal(value, low, high, margin)

    yield from _arms(sources, "residual", runs.RESIDUAL, "oof_gain", verdict, about)


def stronger(sources: Sources, published: Published) -> Iterator[Claim]:
    about = {
        "key": "stronger-priors",
        "claim": "Stronger priors, tuned out of fold, overfit",
        "source": published["table2.v7.public"].source,
        "published": published.change("table2.v6.public", "table2.v7.public"),
        "test": "what tuning the prior on windows that it saw gains out of fold, less what it gains on recordings held "
        "out, macro ROC-AUC; holds if the interval is above 0",
    }
    yield from _arms(sources, "priors", runs.TUNED_LEAKY, "inflation", verdicts.positive, about)


def position(sources: Sources, published: Published) -> Iterator[Claim]:
    model, large, small = (published[f"position.{name}"] for name in ("model", "at_224_px", "at_196_px"))
    patch = int(re.findall(r"patch(\d+)", str(model.value))[0])
    counts = {one.key: vit_tokens(int(re.findall(r"\d+", one.key)[0]), patch) for one in (large, small)}
    about = {
        "key": "position",
        "claim": "A ViT's checkpoint of one picture size does not load into a model of another",
        "source": large.source,
        "published": f"position embeddings [{large.text}] at 224 px, [{small.text}] at 196 px",
        "test": "tokens of both sizes, counted; holds if they are the published ones and differ",
    }
    shapes = [one.value if isinstance(one.value, tuple) else () for one in (large, small)]
    told = [shape[1] for shape in shapes] == list(counts.values())
    holds = told and len(set(counts.values())) == 2
    at = " and ".join(f"{count} tokens" for count in counts.values())
    difference = counts[large.key] - counts[small.key]
    one = Measure("", str(model.value), difference, np.nan, np.nan, "exact", at)
    yield tested(one, verdicts.HOLDS if holds else verdicts.FAILS, "{:+d}", **about)


def _arms(
    sources: Sources,
    kind: str,
    role: str,
    column: str,
    verdict: Callable[[float, float, float], verdicts.Verdict],
    about: dict[str, str],
) -> Iterator[Claim]:
    """A claim an experiment of this kind; another, untested, where none is of Perch v2."""
    measured = (experiments.measure(sources, run, role, column) for run in sources.experiments if run.kind == kind)
    found = [(one, verdict(*one.ends)) for one in measured if one is not None]
    yield from judged(found, commands.experiment(kind), about)


TESTS = (pseudo, residual, stronger, position)
