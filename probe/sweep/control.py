"""The control of a sweep, `--control`: the same architecture with random weights on the same clips, folds, read-outs.

What it reaches is worth of the spectrogram and of the architecture; only what lies above it was learned.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ...analysis import readouts, wording
from ...analysis.resampling import Jackknife
from ...analysis.scored_items import Units
from ...features import InputError
from ...features.recordings import Recordings
from ...features.store import FeatureStore
from ..blocks.architecture import Block
from ..extraction.extract import Extraction, extract
from ..models.randomise import randomise
from ..runtime.backbone import Backbone
from .data import FoldedClips
from .items import Items
from .score import Verdict, rank_taps, score_taps
from .settings import Settings
from .studies.finding import Finding

STORE = "control.h5"
RANKED = ("tap", "index", "stage", "dim", "knn", "knn_lo", "knn_hi", "linear", "logme")
READ = ("tap", "readout", "score", "lo", "hi")


@dataclass(frozen=True)
class Reached:
    """How far the untrained network comes under the best read-out of a use.

    tap, readout, score: the best tap of the trained network. control_tap, control_score: the best tap of the untrained
    one under the same read-out, favoured by being picked. difference, lo, hi: trained less untrained, paired. share,
    share_lo, share_hi: what the untrained one gains over chance as a share of what the trained one does; None where the
    interval of the trained one's own score reaches down to chance. Intervals are of 95 %, by the jackknife over groups.
    """

    tap: str
    readout: str
    score: float
    control_tap: str
    control_score: float
    difference: float
    lo: float
    hi: float
    share: float | None = None
    share_lo: float | None = None
    share_hi: float | None = None


def check_trained(backbone: Backbone) -> None:
    """InputError: the model is a control itself."""
    if backbone.random_weights is not None:
        raise InputError(
            f"--control: {backbone.path} has random weights itself (`birdprobe randomise`). Sweep the trained model?"
        )


def extract_control(
    backbone: Backbone, recordings: Recordings, run: Path, settings: Settings, **given: Any
) -> Extraction:
    """Features of the untrained network at the trained one's taps, in RUN/control.h5. given: arguments of `extract`."""
    with TemporaryDirectory() as folder:
        trained, untrained = (Path(folder) / name for name in ("trained.onnx", "untrained.onnx"))
        trained.write_bytes(backbone.model.SerializeToString())  # with its front end and other inputs bound
        rate, window_s = backbone.sample_rate, backbone.window_s
        randomise(
            trained, untrained, seed=settings.seed, progress=given["progress"], sample_rate=rate, window_s=window_s
        )
        control = Backbone.open(
            untrained, settings.taps, settings.pool, normalise=backbone.normalise, device=backbone.device,
            threads=backbone.threads, without=backbone.without, sample_rate=rate, window_s=window_s,
        )  # fmt: skip
        try:
            return extract(control, recordings, run / STORE, **given)
        except InputError as error:
            if "model_sha256" not in str(error):
                raise
            raise InputError(
                f"{run / STORE}: features of another untrained network than this model with --seed {settings.seed} "
                "gives. Was --seed another? The same command with --overwrite makes them anew."
            ) from None


def study_control(
    store_path: Path,
    units: Units,
    verdict: Verdict,
    folded: FoldedClips,
    blocks: Mapping[str, Block],
    settings: Settings,
    score: str,
    progress: Callable[[str], None] = lambda tap: None,
) -> Finding:
    """Score the untrained network, of the store, as the trained one was, whose units, verdict and folds are given.

    control.csv (columns of ranking.csv), control_readouts.csv (of readouts.csv), a line, and answer.json's `control`.
    InputError: other clips in the store than were ranked.
    """
    with FeatureStore.open(store_path) as store:
        same = Items.of(store, folded, folded.classes, settings.unit)
        if list(same.column("file")) != list(units.table["file"]):
            raise InputError(f"{store_path}: other clips than in features.h5. Were files changed while it was made?")
        scores = score_taps(same, readouts.parse(settings.readout), settings.k, progress)
        ranked = rank_taps(same, scores, blocks, {}, settings, score)
    chance = {"top1": verdict.answer.chance, "auc": 0.5}.get(score, float(same.targets.mean()))
    found = {use: reached(verdict, ranked, use, chance) for use in verdict.conclusion.uses}
    said = sentence(found, chance, verdict)
    uses = {use: asdict(one) for use, one in found.items()}
    return Finding(
        tables={
            "control.csv": ranked.table[list(RANKED)],
            "control_readouts.csv": ranked.readouts.table[list(READ)],
        },
        lines=(said,),
        answer={"control": {"seed": settings.seed, "chance": chance, **uses, "sentence": said}},
    )


def reached(trained: Verdict, untrained: Verdict, use: str, chance: float) -> Reached:
    """The best tap of a use, and how far the untrained network comes under the same read-out."""
    advice = getattr(trained.conclusion, use)
    control_tap = untrained.readouts.best([advice.readout]).tap
    best, control = (
        verdict.readouts.jackknife.take([verdict.readouts.cells.index((tap, advice.readout))])
        for verdict, tap in ((trained, advice.tap), (untrained, control_tap))
    )
    difference = best.minus(control)
    (low,), (high,) = difference.difference_interval()
    score, own, less = (float(part.value[0]) for part in (best, control, difference))
    found = Reached(advice.tap, advice.readout, score, control_tap, own, less, float(low), float(high))
    if best.score_interval()[0][0] <= chance:
        return found
    with np.errstate(divide="ignore", invalid="ignore"):
        share = Jackknife(
            (control.value - chance) / (best.value - chance),
            (control.left_out - chance) / (best.left_out - chance),
            best.shares,
        )
    (low,), (high,) = share.interval()
    return replace(found, share=float(share.value[0]), share_lo=float(low), share_hi=float(high))


def sentence(found: Mapping[str, Reached], chance: float, verdict: Verdict) -> str:
    """The control in words."""
    told, unsure = [], []
    for one in found.values():
        how = verdict.conclusion.words(one.readout)
        words = f"{one.control_score:.3f} at {one.control_tap} by {how}"
        if one.share is None:
            words += f" against {one.score:.3f} at {one.tap}, which may be chance ({chance:.3f})"
        else:
            share, low, high = (
                wording.number(100 * (part or 0), 0) for part in (one.share, one.share_lo, one.share_hi)
            )
            words += f", {share} % [{low}, {high}] of what {one.tap} ({one.score:.3f}) gains over chance"
        told.append(words)
        unsure += [how] if one.lo <= 0 else []
    more = f" The trained one is not shown to be better by {' or '.join(unsure)}." if unsure else ""
    return f"Control, the same network with random weights: {'; '.join(told)}.{more}"
