"""A made-up competition in the formats of BirdCLEF+ 2026, to try everything that comes after the backbone.

    train_audio/<label>/<XC|iNat><id>.ogg, train.csv         focal clips; some labels have none
    train_soundscapes/*.ogg, train_soundscapes_labels.csv    not all are labelled; every row twice, as in the real table
    test_soundscapes/*.ogg, sample_submission.csv            of all sites, also of those without labels
    taxonomy.csv                                             its order is that of the columns, and no alphabetical one;
                                                             a column of ours says which sonotypes sound the same
    truth/truth.csv, truth/unlabelled.csv, truth/about.json  what no competition gives

Labels that look like numbers, lists written as Python, doubled rows, labels known from focal clips alone or from
soundscapes alone: what trips readers of the real folder is here too.
"""

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

from .. import InputError
from ..files import write_json
from ..output_folder import Kind, OutputFolder, read_index
from ..progress import Progress
from .clips import RATE
from .focal_clips import COLUMNS, Focal, make_focal, plan_focals
from .soundscapes import WINDOW_S, Soundscape, make_land, make_soundscape, plan_soundscapes
from .species import Taxon, make_fauna

BLOCK = 1 << 15  # frames a write: libvorbis can overrun its stack when it is handed minutes at once
HEARD_S = 0.2  # of song within a window make it positive
TAXONOMY = ("primary_label", "inat_taxon_id", "scientific_name", "common_name", "class_name", "sonotype_group")
MARK = "truth/about.json"  # the folder is ours
KIND = Kind(
    "demo",
    "a made-up competition",
    (
        *("train.csv", "taxonomy.csv", "train_soundscapes_labels.csv", "sample_submission.csv"),
        *("truth/truth.csv", "truth/unlabelled.csv"),
    ),
    ("made_up",),
    index=MARK,
)


@dataclass(frozen=True)
class Size:
    """How much to make. Focal clips last between `focal_s` seconds; two sites in three have labelled soundscapes."""

    species: int = 24
    focal_per_species: int = 12
    labelled: int = 24
    unlabelled: int = 8
    test: int = 12
    sites: int = 8
    focal_s: tuple[float, float] = (5.0, 30.0)
    soundscape_s: int = 60

    def __post_init__(self):
        for name, least in (("focal_per_species", 1), ("labelled", 1), ("unlabelled", 0), ("test", 1), ("sites", 1)):
            if getattr(self, name) < least:
                raise InputError(f"competition size: {name} {getattr(self, name)}, expected at least {least}")
        if self.soundscape_s < WINDOW_S or self.soundscape_s % WINDOW_S:
            raise InputError(f"competition size: soundscape_s {self.soundscape_s}, expected a multiple of {WINDOW_S}")
        if not 1 <= self.focal_s[0] <= self.focal_s[1]:
            raise InputError(f"competition size: focal_s {self.focal_s}, expected shortest and longest, from 1 s on")


DEFAULT = Size()
SMALL = Size(8, 6, labelled=6, unlabelled=2, test=2, sites=3, focal_s=(2.0, 6.0), soundscape_s=20)


def write_competition(folder: Path | str, size: Size = DEFAULT, seed: int = 0, overwrite: bool = False) -> Path:
    """Write the folder; its files appear once they are whole. The same arguments give the same tables and the same
    sound, though not the same bytes of audio: an Ogg stream carries a random serial number.

    `overwrite` replaces what this function made. InputError for any other folder that holds something.
    """
    folder = Path(folder)
    OutputFolder(folder, KIND).check(overwrite)
    if (folder / MARK).is_file() and "files" not in read_index(folder / MARK):
        raise InputError(
            f"{folder}: made by an earlier edition, which did not list its recordings, so they cannot be told from "
            "yours. Give another folder."
        )
    fauna = make_fauna(size.species, seed)
    focals = plan_focals(fauna, size.focal_per_species, size.focal_s, seed)
    labelled, unlabelled, test = _plan(fauna, size, seed)
    scapes = (*labelled, *unlabelled, *test)
    about = {"made_up": True, "made_by": "birdprobe", "seed": seed, "rate": RATE, **asdict(size)}
    with OutputFolder(folder, KIND).replacing() as draft:

        def focal_file(focal: Focal) -> None:
            _write_ogg(draft / "train_audio" / focal.row["filename"], make_focal(focal, RATE))

        def soundscape_file(scape: Soundscape) -> np.ndarray:
            wave, seconds = make_soundscape(scape, RATE, size.soundscape_s)
            _write_ogg(draft / f"{scape.name.split.lower()}_soundscapes" / f"{scape.name}.ogg", wave)
            return seconds

        _in_threads(focal_file, focals, "clips")
        heard = dict(zip(scapes, _in_threads(soundscape_file, scapes, "soundscapes")))
        write_json(draft / MARK, about)
        _write_csv(draft / "taxonomy.csv", TAXONOMY, (_taxonomy_row(taxon) for taxon in fauna))
        _write_csv(draft / "train.csv", COLUMNS, (focal.row.values() for focal in focals))
        rows = [row for scape in labelled for row in _label_rows(scape, heard[scape])]
        _write_csv(draft / "train_soundscapes_labels.csv", ("filename", "start", "end", "primary_label"), rows * 2)
        columns = ("row_id", *(taxon.label for taxon in fauna))
        for name, some in (("truth", test), ("unlabelled", unlabelled)):
            rows = [row for scape in some for row in _truth_rows(scape, heard[scape], columns[1:])]
            _write_csv(draft / "truth" / f"{name}.csv", columns, rows)
        ids = [row_id for scape in test for row_id in _row_ids(scape, heard[scape].shape[1])]
        flat = [repr(1 / len(fauna))] * len(fauna)
        _write_csv(draft / "sample_submission.csv", columns, ([row_id, *flat] for row_id in ids))
    return folder


def _in_threads(make: Callable, items: Sequence, unit: str) -> list:
    """Transforms and the encoder release the interpreter's lock. After an error what has not begun is dropped."""
    made = []
    with ThreadPoolExecutor(os.cpu_count()) as pool, Progress("making", len(items), unit) as bar:
        try:
            for one in pool.map(make, items):
                made.append(one)
                bar.advance()
            return made
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _write_ogg(path: Path, wave: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", RATE, channels=1, format="OGG", subtype="VORBIS") as file:
        for start in range(0, len(wave), BLOCK):
            file.write(wave[start : start + BLOCK])


# --- the tables -------------------------------------------------------------------------------------------------------


def _plan(fauna: Sequence[Taxon], size: Size, seed: int) -> tuple[tuple[Soundscape, ...], ...]:
    """Labelled, unlabelled and test soundscapes. Labelled ones come from two sites in three, half of them from the
    first; a third of the animals that have focal clips is not heard in them, the others at three sites or more where
    there are so many, so that folds by site have each of them on both sides."""
    land = make_land(fauna, size.sites, seed)
    labelled_sites = -(-2 * size.sites // 3)
    shares = np.zeros(size.sites)
    shares[:labelled_sites] = 0.5 / max(labelled_sites - 1, 1)
    shares[0] = 0.5 if labelled_sites > 1 else 1.0
    recorded = np.cumsum([taxon.focal for taxon in fauna])
    heard = np.array([not taxon.focal or k % 3 != 0 for taxon, k in zip(fauna, recorded)])
    everybody, everywhere = np.ones(len(fauna), bool), np.full(size.sites, 1 / size.sites)
    return (
        plan_soundscapes(land, "Train", size.labelled, seed, heard=heard, shares=shares, times=3),
        plan_soundscapes(
            land, "Train", size.unlabelled, seed, heard=everybody, shares=everywhere, first=1 + size.labelled
        ),
        plan_soundscapes(land, "Test", size.test, seed, heard=everybody, shares=everywhere),
    )


def _taxonomy_row(taxon: Taxon) -> tuple[str, ...]:
    return tuple(getattr(taxon, "label" if name == "primary_label" else name) for name in TAXONOMY)


def _label_rows(scape: Soundscape, seconds: np.ndarray) -> Iterable[tuple[str, ...]]:
    """One row a window in which anything is heard; what sings longest comes first."""
    for window, heard in enumerate(seconds.T):
        order = [k for k in np.argsort(-heard, kind="stable") if heard[k] > HEARD_S]
        if order:
            times = (f"00:{second // 60:02d}:{second % 60:02d}" for second in (5 * window, 5 * window + 5))
            yield f"{scape.name}.ogg", *times, ";".join(scape.singers[k].label for k in order)


def _row_ids(scape: Soundscape, windows: int) -> list[str]:
    return [f"{scape.name}_{WINDOW_S * (window + 1)}" for window in range(windows)]


def _truth_rows(scape: Soundscape, seconds: np.ndarray, labels: Sequence[str]) -> Iterable[list]:
    """1 where a label is heard in a window, else 0; columns as `labels`."""
    for row_id, heard in zip(_row_ids(scape, seconds.shape[1]), seconds.T > HEARD_S):
        there = {taxon.label for taxon, yes in zip(scape.singers, heard) if yes}
        yield [row_id, *(int(label in there) for label in labels)]


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Iterable]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
