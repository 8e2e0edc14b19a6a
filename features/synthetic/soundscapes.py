"""Soundscapes of made-up animals: who can be heard where and when, the audio, and the truth about every window.

A site is a recorder in one place (a `Recordist` of `clips`): background, echo, level and how far the animals are from
it are the same in all its soundscapes. It lies in a habitat, and most of a habitat's animals live at each of its sites.
So sites leak between random folds and differ from one another, as they do in the field.

An animal sings in bouts that go on for several windows, then pauses; within a bout some windows are faint (it turns
away, wind) and count as heard all the same. So the neighbours of a window, its site and its hour tell what the window
alone may not: what a head over the sequence of windows can gain, and can learn by heart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zlib import crc32

import numpy as np

from ..recordings.names import SoundscapeName
from .clips import Recordist, make_recordists, record
from .songs import INDIVIDUAL_SEMITONES, Species, generator, log_uniform, song
from .species import PREFIX, Taxon

WINDOW_S = 5
HABITATS = 2  # in turn along the sites; an animal belongs to one
LIVES_THERE, LIVES_ELSEWHERE = 0.8, 0.2  # share of the sites of its habitat, and of the others, at which it lives
STRAY = 0.05  # weight of sites at which it does not
DAY = 5.0  # concentration of an animal's activity around its hour (von Mises)
SONG_S, BOUT_SONG_S = 8.0, 6.0  # at most, of up to four phrases: alone, and within a bout
BOUT_S, PAUSE_S = (10.0, 25.0), (15.0, 45.0)  # singing, and silence between (log-uniform)
FAINT, FAINT_DB = 0.25, -20.0  # share of windows in which an animal that sings is hardly heard
GAIN_DB = (-12.0, 0.0)  # of an animal, for its distance
SITE_SNR_DB, SNR_DB = (0.0, 12.0), (-2.0, 3.0)  # of a site, and of a soundscape around it
SITE_PEAK = (0.08, 0.6)  # level of a site's recorder: the peak of its files


@dataclass(frozen=True)
class Soundscape:
    """One soundscape to be made: its name (site and time), its recorder, who sings, the seed of everything else.

    snr_db: of song against background. peak: highest sample, 0 to 1.
    """

    name: SoundscapeName
    recorder: Recordist
    singers: tuple[Taxon, ...]
    seed: tuple[int, ...]
    snr_db: float = 10.0
    peak: float = 0.3


@dataclass(frozen=True)
class Land:
    """The sites with their signal-to-noise ratios (dB) and peak levels, and `lives` float [taxa, sites]: how readily
    each animal is met at each."""

    sites: tuple[Recordist, ...]
    fauna: tuple[Taxon, ...]
    lives: np.ndarray
    snr_db: np.ndarray
    peaks: np.ndarray

    def weight(self, site: int, hour: float) -> np.ndarray:
        """float [taxa]: relative chance to hear each animal at this site and hour of the day."""
        peaks = np.array([taxon.peak_hour for taxon in self.fauna])
        awake = 0.03 + np.exp(DAY * (np.cos((hour - peaks) * np.pi / 12) - 1))
        return self.lives[:, site] * awake


def make_land(fauna: Sequence[Taxon], n_sites: int, seed: int) -> Land:
    """`n_sites` sites S01 and on. Every animal lives at two of them or more, where there are as many."""
    recorders = make_recordists(n_sites, seed, f"{PREFIX} site ")
    sites = tuple(replace(recorder, name=f"S{i:02d}") for i, recorder in enumerate(recorders, 1))
    lives = np.full((len(fauna), n_sites), STRAY)
    for row, taxon in zip(lives, fauna):
        rng = generator(seed, PREFIX, f"home of {taxon.label}")
        at_home = np.arange(n_sites) % HABITATS == rng.integers(HABITATS)
        drawn = rng.random(n_sites) / np.where(at_home, LIVES_THERE, LIVES_ELSEWHERE)
        row[drawn <= max(1.0, np.sort(drawn)[:2][-1])] = 1.0
    rng = generator(seed, PREFIX, "levels")
    return Land(sites, tuple(fauna), lives, rng.uniform(*SITE_SNR_DB, n_sites), _spread(rng, SITE_PEAK, n_sites))


def _spread(rng: np.random.Generator, between: tuple[float, float], n: int) -> np.ndarray:
    """`n` log-uniform draws, one from each of `n` equal parts, shuffled: few sites differ as much as many."""
    low, high = between
    return low * (high / low) ** rng.permutation((np.arange(n) + rng.random(n)) / n)


def plan_soundscapes(
    land: Land, split: str, n: int, seed: int, *, heard: np.ndarray, shares: np.ndarray, first: int = 1, times: int = 1
) -> tuple[Soundscape, ...]:
    """`n` soundscapes of a split (Train or Test), numbered from `first`.

    heard: bool [taxa], which animals occur at all; each does so in `times` soundscapes or more, at different sites if
    it can. shares: float [sites], summing to 1: where the recorders hung most.
    """
    rng = generator(seed, PREFIX, f"{split} {first}")
    open_sites = np.flatnonzero(shares)
    where = np.r_[open_sites, rng.choice(len(shares), n, p=shares)][:n]  # every open site once, if n suffices
    hours = rng.choice([4, 5, 6, 7, 8, 9, 18, 19, 20, 21, 22, 23], n)
    weights = np.stack([land.weight(site, hour) for site, hour in zip(where, hours)], axis=1) * heard[:, None]
    singing = np.zeros(weights.shape, bool)  # [taxa, soundscapes]
    for _ in range(times):
        for animal in rng.permutation(np.flatnonzero(heard)):
            visited = np.isin(where, where[singing[animal]])
            fit = weights[animal] * 0.3 ** singing.sum(axis=0) * np.where(visited, 1e-3, 1.0)
            singing[animal, np.where(singing[animal], -1.0, fit).argmax()] = True
    for column, weight in zip(singing.T, weights.T):
        chance = np.where(column, 0.0, weight)
        more = min(rng.integers(1, 4), np.count_nonzero(chance))
        column[rng.choice(len(column), more, replace=False, p=chance / chance.sum() if more else None)] = True
    planned = []
    begin = datetime(2026, 5 if split == "Train" else 6, 1)
    for i in range(n):
        begun = begin + timedelta(days=int(rng.integers(28)), hours=int(hours[i]), minutes=int(rng.integers(4) * 15))
        recorder = land.sites[where[i]]
        name = SoundscapeName("BC2026", split, first + i, recorder.name, begun)
        singers = tuple(land.fauna[k] for k in np.flatnonzero(singing[:, i]))
        snr_db = float(land.snr_db[where[i]] + rng.uniform(*SNR_DB))
        numbers = (seed, crc32(str(name).encode()))
        planned.append(Soundscape(name, recorder, singers, numbers, snr_db, float(land.peaks[where[i]])))
    return tuple(planned)


def make_soundscape(scape: Soundscape, sample_rate: int, duration_s: int) -> tuple[np.ndarray, np.ndarray]:
    """The audio, float32 [samples], and the seconds of song in every window, float [singers, windows].

    Needs no other soundscape, so they can be made in any order.
    """
    rng = np.random.default_rng(scape.seed)
    mix = np.zeros(duration_s * sample_rate, np.float32)
    seconds = np.zeros((len(scape.singers), duration_s // WINDOW_S))
    for row, taxon in zip(seconds, scape.singers):
        sound = bouts(taxon.song, rng, _song_starts(rng, duration_s), sample_rate, duration_s, song_s=BOUT_SONG_S)
        row[:] = (np.abs(sound) > 1e-3).reshape(len(row), -1).sum(axis=1) / sample_rate
        level = 10 ** ((rng.uniform(*GAIN_DB) + FAINT_DB * (rng.random(len(row)) < FAINT)) / 20)
        mix += sound * _envelope(level, sample_rate)
    wave = record(mix, scape.recorder, rng, sample_rate, scape.snr_db)
    return wave * np.float32(scape.peak / np.abs(wave).max()), seconds


def _envelope(levels: np.ndarray, sample_rate: int) -> np.ndarray:
    """float32 [samples]: the level of each window, passing into the next within 0.2 s."""
    edges = WINDOW_S * np.arange(len(levels) + 1)[:, None] + np.array([-0.1, 0.1])
    seconds = np.arange(len(levels) * WINDOW_S * sample_rate) / sample_rate
    return np.interp(seconds, edges.ravel()[1:-1], np.repeat(levels, 2)).astype(np.float32)


def _song_starts(rng: np.random.Generator, duration_s: float) -> list[float]:
    """When the songs of one animal begin: one after another through a bout, then a pause, and so on.

    The first bout may have begun before the recording, and at least `WINDOW_S` of it lie within.
    """
    starts: list[float] = []
    long = log_uniform(rng, *BOUT_S)
    at = rng.uniform(WINDOW_S - long, duration_s - WINDOW_S)
    while at < duration_s - 1:
        starts += np.arange(max(at, 0), min(at + long, duration_s - 1), WINDOW_S).tolist()
        at += long + log_uniform(rng, *PAUSE_S)
        long = log_uniform(rng, *BOUT_S)
    return starts


def bouts(
    species: Species,
    rng: np.random.Generator,
    starts_s: Sequence[float] | np.ndarray,
    sample_rate: int,
    duration_s: float,
    individual_semitones: float | None = None,
    song_s: float = SONG_S,
) -> np.ndarray:
    """Songs of one individual that begin around `starts_s`, clean, float32 [samples], silent between."""
    if individual_semitones is None:
        individual_semitones = float(rng.normal(0, INDIVIDUAL_SEMITONES))
    out = np.zeros(round(duration_s * sample_rate), np.float32)
    for start in starts_s:
        at = round(start * sample_rate)
        sound = song(species, rng, sample_rate, min(song_s, duration_s - start), individual_semitones)[: len(out) - at]
        out[at : at + len(sound)] += sound
    return out
