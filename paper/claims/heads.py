"""Claims about the head: its weights, what it gains, how large it is."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...analysis import runs
from ...analysis.ranking import spearman
from ..measures import Measure, experiments, heads
from ..parameter_counts import attention_parameters
from ..published import Published
from ..runs.discovery import Sources
from ..runs.readers import Heads
from . import commands, verdicts
from .probing import PUBLISHED_READOUT, beaten_readouts
from .record import Claim, judged, positive, tested

ROUND = 0.1  # "about" allows for a tenth


def order(sources: Sources, published: Published) -> Iterator[Claim]:
    weights = published.frame("weights").merge(published.frame("table1"), on="block")
    rho = float(spearman([weights["weight"]], [weights["knn"]])[0])
    about = {
        "key": "order",
        "claim": "The trained head's weights follow the probe's order of the blocks",
        "source": published.listings["weights"].source,
        "published": f"the same order of {len(weights)} blocks (rho {rho:.0f}), which chance gives one time in six",
        "test": "Spearman's rho of the head's weights with the probe's accuracies; holds if its interval is above 0, "
        "undecided where so few taps cannot show an order",
    }
    found = []
    for run in sources.heads:
        for head, one in heads.order(sources, run).items():
            enough = verdicts.can_order(heads.n_taps(run, head))
            found.append((one, verdicts.positive(*one.ends) if enough else verdicts.UNDECIDED))
    yield from judged(found, commands.HEADS, about, "{:+.2f}")


def favourite(sources: Sources, published: Published) -> Iterator[Claim]:
    weights = published.frame("weights").set_index("block")["weight"]
    knn = published.frame("table1").set_index("block")["knn"]
    about = {
        "key": "favourite",
        "claim": "The block that the head weighs most is the probe's best",
        "source": published.listings["weights"].source,
        "published": f"block {weights.idxmax()} in both, of {len(weights)}" * bool(weights.idxmax() == knn.idxmax()),
        "test": "the probe's accuracy at the tap that the head weighs most less that at its best tap, paired; holds if "
        "they are one, does not hold if the interval is below 0 and the sweep's family-wise test separates the two; a "
        "metric artefact if that tap is the final embedding, which no block beats under another read-out",
    }
    found = []
    for run in sources.heads:
        for head in heads.order(sources, run):
            if (measured := heads.favourite(sources, run, head)) is not None:
                one, tied = measured
                same = one.ends == (0, 0, 0)
                worse = one.high < 0 and not tied
                said = verdicts.HOLDS if same else verdicts.FAILS if worse else verdicts.UNDECIDED
                if worse and _only_published(sources, run, head):
                    said = verdicts.ARTEFACT
                found.append((one, said))
    yield from judged(found, commands.HEADS, about)


def _only_published(sources: Sources, run: Heads, head: str) -> bool:
    """Whether a head weighs the final embedding most, and only the published read-out puts a block before it."""
    sweep = heads.probed_sweep(sources, run)
    if sweep is None or heads.heaviest_tap(run, head) != sweep.run.reference:
        return False
    others = [verdict for readout, (_, verdict) in beaten_readouts(sweep).items() if readout != PUBLISHED_READOUT]
    return verdicts.over_readouts(verdicts.HOLDS, others) == verdicts.ARTEFACT


def mixing(sources: Sources, published: Published) -> Iterator[Claim]:
    first, second = (published[f"table2.{version}.public"] for version in ("v1", "v2"))
    about = {
        "key": "attention",
        "claim": "Attention over the blocks beats a scalar mix of them",
        "source": first.source,
        "published": f"{first.text} to {second.text}: {second.number - first.number:+.3f}, "
        "soundscapes mixed in at the same time",
        "test": "macro ROC-AUC out of fold of the attention head less that of the scalar mix, trained alike, paired; "
        "holds if the interval is above 0",
    }
    measured = [heads.head_gain(sources, run, "attention", "scalarmix") for run in sources.heads]
    yield from judged(positive(measured), commands.HEADS, about)


def over_end(sources: Sources, published: Published) -> Iterator[Claim]:
    about = {
        "key": "head-over-end",
        "claim": "A head on inner blocks beats one on the final embedding",
        "source": published["head.tokens"].source,
        "published": "no head on the embedding was trained",
        "test": "macro ROC-AUC out of fold of the attention head less that of a linear head on the embedding, paired; "
        "holds if the interval is above 0; of the experiment on members each head less itself on the embedding",
    }
    measured = [heads.over_end(sources, run).get("attention") for run in sources.heads]
    measured += experiments.of_kind(sources, "members", runs.INNER, "oof_gain")
    yield from judged(positive(measured), commands.HEADS, about)


def size(sources: Sources, published: Published) -> Iterator[Claim]:
    stated = published["head.parameters"]
    shape: dict[str, Any] = {name: published[f"head.{name}"].value for name in ("widths", "classes", "dim", "ffn")}
    count = attention_parameters(**shape)
    about = {
        "key": "size",
        "claim": f"The attention head has {stated.text} parameters",
        "source": stated.source,
        "published": stated.text,
        "test": f"parameters of the head as it is described, counted; holds within {ROUND:.0%}",
    }
    widths = ", ".join(map(str, shape["widths"]))
    at = f"widths {widths}; {shape['classes']} classes"
    one = Measure("", "the note's own description", count, np.nan, np.nan, "exact", at)
    yield tested(one, verdicts.near(count, stated.number, ROUND), "{:,}", **about)


TESTS = (order, favourite, mixing, over_end, size)
