"""Made-up animals, where and when they sing, and the soundscapes that hear them."""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from birdprobe.features.recordings import SoundscapeName
from birdprobe.features.synthetic.clips import make_recordists, make_species
from birdprobe.features.synthetic.competition import HEARD_S
from birdprobe.features.synthetic.soundscapes import STRAY, Soundscape, make_land, make_soundscape, plan_soundscapes
from birdprobe.features.synthetic.species import GENUS_SIZES, make_fauna


def test_sonotypes_of_a_group_have_one_song_and_no_others_do():
    fauna = make_fauna(40, 2)
    songs = defaultdict(list)
    for taxon in fauna:
        songs[taxon.song.syllables].append(taxon)
    for taxa in songs.values():
        groups = {taxon.sonotype_group for taxon in taxa}
        assert len(groups) == 1 and (len(taxa) == 2) == (groups != {""})
    assert sum(len(taxa) == 2 for taxa in songs.values()) == 2  # five sonotypes: two pairs and one alone


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
