"""Made-up species and their songs.

Nothing here is a bird. A species is a phrase of two to four syllables (whistle, sweep, trill, harmonic stack, buzz);
species come in families that share a phrase and differ a little in pitch, tempo and modulation, as congeners do.
"""

from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from .. import InputError

KINDS = ("whistle", "sweep", "trill", "stack", "buzz")
LOWEST_HZ, HIGHEST_HZ = 800.0, 12000.0  # base frequencies of syllables
FAMILY_SIZE = 5  # species that share a phrase
SIBLING_SEMITONES = 3.0  # standard deviation of pitch between species of a family
INDIVIDUAL_SEMITONES = 0.8  # and between individuals of a species
CLIP_SEMITONES = 0.4  # and between phrases of one individual


@dataclass(frozen=True)
class Syllable:
    """One sound of a phrase. `span` is the octaves from its start to its end, `rate_hz` the notes or beats a second,
    `depth` the strength of that modulation (0..1), `brightness` the amplitude ratio of successive harmonics."""

    kind: str
    pitch_hz: float
    span: float
    duration_s: float
    gap_s: float  # silence after it
    rate_hz: float
    depth: float
    brightness: float


@dataclass(frozen=True)
class Species:
    """A made-up species: its phrase and the pause between phrases in seconds."""

    name: str
    family: int
    syllables: tuple[Syllable, ...]
    pause_s: float


def generator(seed: int, *names: str) -> np.random.Generator:
    """A generator that differs by seed and by every name: equal seeds under two prefixes share nothing."""
    return np.random.default_rng([seed, *(crc32(name.encode()) for name in names)])


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Log-uniform draw between two frequencies, times or rates."""
    return float(low * (high / low) ** rng.random())


def _make_syllable(rng: np.random.Generator, pitch_hz: float) -> Syllable:
    kind = KINDS[rng.integers(len(KINDS))]
    low, high = {"trill": (0.25, 0.7), "buzz": (0.08, 0.4)}.get(kind, (0.06, 0.35))
    return Syllable(
        kind=kind,
        pitch_hz=float(np.clip(pitch_hz * 2 ** rng.normal(0, 0.3), LOWEST_HZ, HIGHEST_HZ)),
        span=float(rng.normal(0, 0.12 if kind in ("whistle", "buzz") else 0.5)),
        duration_s=log_uniform(rng, low, high),
        gap_s=log_uniform(rng, 0.02, 0.12),
        rate_hz=log_uniform(rng, 9, 40),
        depth=float(rng.uniform(0.2, 1.0)),
        brightness=float(rng.uniform(0.4, 0.9)) if kind == "stack" else float(rng.uniform(0.02, 0.25)),
    )


def _sibling(rng: np.random.Generator, prototype: tuple[Syllable, ...], pitch_hz: float) -> tuple[Syllable, ...]:
    """A species of the family: the shared phrase, transposed, at another tempo, now and then a syllable changed."""
    shift, tempo, rate = rng.normal(0, SIBLING_SEMITONES) / 12, 2 ** rng.normal(0, 0.25), 2 ** rng.normal(0, 0.3)
    phrase = [
        replace(
            syllable,
            pitch_hz=float(np.clip(syllable.pitch_hz * 2 ** (shift + rng.normal(0, 0.08)), LOWEST_HZ, HIGHEST_HZ)),
            span=syllable.span + float(rng.normal(0, 0.12)),
            duration_s=syllable.duration_s * tempo * 2 ** float(rng.normal(0, 0.15)),
            gap_s=syllable.gap_s * tempo,
            rate_hz=syllable.rate_hz * rate,
            depth=float(np.clip(syllable.depth + rng.normal(0, 0.15), 0.1, 1.0)),
        )
        for syllable in prototype
    ]
    if rng.random() < 0.35:
        phrase[rng.integers(len(phrase))] = _make_syllable(rng, pitch_hz * 2**shift)
    return tuple(phrase)


def make_species(n: int, seed: int, prefix: str = "species") -> tuple[Species, ...]:
    """`n` species in families of `FAMILY_SIZE`, named `<prefix>_000` and on. Seed and prefix together decide them."""
    if n < 1:
        raise InputError(f"make_species: n must be at least 1, got {n}.")
    species = []
    for index in range(n):
        family = index // FAMILY_SIZE
        shared = generator(seed, prefix, f"family {family}")
        pitch_hz = log_uniform(shared, 1.2 * LOWEST_HZ, 0.7 * HIGHEST_HZ)
        prototype = tuple(_make_syllable(shared, pitch_hz) for _ in range(shared.integers(2, 5)))
        own = generator(seed, prefix, f"species {index}")
        species.append(
            Species(f"{prefix}_{index:03d}", family, _sibling(own, prototype, pitch_hz), log_uniform(own, 0.15, 0.9))
        )
    return tuple(species)


def _render(syllable: Syllable, rng: np.random.Generator, sample_rate: int, pitch: float, tempo: float) -> np.ndarray:
    """One syllable as float32 [samples], peak about 1; `pitch` and `tempo` are this rendition's factors."""
    n = max(8, int(syllable.duration_s * tempo * sample_rate))
    t = np.arange(n, dtype=np.float32) / np.float32(sample_rate)
    u = t / t[-1]
    beat = np.float32(2 * np.pi * syllable.rate_hz / tempo) * t + np.float32(rng.uniform(0, 2 * np.pi))
    octaves = np.float32(syllable.span) * (u - 0.5)
    envelope = np.minimum(1, np.minimum(u, 1 - u) * np.float32(rng.uniform(5, 12)))
    if syllable.kind == "trill":  # notes: each falls (or rises) and fades within one beat
        within = (beat / np.float32(2 * np.pi)) % 1
        octaves = octaves * 0.3 + np.float32(syllable.span) * (within - 0.5)
        envelope = envelope * (1 - np.float32(syllable.depth) * within) * np.minimum(1, within * 12)
    elif syllable.kind == "whistle":
        octaves = octaves + np.float32(0.04 * syllable.depth) * np.sin(beat)
    elif syllable.kind in ("stack", "buzz"):
        envelope = envelope * (1 - np.float32(0.45 * syllable.depth) * (1 + np.sin(beat)))
    frequency = np.float32(pitch * syllable.pitch_hz) * np.exp2(octaves)
    phase = np.cumsum(frequency * np.float32(2 * np.pi / sample_rate), dtype=np.float64)
    if syllable.kind == "buzz":  # a phase that wanders widens the line into a band
        phase = phase + np.cumsum(rng.standard_normal(n, dtype=np.float32)) * np.float32(0.15 + 0.35 * syllable.depth)
    phase = (phase % (2 * np.pi)).astype(np.float32)
    sound = np.sin(phase)
    for harmonic in range(2, 7):
        amplitude = syllable.brightness ** (harmonic - 1)
        if amplitude < 0.01 or harmonic * frequency.max() > 0.47 * sample_rate:
            break
        sound += np.float32(amplitude) * np.sin(np.float32(harmonic) * phase)
    return sound * envelope


def song(
    species: Species,
    rng: np.random.Generator,
    sample_rate: int = 32000,
    duration_s: float = 5.0,
    individual_semitones: float | None = None,
) -> np.ndarray:
    """A clean song, float32 [samples], peak at most about 1.5, silent between phrases.

    Varies from call to call: individual pitch (given, or drawn), tempo, phrases, dropped syllables, onset, loudness.
    """
    samples = round(duration_s * sample_rate)
    out = np.zeros(samples, np.float32)
    if individual_semitones is None:
        individual_semitones = float(rng.normal(0, INDIVIDUAL_SEMITONES))
    tempo = 2 ** float(rng.normal(0, 0.15))
    at = rng.uniform(0, 0.5 * duration_s)
    for _ in range(rng.integers(1, 5)):
        pitch = 2 ** ((individual_semitones + float(rng.normal(0, CLIP_SEMITONES))) / 12)
        loudness = 10 ** (rng.uniform(-8, 0) / 20)
        last = len(species.syllables) - int(rng.random() < 0.2)  # some phrases break off
        for syllable in species.syllables[: max(1, last)]:
            start = int(at * sample_rate)
            if start >= samples:
                return out
            if rng.random() > 0.12:
                sound = _render(syllable, rng, sample_rate, pitch, tempo * 2 ** float(rng.normal(0, 0.08)))
                sound = sound[: samples - start] * np.float32(loudness * 10 ** (rng.uniform(-5, 0) / 20))
                out[start : start + len(sound)] += sound
            at += (syllable.duration_s + syllable.gap_s) * tempo
        at += species.pause_s * tempo * rng.uniform(0.6, 1.8)
    return out
