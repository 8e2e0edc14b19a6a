import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from scipy.signal import welch
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from birdprobe.features import InputError
from birdprobe.features.synthetic.clips import (
    PEAK,
    focal_clip,
    make_clip,
    make_recordists,
    make_species,
    plan,
    record,
    song,
    write_dataset,
)
from birdprobe.features.synthetic.songs import HIGHEST_HZ, LOWEST_HZ, Species, Syllable

RATE = 32000


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.flac"))}


def test_a_data_set_is_its_seed(tmp_path):
    one = contents(write_dataset(tmp_path / "a", 2, 3, seed=5, duration_s=1.0))
    again = contents(write_dataset(tmp_path / "b", 2, 3, seed=5, duration_s=1.0))
    other = contents(write_dataset(tmp_path / "c", 2, 3, seed=6, duration_s=1.0))
    assert one == again
    assert len(one) == 6
    assert not set(one.values()) & set(other.values())


def test_a_data_set_is_class_folders_of_named_recordists(tmp_path):
    folder = write_dataset(tmp_path / "songs", 3, 14, seed=0, duration_s=0.5)
    files = sorted(folder.rglob("*.*"))
    assert {path.parent.name for path in files} == {"species_000", "species_001", "species_002"}
    assert len(files) == 42
    assert len({path.name for path in files}) == 42  # a recordist's numbers go on from species to species
    groups = {}
    for path in files:
        groups.setdefault(path.parent.name, set()).add(re.match(r"^(R\d+)-\d+\.flac$", path.name).group(1))
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (RATE, 1, RATE // 2, "PCM_16")
    assert all(len(names) == 7 for names in groups.values())  # enough for five group folds
    assert len(set.union(*groups.values())) < 21  # recordists meet several species


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        write_dataset(tmp_path, 2, 2, seed=0)
    with pytest.raises(InputError, match="n must be at least 1"):
        make_species(0, seed=0)


def test_prefixes_share_no_syllable_and_no_recordist():
    # Wren's training species and the demo's differ by prefix, so equal seeds cannot make them meet.
    def syllables(prefix):
        return {syllable for species in make_species(60, 7, prefix) for syllable in species.syllables}

    assert not syllables("wren") & syllables("species")
    places = [{one.seed for one in make_recordists(30, 7, prefix)} for prefix in ("wren", "R")]
    assert not places[0] & places[1]


def test_more_species_leave_the_first_ones_as_they_were():
    assert make_species(30, 3)[:7] == make_species(7, 3)


def test_siblings_are_closer_than_strangers():
    species = make_species(100, 0)
    pitch = np.log2([np.mean([s.pitch_hz for s in one.syllables]) for one in species])
    family = np.array([one.family for one in species])
    apart = np.abs(pitch[:, None] - pitch)
    same = (family[:, None] == family) & ~np.eye(len(species), dtype=bool)
    assert apart[same].mean() < 0.5 * apart[family[:, None] != family].mean()
    assert apart[same].mean() > 1 / 12  # over a semitone, else nobody could tell them apart
    assert all(LOWEST_HZ <= s.pitch_hz <= HIGHEST_HZ for one in species for s in one.syllables)


@pytest.mark.parametrize("hertz", [900.0, 3000.0, 11000.0])
def test_a_whistle_sounds_at_its_pitch(hertz):
    whistle = Syllable("whistle", hertz, 0.0, 0.4, 0.1, 12.0, 0.0, 0.0)
    wave = song(Species("one", 0, (whistle,), 0.5), np.random.default_rng(0), RATE, 5.0, individual_semitones=0.0)
    hz, power = welch(wave, RATE, nperseg=4096)
    assert abs(12 * np.log2(hz[power.argmax()] / hertz)) < 1.5  # semitones: three deviations between phrases


@pytest.mark.parametrize("kind", ["whistle", "sweep", "trill", "stack", "buzz"])
def test_every_kind_stays_below_half_the_sample_rate(kind):
    syllable = Syllable(kind, 9000.0, 0.3, 0.3, 0.05, 20.0, 0.6, 0.8)
    rng = np.random.default_rng(1)
    wave = song(Species("one", 0, (syllable,), 0.3), rng, RATE, 3.0, individual_semitones=0.0)
    assert wave.dtype == np.float32 and wave.shape == (3 * RATE,)
    assert np.isfinite(wave).all() and 0.1 < np.abs(wave).max() < 5
    hz, power = welch(wave, RATE, nperseg=1024)
    assert power[hz < 4000].sum() < 0.1 * power.sum()  # nothing folded back


def test_clips_are_finite_and_in_range():
    species, recordists = make_species(10, 0), make_recordists(10, 0)
    for index, (one, who) in enumerate(zip(species, recordists)):
        clip = focal_clip(one, np.random.default_rng(index), who, species, RATE, 2.0)
        assert clip.dtype == np.float32 and clip.shape == (2 * RATE,)
        assert np.isfinite(clip).all()
        assert PEAK[0] * 0.999 <= np.abs(clip).max() <= PEAK[1] * 1.001


def test_the_signal_to_noise_ratio_is_the_one_asked_for():
    # A tone through a plain microphone: power at the tone against all other power, measured in the clip.
    tone = np.sin(2 * np.pi * 4001 * np.arange(2 * RATE) / RATE).astype(np.float32)
    place = replace(make_recordists(1, 0)[0], slope=0.0, stream_db=0.0, hum=0.0, wet=0.0, rolloff_hz=1e6)
    for snr_db in (-5.0, 10.0):
        power = np.abs(np.fft.rfft(record(tone, place, np.random.default_rng(0), RATE, snr_db))) ** 2
        at = 4001 * 2  # 2-s clip: half-hertz bins
        assert 10 * np.log10(power[at] / (power.sum() - power[at])) == pytest.approx(snr_db, abs=0.3)


def test_a_silent_song_leaves_the_background():
    clip = record(np.zeros(RATE, np.float32), make_recordists(1, 0)[0], np.random.default_rng(0))
    assert np.isfinite(clip).all() and clip.std() > 0


def test_a_take_does_not_depend_on_the_others():
    species = make_species(3, 1)
    takes = plan(species, 4, 1)
    np.testing.assert_array_equal(make_clip(takes[-1], species), make_clip(plan(species, 4, 1)[-1], species))


def test_recordists_leak_between_random_folds_and_not_between_group_folds():
    # Background alone (the quietest tenth of each band) tells who recorded, and so, in random folds, which species.
    species = make_species(12, 4)
    takes = plan(species, 14, 4)
    background = []
    for take in takes:
        frames = make_clip(take, species, RATE, 3.0)[: 93 * 1024].reshape(93, 1024)
        background.append(np.log(np.quantile(np.abs(np.fft.rfft(frames)), 0.1, axis=0).reshape(-1, 27).mean(1)))
    x = np.array(background)
    x -= x.mean(axis=1, keepdims=True)  # not the loudness
    y, groups = [take.species.name for take in takes], [take.recordist.name for take in takes]
    knn = KNeighborsClassifier(1)
    random = cross_val_score(knn, x, y, cv=StratifiedKFold(5, shuffle=True, random_state=0)).mean()
    grouped = cross_val_score(knn, x, y, groups=groups, cv=StratifiedGroupKFold(5, shuffle=True, random_state=0)).mean()
    assert random > 2 * grouped
    assert grouped < 0.2
