"""Soundscapes of made-up animals: who can be heard where and when, the audio, and the truth about every window.

A site is a recorder that hangs in one place (a `Recordist` of `synthesis`): its background and echo are the same in all
its soundscapes, and only some animals live there. So sites leak between random folds, as they do in the field.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zlib import crc32

import numpy as np

from ..recordings.names import SoundscapeName
from .clips import Recordist, make_recordists, record
from .songs import INDIVIDUAL_SEMITONES, Species, generator, song
from .species import PREFIX, Taxon

WINDOW_S = 5
LIVES_THERE = 0.5  # share of the sites at which an animal lives
STRAY = 0.05  # weight of the others
DAY = 3.0  # concentration of an animal's activity around its hour (von Mises)
BOUT_S = 8.0  # one bout: up to four phrases
GAIN_DB = (-12.0, 0.0)  # of an animal, for its distance
SNR_DB = (0.0, 15.0)


@dataclass(frozen=True)
class Soundscape:
    """One soundscape to be made: its name (site and time), its recorder, who sings, the seed of everything else."""

    name: SoundscapeName
    recorder: Recordist
    singers: tuple[Taxon, ...]
    seed: tuple[int, ...]


@dataclass(frozen=True)
class Land:
    """The sites, and `lives` float [taxa, sites]: how readily each animal is met at each."""

    sites: tuple[Recordist, ...]
    fauna: tuple[Taxon, ...]
    lives: np.ndarray

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
        row[rng.permutation(n_sites)[: max(2, rng.binomial(n_sites, LIVES_THERE))]] = 1.0
    return Land(sites, tuple(fauna), lives)


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
        planned.append(Soundscape(name, recorder, singers, (seed, crc32(str(name).encode()))))
    return tuple(planned)


def make_soundscape(scape: Soundscape, sample_rate: int, duration_s: int) -> tuple[np.ndarray, np.ndarray]:
    """The audio, float32 [samples], and the seconds of song in every window, float [singers, windows].

    Needs no other soundscape, so they can be made in any order.
    """
    rng = np.random.default_rng(scape.seed)
    mix = np.zeros(duration_s * sample_rate, np.float32)
    seconds = np.zeros((len(scape.singers), duration_s // WINDOW_S))
    for row, taxon in zip(seconds, scape.singers):
        starts = np.sort(rng.uniform(0, max(duration_s - WINDOW_S, 1), rng.integers(2, 5)))
        sound = bouts(taxon.song, rng, starts, sample_rate, duration_s)
        row[:] = (np.abs(sound) > 1e-3).reshape(len(row), -1).sum(axis=1) / sample_rate
        mix += sound * np.float32(10 ** (rng.uniform(*GAIN_DB) / 20))
    return record(mix, scape.recorder, rng, sample_rate, rng.uniform(*SNR_DB)), seconds


def bouts(
    species: Species,
    rng: np.random.Generator,
    starts_s: Sequence[float] | np.ndarray,
    sample_rate: int,
    duration_s: float,
    individual_semitones: float | None = None,
) -> np.ndarray:
    """Songs of one individual that begin around `starts_s`, clean, float32 [samples], silent between."""
    if individual_semitones is None:
        individual_semitones = float(rng.normal(0, INDIVIDUAL_SEMITONES))
    out = np.zeros(round(duration_s * sample_rate), np.float32)
    for start in starts_s:
        at = round(start * sample_rate)
        sound = song(species, rng, sample_rate, min(BOUT_S, duration_s - start), individual_semitones)[: len(out) - at]
        out[at : at + len(sound)] += sound
    return out
