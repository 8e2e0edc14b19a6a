"""The made-up competition: the real folder's formats, its traps, and a truth."""

import ast
import csv
import json
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from birdprobe.analysis.postprocess.gates.classes import read_groups
from birdprobe.features import InputError, audio
from birdprobe.features.recordings import SoundscapeName, read_recordings
from birdprobe.features.synthetic.competition import COLUMNS, DEFAULT, MARK, SMALL, Size, _plan, write_competition
from birdprobe.features.synthetic.soundscapes import WINDOW_S
from birdprobe.features.synthetic.species import make_fauna

TINY = Size(6, 1, labelled=2, unlabelled=1, test=1, sites=2, focal_s=(1.0, 2.0), soundscape_s=10)


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_competition(tmp_path_factory.mktemp("made") / "up", SMALL, seed=3)


@pytest.fixture(scope="module")
def taxonomy(folder):
    return rows(folder / "taxonomy.csv")


@pytest.fixture(scope="module")
def labels(taxonomy):
    return [row["primary_label"] for row in taxonomy]


# the tables


def test_the_folder_holds_what_a_competition_gives_and_the_truth(folder):
    assert {path.name for path in folder.iterdir()} == {
        *("train_audio", "train_soundscapes", "test_soundscapes", "truth"),
        *("train.csv", "taxonomy.csv", "train_soundscapes_labels.csv", "sample_submission.csv"),
    }
    about = json.loads((folder / MARK).read_text())
    assert about["made_up"] is True and about["seed"] == 3 and about["species"] == 8
    assert len(about["files"]) == sum(path.is_file() for path in folder.rglob("*")) - 1


def test_the_taxonomy_has_the_real_ones_traps(taxonomy, labels):
    real = ["primary_label", "inat_taxon_id", "scientific_name", "common_name", "class_name"]
    assert list(taxonomy[0]) == [*real, "sonotype_group"]
    assert len(set(labels)) == 8 and labels != sorted(labels)
    assert {row["class_name"] for row in taxonomy} == {"Aves", "Amphibia", "Insecta"}
    assert any(label.isdigit() for label in labels) and "47158son01" in labels
    genera = Counter(row["scientific_name"].split()[0] for row in taxonomy if row["class_name"] == "Aves")
    assert max(genera.values()) > 1 and min(genera.values()) == 1


def test_the_table_of_sonotype_groups_is_what_the_gate_reads(folder):
    assert read_groups(folder / "taxonomy.csv") == {"47158son01": "song01", "47158son02": "song01"}


def test_most_animals_of_the_usual_size_are_labelled_at_three_sites():
    fauna = make_fauna(DEFAULT.species, 0)
    labelled, _, test = _plan(fauna, DEFAULT, 0)
    sites = defaultdict(set)
    for scape in labelled:
        for taxon in scape.singers:
            sites[taxon.label].add(scape.name.site)
    assert len(sites) == 18 and min(map(len, sites.values())) >= 3
    assert {scape.name.site for scape in test} == {f"S{i:02d}" for i in range(1, DEFAULT.sites + 1)}


def test_train_csv_has_the_fifteen_columns_and_names_every_file(folder, labels):
    table = rows(folder / "train.csv")
    assert tuple(table[0]) == COLUMNS and len(COLUMNS) == 15
    files = {path.relative_to(folder / "train_audio").as_posix() for path in folder.glob("train_audio/*/*.ogg")}
    assert {row["filename"] for row in table} == files and len(table) == len(files)
    for row in table:
        assert row["filename"].startswith(f"{row['primary_label']}/{row['collection']}")
        assert (float(row["rating"]) == 0) == (row["collection"] == "iNat")
        assert set(ast.literal_eval(row["secondary_labels"])) <= set(labels) - {row["primary_label"]}
        ast.literal_eval(row["type"])
    assert any(" song" in ast.literal_eval(row["type"]) for row in table)  # the leading space
    assert {row["collection"] for row in table} == {"XC", "iNat"}


def test_it_reads_as_a_birdclef_folder_grouped_by_author(folder, labels):
    found = read_recordings(folder)
    assert found.warnings == () and found.grouping == "column author"
    assert Counter(clip.label for clip in found.clips) == dict.fromkeys(found.labels, 6)
    assert any(len(clip.labels) > 1 for clip in found.clips)
    authors = defaultdict(set)
    for clip in found.clips:
        authors[clip.label].add(clip.group)
        assert SMALL.focal_s[0] - 0.01 <= soundfile.info(clip.path).duration <= SMALL.focal_s[1] + 0.01
    assert all(len(groups) >= 5 for groups in authors.values())  # five group folds
    silent = {"47158son01", "47158son02"}
    assert silent < set(labels) - set(found.labels) and len(found.labels) == 5  # and a frog


def test_some_labels_are_in_soundscapes_only_and_some_in_focal_clips_only(folder, labels):
    soundscapes = read_recordings(folder / "train_soundscapes_labels.csv")
    heard = {label for clip in soundscapes.clips for label in clip.labels}
    focal = set(read_recordings(folder).labels)
    assert heard - focal and focal - heard and heard | focal == set(labels)


def test_every_row_of_the_soundscape_table_occurs_twice(folder):
    table = rows(folder / "train_soundscapes_labels.csv")
    assert list(table[0]) == ["filename", "start", "end", "primary_label"]
    counts = Counter(tuple(row.values()) for row in table)
    assert set(counts.values()) == {2}
    found = read_recordings(folder / "train_soundscapes_labels.csv")
    assert len(found.clips) == len(counts) and found.grouping == "site in the file name"
    (warning,) = found.warnings
    assert f"{len(counts)} of {2 * len(counts)} rows list a window again" in warning
    assert {clip.end_s - clip.start_s for clip in found.clips} == {WINDOW_S}
    assert len({clip.group for clip in found.clips}) == 2  # of three sites
    named = {clip.path.name for clip in found.clips}
    assert len(named) == SMALL.labelled and len(list((folder / "train_soundscapes").iterdir())) == 8


def test_soundscape_files_are_what_their_names_say(folder):
    for split, n in (("Train", 8), ("Test", 2)):
        files = sorted((folder / f"{split.lower()}_soundscapes").iterdir())
        assert len(files) == n
        for number, path in enumerate(files, 1):
            name, info = SoundscapeName.parse(path), soundfile.info(path)
            assert (name.split, name.number, name.begun.year) == (split, number, 2026)
            assert (info.format, info.subtype, info.samplerate) == ("OGG", "VORBIS", 32000)
            assert (info.channels, info.duration) == (1, 20)


def test_submission_and_truth_have_the_same_rows_and_the_taxonomys_columns(folder, labels):
    sample, truth = rows(folder / "sample_submission.csv"), rows(folder / "truth" / "truth.csv")
    assert list(sample[0]) == list(truth[0]) == ["row_id", *labels]
    assert [row["row_id"] for row in sample] == [row["row_id"] for row in truth]
    stems = sorted(path.stem for path in (folder / "test_soundscapes").iterdir())
    assert [row["row_id"] for row in truth] == [f"{stem}_{end}" for stem in stems for end in (5, 10, 15, 20)]
    assert all(float(row[label]) == 1 / 8 for row in sample for label in labels)
    positives = {label: sum(int(row[label]) for row in truth) for label in labels}
    assert min(positives.values()) > 0  # the score is over all of them
    unlabelled = rows(folder / "truth" / "unlabelled.csv")
    hidden = {row["row_id"].rpartition("_")[0] for row in unlabelled}
    shown = {row["filename"].removesuffix(".ogg") for row in rows(folder / "train_soundscapes_labels.csv")}
    everything = {path.stem for path in (folder / "train_soundscapes").iterdir()}
    assert hidden | shown == everything and not hidden & shown


# the sound


def test_a_piece_of_a_soundscape_is_decoded_alone_and_is_that_piece(folder, monkeypatch):
    clips = read_recordings(folder / "train_soundscapes_labels.csv").clips
    whole = {path: soundfile.read(path, dtype="float32")[0] for path in {clip.path for clip in clips}}
    decoded = []
    read = soundfile.SoundFile.read

    def counted(self, *args, **kwargs):
        block = read(self, *args, **kwargs)
        decoded.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    for clip in clips:
        piece = audio.read(clip.path, 32000, start_s=clip.start_s, end_s=clip.end_s)
        first = int(clip.start_s * 32000)
        np.testing.assert_array_equal(piece, whole[clip.path][first : first + WINDOW_S * 32000])
    assert sum(decoded) == len(clips) * WINDOW_S * 32000


def test_the_same_seed_gives_the_same_tables_and_sound(tmp_path):
    one, again = (write_competition(tmp_path / name, TINY, seed=5) for name in "ab")
    other = write_competition(tmp_path / "c", TINY, seed=6)
    tables = [sorted(path.relative_to(one) for path in one.rglob("*.csv"))]
    for path in tables[0]:
        assert (one / path).read_bytes() == (again / path).read_bytes()
    sounds = sorted(path.relative_to(one) for path in one.rglob("*.ogg"))
    assert sounds == sorted(path.relative_to(again) for path in again.rglob("*.ogg"))
    for path in sounds:
        np.testing.assert_array_equal(soundfile.read(one / path)[0], soundfile.read(again / path)[0])
    assert (one / "train.csv").read_bytes() != (other / "train.csv").read_bytes()


# the folder


def test_a_folder_in_use_is_refused_and_a_strangers_never_replaced(tmp_path):
    real = tmp_path / "birdclef-2026"
    (real / "train_audio").mkdir(parents=True)
    (real / "train.csv").write_text("primary_label,filename\n")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"train\.csv: exists and was not written by `birdprobe demo`"):
            write_competition(real, TINY, overwrite=overwrite)
    with pytest.raises(InputError, match=r"expected a folder.*got a file"):
        write_competition(real / "train.csv", TINY)


def test_overwrite_replaces_what_was_made_and_nothing_else(tmp_path):
    folder = write_competition(tmp_path / "made", TINY, seed=1)
    (folder / "submission.csv").write_text("mine")
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    with pytest.raises(InputError, match="Use --overwrite"):
        write_competition(folder, TINY, seed=2)
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    about = (folder / MARK).read_text()
    (folder / MARK).write_text(json.dumps({"made_up": True, "seed": 1}))  # of an edition without a list
    with pytest.raises(InputError, match="earlier edition, which did not list its recordings"):
        write_competition(folder, TINY, seed=2, overwrite=True)
    (folder / MARK).write_text(about)
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    write_competition(folder, TINY, seed=2, overwrite=True)
    gone = [path for path in before if not path.exists()]
    assert gone and all(path.suffix == ".ogg" for path in gone)
    assert (folder / "train.csv").read_bytes() != before[folder / "train.csv"]
    assert (folder / "submission.csv").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"soundscape_s": 62}, "soundscape_s 62, expected a multiple of 5"),
        ({"test": 0}, "test 0, expected at least 1"),
        ({"focal_s": (3.0, 2.0)}, "expected shortest and longest"),
        ({"species": 5}, "must have 6 to 250 species, got 5"),
        ({"species": 251}, "must have 6 to 250 species, got 251"),
    ],
)
def test_sizes_that_cannot_be(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        write_competition(tmp_path / "made", replace(TINY, **change))
    assert list(tmp_path.iterdir()) == []
