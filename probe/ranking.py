"""Features ranked as they are: arrays in memory, or stores, embeddings of other programs among them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from ..analysis import readouts
from ..analysis.readout_ranking import ReadoutRanking, rank_readouts
from ..features import InputError
from ..features.recordings import assign_folds
from ..features.schema import Words, check_choice, check_least, check_seed, checked, comma_text, forwards
from ..features.store import FeatureStore
from .notebook import as_html, scores_by_tap
from .sweep.conclusion import Conclusion, conclude
from .sweep.items import multi_hot, score_cells
from .sweep.score import last_before_classifier
from .sweep.settings import Settings


@dataclass(frozen=True, eq=False, repr=False)
class RankedFeatures:
    """Taps of any origin, ranked under every read-out.

    ranking: the statistics. conclusion: which tap to read for each use.
    """

    ranking: ReadoutRanking
    conclusion: Conclusion

    @property
    def table(self) -> pd.DataFrame:
        """One row a tap and read-out, the columns of `readouts.csv`."""
        return self.ranking.table

    @property
    def sentence(self) -> str:
        """The conclusion in words."""
        return self.conclusion.sentence

    def __repr__(self) -> str:
        shown = self.table[["tap", "readout", "score", "lo", "hi"]]
        return f"{self.sentence}\n\n{shown.to_string(index=False, max_rows=20, float_format='{:.3f}'.format)}"

    def _repr_html_(self) -> str:
        return as_html(self.conclusion.lines, scores_by_tap(self.table))


@checked
def rank(
    features: Mapping[str, np.ndarray],
    labels: Sequence[str] | Sequence[Sequence[str]],
    groups: Sequence[str] | Sequence[float] | None = None,
    folds: Sequence[int] | None = None,
    *,
    readout: Words = "all",
    score: str = "auto",
    reference: str | None = None,
    k: int = 5,
    n_folds: int = 5,
    seed: int = 0,
) -> RankedFeatures:
    """Rank features that lie in memory, whoever made them.

    Args:
        features: tap -> [n, d], the same n rows for every tap, in the order of depth.
        labels: one label a row, or several, the primary one first; classes are the primary labels, as in a sweep.
        groups: what must not be split between folds (a recording, an author, a site); None: every row its own.
        folds: given folds; made here otherwise, groups kept whole.
        readout: "all", or some of `birdprobe.analysis.readouts.ALL`, with commas or in a list.
        score: "top1", "auc" or "cmap"; "auto" is top-1 where every row has one label, else macro AUC, as in a sweep.
        reference: the tap that others are compared with; the embedding, or the last one that is not "logits".
        k: neighbours that vote. n_folds: folds to make. seed: of folds and resampling.

    Returns:
        The ranking and its conclusion.

    Raises:
        InputError: rows that do not match, too few of a class, an unknown read-out.
    """
    if not isinstance(features, Mapping):
        raise InputError(f"`features` must be arrays by tap, {{tap: [n, d]}}, got {type(features).__name__}.")
    if not features:
        raise InputError("rank: no features found, at least one tap is needed.")
    if odd := [tap for tap in features if not isinstance(tap, str)]:
        raise InputError(f"`features` must have names of taps that are text, got {odd[0]!r}.")
    check_choice("score", score, Settings.CHOICES["score"])
    check_seed(seed)
    check_least("k", k, 1)
    names = readouts.parse(comma_text("readout", readout))
    many = [(row,) if isinstance(row, str) or not isinstance(row, Iterable) else tuple(row) for row in labels]
    _check_filled("label", many)
    for what, given in (("group", groups), ("fold", folds)):
        if given is not None:
            if len(given) != len(many):
                raise InputError(f"rank: {len(given)} {what}s, {len(many)} labels. Were rows left out?")
            _check_filled(what, [(one,) for one in given])
    first = [str(row[0]) for row in many]
    arrays = {tap: _array(tap, x) for tap, x in features.items()}
    for tap, x in arrays.items():
        if x.ndim and len(x) != len(many):
            raise InputError(f"rank: {len(x)} rows at tap {tap!r}, {len(many)} labels. Were rows left out?")
    if score == "auto":
        score = "top1" if all(len(row) == 1 for row in many) else "auc"
    if folds is None:
        folds = assign_folds(first, None if groups is None else list(map(str, groups)), None, n_folds, seed)[0].tolist()
    targets = multi_hot([tuple(map(str, row)) for row in many], sorted(set(first)))
    scores = score_cells(
        tuple(arrays), lambda tap: readouts.out_of_fold_all(names, arrays[tap], targets, np.asarray(folds), k)
    )
    reference = last_before_classifier(tuple(features)) if reference is None else reference
    ranking = rank_readouts(
        scores,
        targets,
        None if groups is None else np.asarray(groups),
        reference,
        score,
        seed=seed,
        n_folds=len(set(folds)),
    )
    return RankedFeatures(ranking, conclude(ranking, k))


def _array(tap: str, x: Any) -> np.ndarray:
    try:
        return np.asarray(x)
    except ValueError:
        raise InputError(f"rank: tap {tap!r} must be [n, d], got rows of several lengths.") from None


def _check_filled(what: str, rows: Sequence[Sequence[Any]]) -> None:
    """InputError where a row has nothing, or something that is missing (None, NaN, empty text)."""
    for i, row in enumerate(rows):
        odd = [one for one in row if (pd.api.types.is_scalar(one) and pd.isna(one)) or not str(one).strip()]
        if odd or not row:
            got = f", got {odd[0]!r}" if odd else ""
            raise InputError(f"rank: row {i} has no {what}{got}. Leave such rows out?")


@checked
@forwards(rank)
def rank_stores(stores: Sequence[Path | str], **settings: Any) -> RankedFeatures:
    """Rank every tap of one or several stores on the clips that all of them hold.

    Args:
        stores: paths. With several, a tap is named `STORE/TAP` by the file's stem. A clip is its windows of one file
            with one set of labels, read as their mean vector; files are told apart by their names without folders and
            endings. Labels, groups and folds are those of the first store.
        **settings: of `rank`: readout, score, reference, k, n_folds, seed.

    Returns:
        The ranking and its conclusion.

    Raises:
        InputError: no clip that all stores hold, two stores of one name, too few clips of a class.
    """
    paths = [Path(path) for path in stores]
    if not paths:
        raise InputError("`stores` must name at least one store, got none.")
    if len({path.stem for path in paths}) < len(paths):
        raise InputError(f"{', '.join(map(str, paths))}: two stores of one name, so their taps cannot be told apart.")
    tables, features = [], []
    for path in paths:
        with FeatureStore.open(path) as store:
            table, number = _clips(path, store.rows())
            prefix = "" if len(paths) == 1 else f"{path.stem}/"
            tables.append(table)
            features.append({f"{prefix}{tap}": _means(store.read(tap), number) for tap in store.taps})
    shared = tables[0].index
    for table in tables[1:]:
        shared = shared[shared.isin(table.index)]
    if not len(shared):
        raise InputError(f"{', '.join(map(str, paths))}: no clip is in all of them. Other recordings or labels?")
    found = {
        tap: x[table.index.get_indexer(shared)] for table, taps in zip(tables, features) for tap, x in taps.items()
    }
    about = tables[0].loc[shared]
    groups = [group or file for group, file in zip(about["group"], about["file"])]
    given = about["fold"]
    folds = pd.factorize(given)[0].tolist() if given.notna().all() else None
    labels = [tuple(text.split(";")) for text in about["labels"]]
    if settings.get("reference") is None and len(paths) > 1:  # as with one store: the first one's usual tap
        own = tuple(tap for tap in features[0])
        usual = f"{paths[0].stem}/embedding"
        settings["reference"] = usual if usual in own else [t for t in own if not t.endswith("/logits")][-1]
    return rank(found, labels, groups, folds, **settings)


def _clips(path: Path, rows: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """(the first row of every clip, indexed by name and labels; the number of each row's clip, int64 [rows])"""
    names = [PurePosixPath(file).stem for file in rows["file"]]
    labels = [";".join(sorted(text.split(";"))) for text in rows["labels"]]
    number, found = pd.factorize(pd.MultiIndex.from_arrays([names, labels], names=["file", "labels"]))
    if (rows.groupby(number)["file"].nunique() > 1).any():
        raise InputError(f"{path}: two recordings of one name and labels, so clips cannot be matched by name.")
    first = rows.iloc[np.unique(number, return_index=True)[1]]
    return first.set_index(pd.MultiIndex.from_tuples(list(found))), number


def _means(x: np.ndarray, clip: np.ndarray) -> np.ndarray:
    """[windows, *dims] -> [clips, d]: the mean over each clip's windows."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    sums = np.zeros((clip.max() + 1, flat.shape[1]))
    np.add.at(sums, clip, flat)
    return (sums / np.bincount(clip)[:, None]).astype(np.float32)
