"""What a sweep computes from the cached features: the ranking, the same on TEST, the studies beside it, in JSON."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from threadpoolctl import threadpool_limits

from ...analysis import readouts
from ...analysis.scored_items import Units
from ...features.progress import Log, Progress
from ...features.store import FeatureStore
from ..blocks.architecture import Block
from ..extraction.extract import Extraction
from ..runtime.cost import Timing
from .data import Data, FoldedClips, fold_clips, group_clips
from .items import Items
from .score import Verdict, project, rank_taps, score_taps
from .settings import Settings, parse_shots
from .shift import Shift, rank_shift, score_shift
from .studies.duplicates import shared_with_test, study_duplicates
from .studies.finding import Finding, joined
from .studies.label_free import study_label_free
from .studies.planes import study_planes
from .studies.shots import study_shots
from .studies.timings import study_timings


@dataclass(frozen=True, eq=False)
class Found:
    """What a sweep found: the verdict, the same on TEST, the planes of the last blocks, and what stands beside them.

    units, rows: what was ranked, and the row table of the store. folded: folds of the clips that could be read.
    """

    verdict: Verdict
    shift: Shift | None
    projected: pd.DataFrame | None
    beside: Finding
    units: Units
    rows: pd.DataFrame
    folded: FoldedClips

    def tables(self) -> dict[str, pd.DataFrame]:
        """File name in RUN -> its table."""
        found = {
            "ranking.csv": self.verdict.table,
            "predictions.csv": self.verdict.predictions,
            "readouts.csv": readouts_table(self.verdict, self.shift),
        }
        if self.projected is not None:
            found["projection.csv"] = self.projected
        return found | self.beside.tables


def rank_cached(
    extraction: Extraction,
    tested: Extraction | None,
    blocks: Mapping[str, Block],
    data: Data,
    settings: Settings,
    cost: dict[str, Timing],
    progress: bool,
    log: Log,
) -> Found:
    """Everything that is computed from the cached features."""
    names, shift, projected = readouts.parse(settings.readout), None, None
    with FeatureStore.open(extraction.store) as store, threadpool_limits(1):  # of linear algebra, as in `per_tap`
        log("ranking")
        folded = fold_clips(data.recordings, settings, skipped_of(store))
        items = Items.of(store, folded, folded.classes, settings.unit)
        with Progress("ranking", len(items.taps), "taps", wanted=progress) as bar:
            scores = score_taps(items, names, settings.k, lambda tap: bar.advance(note=tap))
        verdict = rank_taps(items, scores, blocks, cost, settings, data.score)
        beside = [study_timings(cost), study_duplicates(items, folded.table, verdict, scores)]
        if data.held_out is not None and tested is not None:
            log("scoring the test recordings")
            with FeatureStore.open(tested.store) as test_store:
                clips = group_clips(data.held_out, skipped_of(test_store))
                others = Items.of(test_store, clips, folded.classes, settings.unit)
                test_scores = score_shift(items, others, names, settings.k)
                shift = rank_shift(
                    *(test_scores, others.targets, others.column("group"), verdict.readouts, settings.k),
                    *(data.score, settings.seed),
                )
                beside.append(shared_with_test(store.rows(), test_store.rows()))
        beside += studied(items, verdict, settings, progress, log)
        if settings.projection != "none":
            log(f"plane of the last blocks, {settings.projection}")
            projected = project(items, blocks, settings.projection, settings.seed)
        return Found(verdict, shift, projected, joined(beside), items.units, store.rows(), folded)


def studied(items: Items, verdict: Verdict, settings: Settings, progress: bool, log: Log) -> list[Finding]:
    """The studies beside the ranking: those without read-outs always, few labels and planes where asked for."""
    found = [study_label_free(items, verdict, settings.seed)]
    if sizes := parse_shots(settings.shots):
        log("few labels")
        found.append(study_shots(items, verdict, sizes, settings.k, settings.seed, progress))
    if settings.planes:
        method = "pca" if settings.projection == "none" else settings.projection
        log(f"plane of every tap, {method}")
        found.append(study_planes(items, method, settings.k, settings.seed))
    return found


def skipped_of(store: FeatureStore) -> set[int]:
    """The numbers of the clips that could not be read."""
    return set(store.skipped()["clip"])


def describe_result(data: Data, extraction: Extraction, tested: Extraction | None, found: Found) -> dict:
    """What was ranked how, what came out and what to beware of, for config.json."""
    warnings = [*data.recordings.warnings, *extraction.warnings, *found.folded.warnings]
    warnings += [*data.held_out.warnings, *tested.warnings] if data.held_out and tested else []
    warnings += found.beside.warnings
    if found.projected is not None and (reason := found.projected.attrs["reason"]).startswith("UMAP"):
        warnings.append(f"{reason}: the plane of the last blocks is PCA's.")
    return {
        "readouts": list(dict.fromkeys(found.verdict.readouts.table["readout"])),
        "score": data.score,
        "folds": {"n": int(found.units.table["fold"].nunique()), "description": found.folded.description},
        "grouping": data.recordings.grouping,
        "warnings": list(dict.fromkeys(warnings)),
        "answer": found.verdict.answer.to_json(),
        "conclusion": conclusion_json(found.verdict, found.shift, found.beside),
        **found.beside.config,
    }


def readouts_table(verdict: Verdict, shift: Shift | None) -> pd.DataFrame:
    """`readouts.csv`, one row a tap and read-out."""
    table = verdict.readouts.table.reset_index(drop=True)
    return table if shift is None else table.join(shift.columns().reset_index(drop=True))


def conclusion_json(verdict: Verdict, shift: Shift | None, beside: Finding) -> dict:
    """`answer.json`."""
    found = verdict.conclusion.to_json() | beside.answer
    if shift is not None:
        found["sentence"] = f"{found['sentence']} {shift.sentence}"
        found["lines"] = [*found["lines"], shift.sentence]
        found["parts"] = found["parts"] | {"shifted": shift.sentence}
        found["shifted"] = shift.to_json()
    found["lines"] = [*found["lines"], *beside.lines]
    if "control" in beside.answer:
        found["parts"] = found["parts"] | {"control": beside.answer["control"]["sentence"]}
    return found


def projection_used(settings: Settings, projected: pd.DataFrame | None) -> dict[str, str]:
    """UMAP falls back to PCA where there is too little to learn a manifold from."""
    return {"projection": settings.projection if projected is None else str(projected.attrs["method"])}
