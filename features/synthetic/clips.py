"""Field recordings of made-up species, and whole data sets of them; everything follows from a seed.

A recordist is a place and a microphone: noise colour, hum, reverberation and distance, the same in every clip of one
recordist. So random folds leak what group folds do not, as with real collections.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import soundfile
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from .. import InputError
from ..progress import Progress
from ..schema import checked
from .songs import INDIVIDUAL_SEMITONES, Species, generator, log_uniform, make_species, song

RATE = 32_000  # Hz of a written clip
SNR_DB = (-10.0, 15.0)  # song while it sounds, against the whole background
OTHERS_BELOW_DB = (3.0, 18.0)  # a second species in the background, below the focal one
PEAK = (0.05, 0.9)  # of a written clip
RECORDISTS_PER_SPECIES = 7  # so that five group folds always have enough groups


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


def make_recordists(n: int, seed: int, prefix: str = "R") -> tuple[Recordist, ...]:
    """`n` recordists named `<prefix>000` and on."""
    recordists = []
    for index in range(n):
        rng = generator(seed, prefix, f"recordist {index}")
        recordists.append(
            Recordist(
                name=f"{prefix}{index:03d}",
                slope=float(rng.uniform(0.0, 2.0)),
                stream_hz=log_uniform(rng, 400, 9000),
                stream_db=float(rng.uniform(0, 18)),
                hum_hz=float(rng.choice([50, 60, 100, 120]) * rng.uniform(0.97, 1.03)),
                hum=float(rng.choice([0.0, 0.3, 1.0])),
                reverberation_s=log_uniform(rng, 0.1, 0.8),
                wet=float(rng.uniform(0.05, 1.5)),
                rolloff_hz=log_uniform(rng, 3000, 15000),
                seed=int(rng.integers(2**31)),
            )
        )
    return tuple(recordists)


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
    return (clip * np.float32(log_uniform(rng, *PEAK) / np.max(np.abs(clip)))).astype(np.float32)


def focal_clip(
    species: Species,
    rng: np.random.Generator,
    recordist: Recordist,
    others: Sequence[Species] = (),
    sample_rate: int = 32000,
    duration_s: float = 5.0,
    individual_semitones: float | None = None,
) -> np.ndarray:
    """A field recording of one species, float32 [samples]; half the clips have one of `others` quietly behind."""
    sound = song(species, rng, sample_rate, duration_s, individual_semitones)
    others = [other for other in others if other.name != species.name]
    if others and rng.random() < 0.5:
        behind = song(others[rng.integers(len(others))], rng, sample_rate, duration_s)
        sound = sound + behind * np.float32(10 ** (-rng.uniform(*OTHERS_BELOW_DB) / 20))
    return record(sound, recordist, rng, sample_rate)


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
        rng = generator(seed, prefix, one.name)
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


@checked
def write_dataset(
    folder: Path | str, n_species: int, clips_per_species: int, seed: int, duration_s: float = 5.0
) -> Path:
    """Write made-up birds to try things on: class folders of 16-bit FLAC, `<species>/R012-3.flac`.

    The same arguments give the same bytes.

    Args:
        folder: the folder to write.
        n_species, clips_per_species: how many.
        seed: of every random choice.
        duration_s: seconds of a clip.

    Returns:
        The folder. Clips of one made-up recordist belong together, `group_regex=r"^(R\\d+)-"`.

    Raises:
        InputError: the folder already holds something.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: the folder is not empty, expected an empty or new one. Written before?")
    species = make_species(n_species, seed)
    takes = plan(species, clips_per_species, seed)
    with Progress("making", len(takes), "clips") as bar:
        for take in takes:
            clip = make_clip(take, species, RATE, duration_s)
            path = folder / take.species.name / f"{take.file_name}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.round(clip * 32767).astype(np.int16), RATE, subtype="PCM_16")
            bar.advance()
    return folder
