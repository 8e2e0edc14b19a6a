"""What the experiments run on: the stores of a made-up competition, and tables of predictions and of truth.

    train_audio, listed windows of train_soundscapes              focal.h5, soundscapes.h5      trained on
    train_soundscapes that the label table does not name          unlabelled.h5                 pseudo-labelled
    those that it names, all of their windows                     recordings.h5                 whole files, smoothed
    test_soundscapes                                              test.h5                       held out

Tables have the form of `analysis.predictions.table`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ...analysis.predictions.row_ids import window_ids
from ...analysis.predictions.table import aligned, read_truth
from ...features import InputError
from ...features.files import check_exists
from ...features.recordings import Recordings, read_recordings
from ...features.recordings.sources import SOUNDSCAPE_LABELS
from ...features.recordings.taxonomy import read_classes
from ...features.store import FeatureStore
from ...features.windows import Selection
from ...finetune.data.targets import multi_hot
from ...probe.extraction.extract import extract
from ...probe.runtime.backbone import Backbone
from ..dataset import label_set
from ..ensemble import load_members
from ..inputs import taps_of
from ..sequences.first_pass import to_logits
from ..training.results import ROW_COLUMNS

NEEDED = ("taxonomy.csv", "train.csv", "train_audio", SOUNDSCAPE_LABELS, "train_soundscapes", "test_soundscapes")
TRUTH = "truth/truth.csv"


@dataclass(frozen=True, eq=False)
class Material:
    """A competition and the folder of its stores, which are made when they are asked for. tokens: the backbone's taps
    that are stored, in order; labels: the classes in taxonomy order; truth: bool table of the test windows; overwrite:
    replace stores of another model or of other recordings."""

    competition: Path
    folder: Path
    backbone: Backbone
    labels: tuple[str, ...]
    truth: pd.DataFrame
    overwrite: bool = False
    progress: bool = False
    log: Callable[[str], None] = lambda line: None
    made: dict[str, Path] = field(default_factory=dict)  # stores that this run has made or found

    @property
    def tokens(self) -> tuple[str, ...]:
        return tuple(self.backbone.taps)

    def focal(self) -> Path:
        return self._store("focal", lambda: read_recordings(self.competition))

    def soundscapes(self) -> Path:
        return self._store("soundscapes", lambda: read_recordings(self.competition / SOUNDSCAPE_LABELS))

    def unlabelled(self) -> Path:
        """Windows of the training soundscapes without labels. InputError: there are none."""
        return self._store("unlabelled", lambda: self._recordings(labelled=False))

    def recordings(self) -> Path:
        """Every window of the soundscapes with labels, also those that the table does not list."""
        return self._store("recordings", lambda: self._recordings(labelled=True))

    def test(self) -> Path:
        return self._store("test", lambda: read_recordings(self.competition / "test_soundscapes", labelled=False))

    def _recordings(self, labelled: bool) -> Recordings:
        listed = {clip.path.name for clip in read_recordings(self.competition / SOUNDSCAPE_LABELS).clips}
        every = read_recordings(self.competition / "train_soundscapes", labelled=False)
        clips = tuple(clip for clip in every.clips if (clip.path.name in listed) == labelled)
        if not clips:
            kind = "labelled" if labelled else "unlabelled"
            raise InputError(f"{self.competition}: expected {kind} training soundscapes, got none.")
        return replace(every, clips=clips)

    def _store(self, name: str, recordings: Callable[[], Recordings]) -> Path:
        if name in self.made:
            return self.made[name]
        path = self.folder / f"{name}.h5"
        self.folder.mkdir(parents=True, exist_ok=True)
        done = extract(
            self.backbone,
            recordings(),
            path,
            selection=Selection.parse("all"),
            batch_size=16,
            overwrite=self.overwrite,
            progress=self.progress,
        )
        self.log(f"{path}: {done.windows} windows of {done.clips} clips, {done.seconds:.0f} s")
        self.made[name] = path
        return path


def gather(
    competition: Path,
    folder: Path,
    model: Path,
    taps: str,
    overwrite: bool = False,
    progress: bool = False,
    log: Callable[[str], None] = lambda line: None,
) -> Material:
    """The material of a made-up competition; stores go into `folder`. taps: plain ones, in the syntax of `extract`.

    InputError: files of the competition that are missing, the truth first of all; a truth of other classes.
    """
    competition = Path(competition)
    check_exists(competition, "a folder of `birdprobe demo --competition`")
    missing = [name for name in (TRUTH, *NEEDED) if not (competition / name).exists()]
    if missing:
        raise InputError(
            f"{competition}: expected a made-up competition, whose truth is known, got no {missing[0]}. "
            "Make one with `birdprobe demo --competition DIR`."
        )
    labels = read_classes(competition / "taxonomy.csv")
    truth = read_truth(competition / TRUTH)
    truth = aligned(truth.astype(float), pd.DataFrame(0, truth.index, list(labels)), str(competition / TRUTH)) > 0.5
    return Material(competition, folder, Backbone.open(model, taps), labels, truth, overwrite, progress, log)


def labelled_truth(store: Path, labels: Sequence[str]) -> pd.DataFrame:
    """bool table of the labelled windows in a store."""
    with FeatureStore.open(store) as opened:
        rows = opened.rows()
    hot = multi_hot([label_set(text) for text in rows["labels"]], labels) > 0
    return pd.DataFrame(hot, window_ids(rows["file"], rows["end_s"]), list(labels))


@torch.no_grad()
def predict(
    run: Path, head: str, store: Path, fold: int | None = None, first_pass: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Mean probabilities of a run's head, all folds or one, for every window of a store. first_pass: probabilities of
    these windows, for heads over time that read one."""
    members = load_members(run, head, fold)
    taps = taps_of(members.description.tokens)
    with FeatureStore.open(store) as opened:
        rows, xs = opened.rows(), [torch.from_numpy(opened.read(tap)).float() for tap in taps]
    ids, labels = window_ids(rows["file"], rows["end_s"]), list(members.description.labels)
    given = None if first_pass is None else torch.from_numpy(to_logits(first_pass.loc[ids, labels].to_numpy()))
    values = members.predict(taps, xs, rows.assign(source="soundscape"), given).double().numpy()
    return pd.DataFrame(values, ids, labels)


def out_of_fold(run: Path, head: str, source: str | None = "soundscape") -> tuple[pd.DataFrame, pd.Series]:
    """(probabilities of each labelled window by the fold that held it out, that fold's number) from RUN/oof.npz.

    source: None for the windows of all sources.
    """
    with np.load(run / "oof.npz", allow_pickle=False) as arrays:
        values, labels = arrays[head].astype(np.float64), arrays["labels"]
        rows = pd.DataFrame({name: arrays[f"row_{name}"] for name in ROW_COLUMNS})
    own = (rows["source"] == source).to_numpy() if source else np.ones(len(rows), bool)
    ids = window_ids(rows["file"][own], rows["end_s"][own])
    return pd.DataFrame(values[own], ids, list(labels)), pd.Series(rows["fold"][own].to_numpy(), ids)


def out_of_fold_files(run: Path, head: str, store: Path) -> tuple[pd.DataFrame, pd.Series]:
    """As `out_of_fold`, for every window of the recordings in `store`, which the run's folds hold out whole.

    What is smoothed over time needs the windows that nobody listed as well.
    """
    listed, fold = out_of_fold(run, head)
    by_file = {_file(str(name)): number for name, number in fold.items()}
    tables = {number: predict(run, head, store, int(number)) for number in sorted(set(by_file.values()))}
    ids = next(iter(tables.values())).index
    folds = pd.Series([by_file[_file(name)] for name in ids], ids)
    whole = pd.concat([table[folds == number] for number, table in tables.items()]).loc[ids]
    if missing := [name for name in listed.index if name not in whole.index]:
        raise InputError(f"{store}: expected every window of the labelled soundscapes, got no {missing[0]}.")
    return whole, folds


def _file(row_id: str) -> str:
    return row_id.rsplit("_", 1)[0]
