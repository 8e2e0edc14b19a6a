"""The made-up competition: the real folder's formats, its traps, and a truth that follows from the sound."""

import ast
import csv
import json
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
import soundfile

from birdprobe.analysis.postprocess.gates.classes import read_groups
from birdprobe.features import InputError, audio
from birdprobe.features.recordings import SoundscapeName, read_recordings
from birdprobe.features.synthetic.clips import make_recordists, make_species
from birdprobe.features.synthetic.competition import (
    COLUMNS,
    DEFAULT,
    HEARD_S,
    MARK,
    SMALL,
    Size,
    _plan,
    write_competition,
)
from birdprobe.features.synthetic.soundscapes import (
    STRAY,
    WINDOW_S,
    Soundscape,
    make_land,
    make_soundscape,
    plan_soundscapes,
)
from birdprobe.features.synthetic.species import GENUS_SIZES, make_fauna

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


def test_sonotypes_of_a_group_have_one_song_and_no_others_do():
    fauna = make_fauna(40, 2)
    songs = defaultdict(list)
    for taxon in fauna:
        songs[taxon.song.syllables].append(taxon)
    for taxa in songs.values():
        groups = {taxon.sonotype_group for taxon in taxa}
        assert len(groups) == 1 and (len(taxa) == 2) == (groups != {""})
    assert sum(len(taxa) == 2 for taxa in songs.values()) == 2  # five sonotypes: two pairs and one alone


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


def test_the_truth_is_where_the_song_is():
    # Through a silent microphone: a window has energy exactly where the truth has seconds of song.
    fauna = make_fauna(6, 1)
    place = replace(make_recordists(1, 0)[0], slope=0.0, stream_db=0.0, hum=0.0, wet=0.0, reverberation_s=0.1)
    name = SoundscapeName("BC2026", "Test", 1, "S01", datetime(2026, 6, 1, 5))
    told, heard = [], []
    for seed in range(6):
        wave, seconds = make_soundscape(Soundscape(name, place, fauna[seed : seed + 1], (seed,)), 32000, 60)
        assert wave.shape == (60 * 32000,) and wave.dtype == np.float32 and seconds.shape == (1, 12)
        spectrum = np.abs(np.fft.rfft(wave.reshape(12 * 50, -1))) ** 2  # tenths of a second
        peak = (spectrum.max(axis=1) / np.median(spectrum, axis=1)).reshape(12, 50)
        told += list(seconds[0])
        heard += list((np.log10(np.sort(peak, axis=1)[:, -3:])).mean(axis=1))
    told, heard = np.array(told), np.array(heard)
    loud, silent = heard[told > 0.5], heard[told == 0]
    assert len(loud) > 10 and len(silent) > 10
    assert np.mean(loud[:, None] > silent) > 0.95  # the area under the ROC curve of a plain detector


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


# the animals and the land


def test_the_animals_are_neither_the_demos_nor_wrens():
    def syllables(species):
        return {syllable for one in species for syllable in one.syllables}

    ours = syllables(taxon.song for taxon in make_fauna(100, 7))
    for prefix in ("species", "wren", "unseen"):
        assert not ours & syllables(make_species(60, 7, prefix))
    assert len({one.seed for prefix in ("R", "wren", "unseen") for one in make_recordists(30, 7, prefix)}
               | {one.seed for prefix in ("competition author ", "competition site ")
                  for one in make_recordists(30, 7, prefix)}) == 150  # fmt: skip


@pytest.mark.parametrize("n", [6, 24, 250])
def test_labels_names_and_numbers_are_unique(n):
    fauna = make_fauna(n, 0)
    assert len(fauna) == len({taxon.label for taxon in fauna}) == len({taxon.common_name for taxon in fauna}) == n
    named = [taxon for taxon in fauna if taxon.class_name != "Insecta"]
    assert (
        len({taxon.inat_taxon_id for taxon in named}) == len({taxon.scientific_name for taxon in named}) == len(named)
    )
    assert max(Counter(taxon.genus for taxon in named).values()) <= max(GENUS_SIZES)
    assert all(taxon.song.name == taxon.label for taxon in fauna)
    assert {taxon.label for taxon in fauna if not taxon.focal} >= {"47158son01", "47158son02"}


def test_congeners_share_a_family_of_songs():
    fauna = [taxon for taxon in make_fauna(120, 2) if taxon.class_name == "Aves"]
    pitch = np.log2([np.mean([s.pitch_hz for s in taxon.song.syllables]) for taxon in fauna])
    genus = np.array([taxon.genus for taxon in fauna])
    apart, same = np.abs(pitch[:, None] - pitch), genus[:, None] == genus
    assert apart[same & ~np.eye(len(fauna), dtype=bool)].mean() < 0.5 * apart[~same].mean()


def test_animals_keep_to_their_sites_and_hours():
    fauna = make_fauna(24, 0)
    land = make_land(fauna, 6, 0)
    assert (np.count_nonzero(land.lives == 1, axis=1) >= 2).all() and set(np.unique(land.lives)) == {STRAY, 1.0}
    planned = plan_soundscapes(land, "Train", 300, 0, heard=np.ones(24, bool), shares=np.full(6, 1 / 6))
    at_home, hours = 0, []
    for scape in planned:
        assert scape.recorder.name == scape.name.site and 1 <= len(scape.singers) <= 6
        for taxon in scape.singers:
            at_home += land.lives[fauna.index(taxon), int(scape.name.site[1:]) - 1] == 1
            hours.append(np.cos((scape.name.begun.hour - taxon.peak_hour) * np.pi / 12))
    assert at_home / len(hours) > 0.8 and np.mean(hours) > 0.5
    assert len({str(scape.name) for scape in planned}) == 300


@pytest.fixture(scope="module")
def heard():
    """bool [recordings, windows, taxa] of 24 minutes of soundscapes, and what was planned."""
    fauna = make_fauna(24, 0)
    land = make_land(fauna, 6, 0)
    planned = plan_soundscapes(land, "Train", 24, 0, heard=np.ones(24, bool), shares=np.full(6, 1 / 6))
    there = np.zeros((24, 12, 24), bool)
    for minute, scape in zip(there, planned):
        _, seconds = make_soundscape(scape, 4000, 60)
        minute[:, [fauna.index(taxon) for taxon in scape.singers]] = seconds.T > HEARD_S
    return there, planned


def test_the_window_before_tells_more_than_the_recording_and_the_recording_more_than_the_base_rate(heard):
    there, _ = heard
    after = there[:, 1:][there[:, :-1]].mean()
    n = there.sum(axis=1)
    elsewhere = (n * (n - 1)).sum() / (11 * n.sum())  # another window of the recording, whichever
    assert after > 0.65 and elsewhere < 0.5 and there.mean() < 0.1
    assert there[:, 1:][~there[:, :-1]].mean() < 0.05
    both = there[:, :-2] & there[:, 2:]
    assert there[:, 1:-1][both].mean() > 0.75  # heard before and after


def test_every_animal_planned_is_heard_and_seldom_all_the_time(heard):
    there, planned = heard
    assert [list(np.flatnonzero(minute.any(axis=0))) for minute in there] == [
        [k for k, taxon in enumerate(make_fauna(24, 0)) if taxon in scape.singers] for scape in planned
    ]
    assert there.all(axis=1).sum() <= 0.05 * there.any(axis=1).sum()


def test_some_windows_are_faint_among_clear_ones():
    fauna = make_fauna(12, 1)
    place = replace(make_recordists(1, 0)[0], slope=0.0, stream_db=0.0, hum=0.0, wet=0.0, reverberation_s=0.1)
    name = SoundscapeName("BC2026", "Test", 1, "S01", datetime(2026, 6, 1, 5))
    below = []
    for seed in range(12):
        wave, seconds = make_soundscape(Soundscape(name, place, fauna[seed : seed + 1], (seed,), 60.0), 8000, 60)
        decibels = 10 * np.log10((wave.reshape(12, -1) ** 2).sum(axis=1) / np.maximum(seconds[0], 0.1))
        sung = np.flatnonzero(seconds[0] > 1)
        below += [decibels[sung].max() - decibels[k] for k in sung]
    assert 0.1 < np.mean(np.array(below) > 14) < 0.4  # that far below the clearest window of the recording
    assert np.mean(np.array(below) < 8) > 0.5


def test_sites_differ_in_community_level_and_distance():
    fauna = make_fauna(120, 0)
    land = make_land(fauna, 6, 0)
    home = land.lives == 1
    shared = np.corrcoef(home.T)
    same = (np.arange(6)[:, None] - np.arange(6)) % 2 == 0
    assert shared[same & ~np.eye(6, dtype=bool)].min() > 0.2 and shared[~same].max() < 0
    assert land.peaks.max() > 3 * land.peaks.min() and np.ptp(land.snr_db) > 4
    planned = plan_soundscapes(land, "Test", 12, 0, heard=np.ones(120, bool), shares=np.full(6, 1 / 6))
    for scape in planned[:2]:
        wave, _ = make_soundscape(replace(scape, singers=scape.singers[:1]), 4000, 10)
        assert np.abs(wave).max() == pytest.approx(land.peaks[int(scape.name.site[1:]) - 1], rel=1e-5)


def test_the_hour_in_the_name_tells_who_sings():
    fauna = make_fauna(24, 3)
    land = make_land(fauna, 6, 3)
    planned = plan_soundscapes(land, "Train", 400, 3, heard=np.ones(24, bool), shares=np.full(6, 1 / 6))
    peaks = np.array([taxon.peak_hour for taxon in fauna])
    near, far = [], []
    for scape in planned:
        sings = np.array([taxon in scape.singers for taxon in fauna])
        gap = np.abs((scape.name.begun.hour - peaks + 12) % 24 - 12)
        near += list(sings[gap < 2])
        far += list(sings[gap > 5])
    assert np.mean(near) > 5 * np.mean(far)


def test_what_is_not_heard_is_not_planned_and_the_rest_is_at_two_sites():
    fauna = make_fauna(12, 4)
    heard = np.arange(12) % 3 > 0
    land, shares = make_land(fauna, 4, 4), np.array([0.5, 0.25, 0.25, 0.0])
    planned = plan_soundscapes(land, "Train", 12, 4, heard=heard, shares=shares, times=2)
    places = defaultdict(set)
    for scape in planned:
        for taxon in scape.singers:
            places[taxon.label].add(scape.name.site)
    assert set(places) == {taxon.label for taxon, yes in zip(fauna, heard) if yes}
    assert all(len(sites) > 1 for sites in places.values())
    assert {site for sites in places.values() for site in sites} == {"S01", "S02", "S03"}


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
    about = json.loads((folder / MARK).read_text())
    (folder / MARK).write_text(json.dumps({"made_up": True, "seed": about["seed"]}))  # of an edition without a list
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
        ({"species": 5}, "n must be 6 to 250, got 5"),
        ({"species": 251}, "n must be 6 to 250, got 251"),
    ],
)
def test_sizes_that_cannot_be(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        write_competition(tmp_path / "made", replace(TINY, **change))
    assert list(tmp_path.iterdir()) == []
