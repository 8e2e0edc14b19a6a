"""Few labels: the taps in question against training clips a class, `--shots`; see `analysis.studies.few_shot`."""

from collections.abc import Sequence

import numpy as np

from ....analysis import readouts
from ....analysis.readouts import ALL
from ....analysis.studies import few_shot
from ....features import InputError
from ....features.progress import Progress
from ..items import Items
from ..score import Verdict
from .finding import Finding

DRAWS = 20


def taps_in_question(verdict: Verdict) -> tuple[str, ...]:
    """The reference, the best tap of each use and the published one, in graph order; at least two where there are."""
    table, reference = verdict.readouts.table, verdict.conclusion.reference
    found = verdict.conclusion
    advised = (found.training_free, found.linear, found.published)
    chosen = {reference} | {advice.tap for advice in advised if advice is not None}
    others = table[table["tap"] != reference]
    if len(chosen) == 1 and len(others):
        chosen.add(str(others["tap"].iloc[int(others["score"].to_numpy().argmax())]))
    return tuple(tap for tap in dict.fromkeys(table["tap"]) if tap in chosen)


def study_shots(items: Items, verdict: Verdict, sizes: Sequence[int], k: int, seed: int, progress: bool) -> Finding:
    """Accuracy against training clips a class, of `taps_in_question` under the read-outs that were ranked.

    Where a curve crosses that of the reference is a line and in answer.json's `shots`. What cannot be drawn is a
    warning: the ranking stands without it.
    """
    taps, names = taps_in_question(verdict), [name for name in ALL if name in set(verdict.readouts.table["readout"])]
    if not names:
        return Finding(warnings=("--shots: the attentive read-out has no curve; ask for another read-out beside it.",))
    features = {tap: items.vectors(tap) for tap in taps}
    labels, groups = (items.column(name) for name in ("label", "group"))
    with Progress("few labels", len(taps) * len(names) * len(sizes) * DRAWS, "fits", wanted=progress) as bar:

        def transfer(name: str, x: np.ndarray, targets: np.ndarray, x_test: np.ndarray, k: int) -> np.ndarray:
            bar.advance(note=name)
            return readouts.transfer(name, x, targets, x_test, k)

        try:
            found = few_shot.few_shot(
                features, labels, groups, names, sizes, transfer=transfer, k=k, n_draws=DRAWS, seed=seed
            )
        except InputError as error:
            return Finding(warnings=(f"--shots: no curve was drawn. {error}",))
    crossings, sentence = few_shot.crossings(found.table, verdict.conclusion.reference)
    record = {"taps": list(taps), "readouts": names, "crossings": crossings, "sentence": sentence}
    return Finding(
        tables={"shots.csv": found.table},
        lines=(f"With few labels: {sentence[0].lower()}{sentence[1:]}",),
        warnings=(f"--shots: {found.told}",) if found.told else (),
        answer={"shots": record},
    )
