"""First passes: what is predicted window by window before a sequence head looks at the whole recording.

    logits      the stores' `logits` tap for the classes of the run, see features.recordings.class_mapping
    TAP         any tap that has one number a class, in the order of the classes
    FILE.csv    probabilities in the form of a submission (row_id and classes), of all rows or some

All as logits, NaN where a class or a row has none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...analysis import predictions
from ...analysis.predictions.row_ids import window_ids
from ...features import InputError
from ...features.recordings.class_mapping import ClassMapping, map_classes
from ...features.recordings.taxonomy import taxa_of
from ...features.store import FeatureStore
from ...probe.models import label_lists
from ...probe.models.registry import resolve
from ..dataset import Data

LOGITS = "logits"
EPS = 1e-6  # probabilities are kept so far from 0 and 1


@dataclass(frozen=True)
class Naming:
    """How classes and a backbone's outputs find each other.

    taxonomy: the taxonomy.csv that names the classes; None: the one beside the store's recordings, else labels are
    names. backbone_labels: the backbone's list of labels; None: of its metadata or beside it. renames: a table of the
    user's own, see `map_classes`.
    """

    taxonomy: Path | None = None
    backbone_labels: Path | None = None
    renames: Path | None = None


BY_NAME = Naming()


def read_first_pass(
    text: str,
    data: Data,
    stores: Sequence[Path],
    naming: Naming = BY_NAME,
    log: Callable[[str], None] = lambda line: None,
) -> np.ndarray:
    """The first pass of every row of `data`, float32 [n rows, K] logits; NaN where a class or a row has none.

    text: `logits`, a tap's name, or the path of a CSV of probabilities. stores: in the order of data's sources. log:
    told how the classes were mapped, or how many rows a CSV has. InputError: a tap that a store lacks or of another
    width, a CSV without any of the rows or classes, no class that has an output.
    """
    if text.endswith(".csv"):
        return of_table(predictions.read_predictions(text), data, text, log)
    with FeatureStore.open(stores[0]) as store:
        there = store.taps
    if text not in there:
        raise InputError(
            f"`--first-pass` must be a tap of the store ({', '.join(there)}) or a CSV of predictions, got {text!r}."
            + (" Extract with --taps ...,logits." if text == LOGITS else "")
        )
    values = np.concatenate([read_tap(path, text) for path in stores])
    if text != LOGITS:
        if values.shape[1] != len(data.labels):
            raise InputError(
                f"`--first-pass {text}`: {values.shape[1]} numbers a window, expected {len(data.labels)}, one a class."
            )
        return values
    mapping = mapping_of(stores[0], data.labels, naming)
    log(f"first pass: {mapping}")
    return mapping(values)


def mapping_of(store: Path, classes: Sequence[str], naming: Naming = BY_NAME) -> ClassMapping:
    """Which of the logits in a store are whose of `classes`, labels of the taxonomy in order.

    InputError: no list of labels, or of another length; no class that has an output.
    """
    with FeatureStore.open(store) as opened:
        meta, width = opened.meta, int(np.prod(opened.dims[LOGITS]))
    if naming.backbone_labels is None:
        model = model_of(meta, store)
        if model is None:
            raise InputError(f"{store}: its backbone {meta.get('model')} is not there. Name its list of labels.")
        labels = label_lists.find(model, width)
    else:
        labels = label_lists.read_list(Path(naming.backbone_labels), width)
    beside = Path(str(meta.get("audio", ""))) / "taxonomy.csv"
    table = naming.taxonomy or (beside if beside.is_file() else None)
    mapping = map_classes(taxa_of(classes, table), labels, naming.renames)
    if not mapping.mapped.any():
        raise InputError(
            f"{store}: none of the {len(classes)} classes ({', '.join(classes[:3])}, ...) has an output of the "
            f"backbone ({', '.join(labels[:3])}, ...). Other names? Give a table class,output "
            "with --renames FILE."
        )
    return mapping


def model_of(meta: dict, store: Path) -> Path | None:
    """The file of a store's backbone, where it still is."""
    named = str(meta.get("model", ""))
    for path in (Path(named), store.parent / named) if named else ():
        if path.is_file():
            return path
    try:
        path = resolve(Path(named)) if named else Path()
    except InputError:
        return None
    return path if path.is_file() else None


def read_tap(store: Path, tap: str) -> np.ndarray:
    """float32 [n, width]. InputError: the store has no such tap."""
    with FeatureStore.open(store) as opened:
        if tap not in opened.taps:
            raise InputError(f"{store}: expected the tap {tap}, got {', '.join(opened.taps)}.")
        values = opened.read(tap)
    return values.reshape(len(values), -1).astype(np.float32)


def of_table(table: pd.DataFrame, data: Data, place: str, log: Callable[[str], None] = lambda line: None) -> np.ndarray:
    """The rows and classes of `data` from a table of probabilities, as logits."""
    found = table.reindex(columns=list(data.labels))
    values = np.full((len(data.rows), len(data.labels)), np.nan, np.float32)
    for source in data.sources:
        at = np.flatnonzero(data.rows["source"] == source)
        rows = data.rows.iloc[at]
        ids = window_ids(rows["file"], rows["end_s"])
        values[at] = found.reindex(ids).to_numpy(np.float32)
    has = np.isfinite(values)
    if not has.any():
        raise InputError(f"{place}: none of the rows and classes that are trained on. Predictions of other recordings?")
    log(
        f"first pass: {place} has {int(has.any(axis=1).sum())} of {len(values)} rows and {int(has.any(axis=0).sum())} "
        f"of {values.shape[1]} classes"
    )
    return to_logits(values)


def to_logits(probabilities: np.ndarray) -> np.ndarray:
    """float32; values are kept 1e-6 from 0 and 1."""
    p = np.clip(probabilities.astype(np.float64), EPS, 1 - EPS)
    return (np.log(p) - np.log1p(-p)).astype(np.float32)
