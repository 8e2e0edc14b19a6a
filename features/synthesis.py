"""Made-up species: seeded songs, and field recordings of them.

Nothing here is a bird. A species is a phrase of two to four syllables (whistle, sweep, trill, harmonic stack, buzz);
species come in families that share a phrase and differ a little in pitch, tempo and modulation, as congeners do. A
recordist is a place and a microphone: noise colour, hum, reverberation and distance, the same in every clip of one
recordist. So random folds leak what group folds do not, as with real collections. Everything follows from a seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np
import soundfile
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from features import InputError

KINDS = ("whistle", "sweep", "trill", "stack", "buzz")
LOWEST_HZ, HIGHEST_HZ = 800.0, 12000.0  # base frequencies of syllables
FAMILY_SIZE = 5  # species that share a phrase
INDIVIDUAL_SEMITONES = 0.8  # standard deviation of pitch between individuals of a species
CLIP_SEMITONES = 0.4  # and between phrases of one individual
SIBLING_SEMITONES = 3.0  # and between species of a family
SNR_DB = (-10.0, 15.0)  # song while it sounds, against the whole background
OTHERS_BELOW_DB = (3.0, 18.0)  # a second species in the background, below the focal one
PEAK = (0.05, 0.9)  # of a written clip
RECORDISTS_PER_SPECIES = 7  # so that five group folds always have enough groups


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


@dataclass(frozen=True)
class Recordist:
    """What all clips of one recordist share."""

    name: str
    slope: float  # background power falls as frequency ** -slope
    stream_hz: float  # centre of a broad hump in the background (water, leaves, insects)
    stream_db: float
    hum_hz: float  # mains or engine
    hum: float  # amplitude of its fundamental, relative to the background's RMS
    reverberation_s: float  # time to fall by 60 dB
    wet: float  # energy of the reverberation relative to the direct sound
    rolloff_hz: float  # air and leaves between bird and microphone
    seed: int


def _generator(seed: int, *names: str) -> np.random.Generator:
    """A generator that differs by seed and by every name: equal seeds under two prefixes share nothing."""
    return np.random.default_rng([seed, *(crc32(name.encode()) for name in names)])


def _octaves(rng: np.random.Generator, low: float, high: float) -> float:
    """Log-uniform draw between two frequencies, times or rates."""
    return float(low * (high / low) ** rng.random())


def _make_syllable(rng: np.random.Generator, pitch_hz: float) -> Syllable:
    kind = KINDS[rng.integers(len(KINDS))]
    low, high = {"trill": (0.25, 0.7), "buzz": (0.08, 0.4)}.get(kind, (0.06, 0.35))
    return Syllable(
        kind=kind,
        pitch_hz=float(np.clip(pitch_hz * 2 ** rng.normal(0, 0.3), LOWEST_HZ, HIGHEST_HZ)),
        span=float(rng.normal(0, 0.12 if kind in ("whistle", "buzz") else 0.5)),
        duration_s=_octaves(rng, low, high),
        gap_s=_octaves(rng, 0.02, 0.12),
        rate_hz=_octaves(rng, 9, 40),
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
        raise InputError(f"make_species: {n} species asked for, at least 1 wanted")
    species = []
    for index in range(n):
        family = index // FAMILY_SIZE
        shared = _generator(seed, prefix, f"family {family}")
        pitch_hz = _octaves(shared, 1.2 * LOWEST_HZ, 0.7 * HIGHEST_HZ)
        prototype = tuple(_make_syllable(shared, pitch_hz) for _ in range(shared.integers(2, 5)))
        own = _generator(seed, prefix, f"species {index}")
        species.append(
            Species(f"{prefix}_{index:03d}", family, _sibling(own, prototype, pitch_hz), _octaves(own, 0.15, 0.9))
        )
    return tuple(species)


def make_recordists(n: int, seed: int, prefix: str = "R") -> tuple[Recordist, ...]:
    """`n` recordists named `<prefix>000` and on."""
    recordists = []
    for index in range(n):
        rng = _generator(seed, prefix, f"recordist {index}")
        recordists.append(
            Recordist(
                name=f"{prefix}{index:03d}",
                slope=float(rng.uniform(0.0, 2.0)),
                stream_hz=_octaves(rng, 400, 9000),
                stream_db=float(rng.uniform(0, 18)),
                hum_hz=float(rng.choice([50, 60, 100, 120]) * rng.uniform(0.97, 1.03)),
                hum=float(rng.choice([0.0, 0.3, 1.0])),
                reverberation_s=_octaves(rng, 0.1, 0.8),
                wet=float(rng.uniform(0.05, 1.5)),
                rolloff_hz=_octaves(rng, 3000, 15000),
                seed=int(rng.integers(2**31)),
            )
        )
    return tuple(recordists)


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


def _sounding_power(wave: np.ndarray) -> float:
    """Mean power of the samples that are not silence."""
    active = np.abs(wave) > 1e-3
    return float(np.mean(np.square(wave[active]))) if active.any() else 0.0


def record(
    focal: np.ndarray,
    recordist: Recordist,
    rng: np.random.Generator,
    sample_rate: int = 32000,
    snr_db: float | None = None,
) -> np.ndarray:
    """A clean song as this recordist's microphone hears it: float32 [samples], peak drawn from `PEAK`.

    Filter, echo and background are made in the frequency domain, so a clip costs three transforms.
    """
    fixed = np.random.default_rng(recordist.seed)  # the place's echo, the same in each of its clips
    tail = int(recordist.reverberation_s * sample_rate)
    n = next_fast_len(len(focal) + tail, real=True)
    hz = rfftfreq(n, 1 / sample_rate).astype(np.float32)
    echo = fixed.standard_normal(tail, dtype=np.float32)
    echo *= np.exp(np.float32(-6.9 / tail) * np.arange(tail, dtype=np.float32))
    echo *= np.float32(np.sqrt(recordist.wet / np.sum(np.square(echo))))
    echo[0] += 1
    distance = np.float32(recordist.rolloff_hz * 2 ** rng.normal(0, 0.25))
    spectrum = rfft(focal, n) * rfft(echo, n) / (1 + np.square(hz / distance))
    heard = irfft(spectrum, n)[: len(focal)]

    shape = np.maximum(hz, 100) ** np.float32(-recordist.slope / 2) * np.minimum(1, hz / 80)
    hump = np.exp(-2 * np.square(np.log2(np.maximum(hz, 1) / np.float32(recordist.stream_hz))))
    shape = shape * (1 + np.float32(10 ** (recordist.stream_db / 20) - 1) * hump)
    normal = rng.standard_normal(2 * len(hz), dtype=np.float32).view(np.complex64)
    noise = irfft(normal * shape, n)[: len(focal)]
    noise /= np.float32(np.sqrt(np.mean(np.square(noise))))
    if recordist.hum:
        t = np.arange(len(focal), dtype=np.float32) / np.float32(sample_rate)
        base = np.float32(2 * np.pi * recordist.hum_hz) * t
        noise += np.float32(recordist.hum) * (np.sin(base) + 0.5 * np.sin(3 * base) + 0.25 * np.sin(5 * base))

    snr_db = rng.uniform(*SNR_DB) if snr_db is None else snr_db
    power = _sounding_power(heard)
    if power > 0:
        noise *= np.float32(np.sqrt(power / np.mean(np.square(noise)) / 10 ** (snr_db / 10)))
    clip = heard + noise
    return (clip * np.float32(_octaves(rng, *PEAK) / np.max(np.abs(clip)))).astype(np.float32)


def focal_clip(
    species: Species,
    rng: np.random.Generator,
    recordist: Recordist,
    others: Sequence[Species] = (),
    sample_rate: int = 32000,
    duration_s: float = 5.0,
    individual_semitones: float | None = None,
    snr_db: float | None = None,
) -> np.ndarray:
    """A field recording of one species, float32 [samples]; half the clips have one of `others` quietly behind."""
    sound = song(species, rng, sample_rate, duration_s, individual_semitones)
    others = [other for other in others if other.name != species.name]
    if others and rng.random() < 0.5:
        behind = song(others[rng.integers(len(others))], rng, sample_rate, duration_s)
        sound = sound + behind * np.float32(10 ** (-rng.uniform(*OTHERS_BELOW_DB) / 20))
    return record(sound, recordist, rng, sample_rate, snr_db)


@dataclass(frozen=True)
class Take:
    """One clip to be made: which species, by whom, the individual's pitch, the seed of everything else."""

    species: Species
    recordist: Recordist
    number: int  # counts the recordist's clips
    individual_semitones: float
    seed: tuple[int, ...]

    @property
    def file_name(self) -> str:
        return f"{self.recordist.name}-{self.number}"


def plan(
    species: Sequence[Species],
    clips_per_species: int,
    seed: int,
    prefix: str = "R",
    recordists_per_species: int = RECORDISTS_PER_SPECIES,
) -> tuple[Take, ...]:
    """Who records what: a pool of three recordists for each species, of whom each species meets a few at random.

    One recordist meets one individual of a species, so its clips share pitch as well as background.
    """
    pool = make_recordists(max(recordists_per_species, 3 * len(species)), seed, prefix)
    counts = dict.fromkeys(pool, 0)
    takes = []
    for one in species:
        rng = _generator(seed, prefix, one.name)
        chosen = rng.choice(len(pool), recordists_per_species, replace=False)
        semitones = rng.normal(0, INDIVIDUAL_SEMITONES, recordists_per_species)
        for clip in range(clips_per_species):
            which = clip % recordists_per_species
            recordist = pool[chosen[which]]
            clip_seed = (seed, crc32(prefix.encode()), crc32(one.name.encode()), clip)
            takes.append(Take(one, recordist, counts[recordist], float(semitones[which]), clip_seed))
            counts[recordist] += 1
    return tuple(takes)


def make_clip(take: Take, others: Sequence[Species], sample_rate: int = 32000, duration_s: float = 5.0) -> np.ndarray:
    """The audio of a planned clip, float32 [samples]. Needs no other clip, so clips can be made in any order."""
    rng = np.random.default_rng(take.seed)
    return focal_clip(take.species, rng, take.recordist, others, sample_rate, duration_s, take.individual_semitones)


def write_dataset(
    folder: Path,
    n_species: int,
    clips_per_species: int,
    seed: int,
    sample_rate: int = 32000,
    duration_s: float = 5.0,
    prefix: str = "species",
) -> Path:
    """Class folders of 16-bit FLAC, `<species>/R012-3.flac`; the group (recordist) matches `^(R\\d+)-`.

    The same arguments give the same bytes. InputError when the folder already holds something.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: the folder is not empty, an empty or new one wanted. Written before?")
    species = make_species(n_species, seed, prefix)
    for take in plan(species, clips_per_species, seed):
        clip = make_clip(take, species, sample_rate, duration_s)
        path = folder / take.species.name / f"{take.file_name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.round(clip * 32767).astype(np.int16), sample_rate, subtype="PCM_16")
    return folder
