"""Claims about the probe: it ranks the blocks, the last block is not the best, it is cheap."""

import math
from collections.abc import Callable, Iterator

from ..measures import Measure, sweeps
from ..published import Published
from ..runs.discovery import Sources
from ..runs.readers import Sweep
from . import commands, verdicts
from .record import Claim, judged

PUBLISHED_READOUT = "knn"  # the published read-out, Euclidean k-NN on raw vectors


def ranks(sources: Sources, published: Published) -> Iterator[Claim]:
    table = published.frame("table1")
    low, high = (published[f"table1.{table['block'].loc[at]}.knn"].text for at in _ends(table["knn"]))
    about = {
        "key": "ranks",
        "claim": "A cheap 5-NN probe ranks the blocks of a frozen backbone",
        "source": published.listings["table1"].source,
        "published": f"accuracies from {low} to {high}; no intervals",
        "test": "Spearman's rho of the blocks' accuracies over one half of the recordings with those over the other; "
        "holds if 95 % of the halvings agree by more than 0",
    }
    yield from _sweeps(sources, about, sweeps.halves, lambda m: verdicts.positive(*m.ends), "{:.2f}")


def before_last(sources: Sources, published: Published) -> Iterator[Claim]:
    better, last = (published[f"table1.{block}.knn"] for block in (24, 25))
    about = {
        "key": "before-last",
        "claim": "The last block but one is better than the last",
        "source": better.source,
        "published": f"{better.text} against {last.text}: {better.number - last.number:+.3f}",
        "test": "accuracy of the last block but one less that of the last, paired; holds if the interval is above 0",
    }
    yield from _sweeps(sources, about, sweeps.before_last, lambda m: verdicts.positive(*m.ends))


def over_end(sources: Sources, published: Published) -> Iterator[Claim]:
    about = {
        "key": "over-end",
        "claim": "Some block is better than the model's final embedding",
        "source": published.listings["table1"].source,
        "published": "the embedding was not probed",
        "test": "accuracy of the best block less that of the embedding by Euclidean k-NN, paired; holds if it is above "
        f"0 at a family-wise p below {verdicts.LEVEL}, does not hold if its interval ends at 0 or below; a metric "
        "artefact if it holds and the embedding is beaten under none of the sweep's other read-outs",
    }
    named = {sweep.name: sweep for sweep in sources.sweeps}

    def verdict(found: Measure) -> verdicts.Verdict:
        sweep = named[found.run]
        said = verdicts.best_of_many(found.value, found.high, sweeps.end_p(sweep))
        others = [verdict for readout, (_, verdict) in beaten_readouts(sweep).items() if readout != PUBLISHED_READOUT]
        return verdicts.over_readouts(said, others)

    yield from _sweeps(sources, about, sweeps.block_over_end, verdict)


def beaten(sources: Sources, published: Published) -> Iterator[Claim]:
    about = {
        "key": "beaten",
        "claim": "The final embedding is beaten, however the vectors are read",
        "source": published.listings["table1"].source,
        "published": "one read-out, Euclidean 5-NN; the embedding was not probed",
        "test": "score of each read-out's best block less that of the embedding under the same read-out, paired; holds "
        f"if it is above 0 at a p below {verdicts.LEVEL}, family-wise over taps and read-outs, does not hold if its "
        "interval ends at 0 or below",
    }
    found = [row for sweep in sources.sweeps for row in beaten_readouts(sweep).values()]
    yield from judged(found, commands.PERCH, about)


def beaten_readouts(sweep: Sweep) -> dict[str, tuple[Measure, verdicts.Verdict]]:
    """The embedding against each read-out's best block: read-out -> what was measured, and the verdict."""
    if not sweep.run.has_readouts:
        return {}
    found = {}
    for readout in dict.fromkeys(sweep.run.readouts["readout"]):
        if (measured := sweeps.readout_over_end(sweep, readout)) is not None:
            one, p = measured
            found[readout] = one, verdicts.best_of_many(one.value, one.high, p)
    return found


def cheap(sources: Sources, published: Published) -> Iterator[Claim]:
    bound, clips = published["protocol.minutes"], int(published["protocol.clips"].number)
    about = {
        "key": "cheap",
        "claim": f"The probe takes minutes on a CPU for {clips} clips",
        "source": bound.source,
        "published": f"{bound.text} {bound.unit}",
        "test": f"minutes of a whole sweep, scaled to {clips} clips; holds up to the published number",
    }
    yield from _sweeps(
        sources,
        about,
        lambda sweep: sweeps.minutes(sweep, clips),
        lambda m: verdicts.at_most(m.value, bound.number),
        "{:.1f} min",
    )


def _sweeps(
    sources: Sources,
    about: dict[str, str],
    measure: Callable[[Sweep], Measure | None],
    verdict: Callable[[Measure], verdicts.Verdict],
    form: str = "{:+.3f}",
) -> Iterator[Claim]:
    """A claim a sweep that can test it; another, untested, where none is of Perch v2."""
    found = [one for one in map(measure, sources.sweeps) if one is not None and not math.isnan(one.value)]
    yield from judged([(one, verdict(one)) for one in found], commands.PERCH, about, form)


def _ends(values) -> tuple[int, int]:
    return int(values.idxmin()), int(values.idxmax())


TESTS = (ranks, before_last, over_end, beaten, cheap)
