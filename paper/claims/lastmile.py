"""Claims about what stands between a head and a submission: shifted windows, priors, the blend, pooled Bird-MAE."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ...analysis import runs
from ..measures import Measure, comparisons, experiments, members
from ..published import Published
from ..runs.discovery import Sources
from . import commands, verdicts
from .record import Claim, judged, positive, tested, untested

MEMBERS, MADE_UP = "members", "of the experiment on members"


def shifts(sources: Sources, published: Published) -> Iterator[Claim]:
    yield from _step(
        published,
        "tta",
        "Averaging over windows shifted by a second helps",
        ("v2", "v5"),
        "macro ROC-AUC of the same head with shifted windows less without, paired; holds if the interval is above 0",
        _comparisons(sources, published, comparisons.tta_gain),
        commands.SHIFTS,
    )


def priors(sources: Sources, published: Published) -> Iterator[Claim]:
    yield from _step(
        published,
        "priors",
        "Site and hour priors with smoothing help",
        ("v5", "v6"),
        "what the published prior and smoothing gain on recordings held out, macro ROC-AUC; holds if the interval is "
        "above 0",
        experiments.of_kind(sources, "priors", runs.MODERATE_HONEST, "heldout_gain"),
        commands.experiment("priors"),
    )


def blend(sources: Sources, published: Published) -> Iterator[Claim]:
    about = {
        "key": "blend",
        "claim": "The blend beats the head alone",
        "source": published["table3.blend.public"].source,
        "published": published.change("table3.v6.public", "table3.blend.public"),
        "test": "macro ROC-AUC of the untouched blend less that of the first member, paired; holds if the interval is "
        f"above 0; {MADE_UP} the two best members blended less the attention head",
    }
    found = [
        *_comparisons(sources, published, comparisons.blend_gain),
        *experiments.of_kind(sources, MEMBERS, runs.BLEND, "heldout_gain"),
    ]
    yield from judged(positive(found), commands.BLEND, about)


def lead(sources: Sources, published: Published) -> Iterator[Claim]:
    drops = {name: published[f"table3.{name}.drop"] for name in ("blend", "v6")}
    change = drops["blend"].number - drops["v6"].number
    about = {
        "key": "lead",
        "claim": "From public to private the blend loses, the head alone gains",
        "source": drops["blend"].source,
        "published": f"{drops['blend'].text} against {drops['v6'].text}: the blend's lead changes by {change:+.3f}",
        "test": "the blend's lead over the head on the private recordings less that on the public ones, macro ROC-AUC; "
        f"holds if the interval is below 0; {MADE_UP} its lead held out less its lead out of fold, where it was chosen",
    }
    for one in experiments.of_kind(sources, MEMBERS, runs.BLEND, "inflation"):
        turned = replace(one, value=-one.value, low=-one.high, high=-one.low)
        yield tested(turned, verdicts.positive(*one.ends), **about)
    parts = {one.name.rpartition("/")[2]: one for one in sources.comparisons}
    found = comparisons.lead_change(parts["public"], parts["private"]) if {"public", "private"} <= set(parts) else None
    if found is not None:
        yield tested(found, verdicts.positive(-found.value, -found.high, -found.low), **about)
    else:
        yield untested(commands.HALVES, **about)


def late(sources: Sources, published: Published) -> Iterator[Claim]:
    frame = published.frame("table4").set_index("attempt")
    added = frame.loc[[name for name in frame.index if name.startswith("eos")], ["public", "private"]]
    margin = round(float((added - added.iloc[0]).abs().to_numpy(dtype=float).max()), 4)
    about = {
        "key": "late",
        "claim": "Late additions to the blend change nothing",
        "source": published.listings["table4"].source,
        "published": f"{len(added) - 1} attempts, all within {margin:.3f}",
        "test": f"macro ROC-AUC of the blend with the addition less without, paired; holds if the interval lies within "
        f"{margin:.3f} of 0; {MADE_UP} a third member added at 0.07",
    }
    found = _comparisons(sources, published, comparisons.plus_gain)
    ours = experiments.of_kind(sources, MEMBERS, runs.LATE, "heldout_gain")
    for one in [*ours, *found]:
        yield tested(one, verdicts.equal(*one.ends, margin), **about)
    if not found:
        yield untested(commands.LATE, **about)


def pooled(sources: Sources, published: Published) -> Iterator[Claim]:
    linear, attentive = (published[f"frozen.{head}.cmap"] for head in ("linear", "attentive"))
    about = {
        "key": "pooled",
        "claim": "Pooled Bird-MAE features with a linear head are poor",
        "source": linear.source,
        "published": f"cmAP {linear.text} % against {attentive.text} % with a head that reads tokens",
        "test": "cmAP of a frozen Bird-MAE with an attentive head less that with a linear one, paired; holds if the "
        "interval is above 0",
    }
    yield from judged(positive(members.frozen_heads(sources)), commands.BIRDMAE, about)


def _step(
    published: Published,
    key: str,
    claim: str,
    versions: tuple[str, str],
    test: str,
    found: Iterable[Measure],
    need: commands.Need,
) -> Iterator[Claim]:
    """A step of Table 2."""
    before, after = (f"table2.{version}.public" for version in versions)
    said = published.change(before, after)
    about = {"key": key, "claim": claim, "source": published[after].source, "published": said, "test": test}
    yield from judged(positive(found), need, about)


def _comparisons(sources: Sources, published: Published, measure: Callable) -> list[Measure]:
    """Of each comparison that has it. One over as many classes as the competition has counts as the competition's."""
    classes = published["head.classes"].number
    found = [(run, measure(run)) for run in sources.comparisons]
    return [replace(one, perch=run.frame["n_classes"].iloc[0] == classes) for run, one in found if one is not None]


TESTS = (shifts, priors, blend, lead, late, pooled)
