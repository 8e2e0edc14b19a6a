"""Focal recordings of made-up animals: who recorded whom, the audio, and their rows of a BirdCLEF+ train.csv."""

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from .clips import OTHERS_BELOW_DB, RECORDISTS_PER_SPECIES, Recordist, make_recordists, record
from .songs import INDIVIDUAL_SEMITONES, generator, log_uniform
from .soundscapes import bouts
from .species import PREFIX, Taxon

COLUMNS = (
    *("primary_label", "secondary_labels", "type", "latitude", "longitude", "scientific_name", "common_name"),
    *("class_name", "inat_taxon_id", "author", "license", "rating", "url", "filename", "collection"),
)
BEHIND, NAMED = 0.4, 0.8  # share of clips with a second animal behind, and of those whose row says so
FIRST_ID = 9_000_000  # of a recording, in either collection


@dataclass(frozen=True)
class Focal:
    """One focal clip to be made: its animal, who recorded it, who sings behind, the individual's pitch, its row."""

    taxon: Taxon
    author: Recordist
    behind: Taxon | None
    semitones: float
    duration_s: float
    seed: tuple[int, ...]
    row: dict[str, str]


def plan_focals(
    fauna: Sequence[Taxon], per_species: int, duration_s: tuple[float, float], seed: int
) -> tuple[Focal, ...]:
    """`per_species` clips of every animal that has focal recordings, between `duration_s` long (log-uniform).

    A pool of authors as in `synthesis.plan`: each animal meets seven of them, and one author meets one individual.
    """
    recorded = [taxon for taxon in fauna if taxon.focal]
    pool = make_recordists(max(RECORDISTS_PER_SPECIES, 3 * len(recorded)), seed, f"{PREFIX} author ")
    focals: list[Focal] = []
    for taxon in recorded:
        rng = generator(seed, PREFIX, f"focals of {taxon.label}")
        authors = rng.choice(len(pool), RECORDISTS_PER_SPECIES, replace=False)
        semitones = rng.normal(0, INDIVIDUAL_SEMITONES, RECORDISTS_PER_SPECIES)
        for clip in range(per_species):
            which = clip % RECORDISTS_PER_SPECIES
            author, behind = pool[authors[which]], recorded[rng.integers(len(recorded))]
            if behind is taxon or rng.random() > BEHIND:
                behind = None
            row = _row(taxon, behind if rng.random() < NAMED else None, author, FIRST_ID + len(focals), rng)
            seconds = round(log_uniform(rng, *duration_s), 2)
            clip_seed = (seed, crc32(PREFIX.encode()), crc32(taxon.label.encode()), clip)
            focals.append(Focal(taxon, author, behind, float(semitones[which]), seconds, clip_seed, row))
    return tuple(focals)


def _row(
    taxon: Taxon, secondary: Taxon | None, author: Recordist, number: int, rng: np.random.Generator
) -> dict[str, str]:
    """Lists are written as Python lists, with the odd space that the real table has."""
    collection = "XC" if rng.random() < 0.7 else "iNat"
    name = f"{collection}{number}"
    values = (
        *(taxon.label, str([secondary.label] if secondary else [])),
        str([[], ["song"], ["call"], ["call", " song"]][rng.integers(4)]),
        *(f"{rng.uniform(-22, -16):.4f}", f"{rng.uniform(-60, -55):.4f}"),
        *(taxon.scientific_name, taxon.common_name, taxon.class_name, taxon.inat_taxon_id),
        *(author.name.removeprefix(f"{PREFIX} ").capitalize(), "made up, CC0 1.0"),
        str(rng.integers(2, 11) / 2) if collection == "XC" else "0.0",
        *(f"https://example.org/{name}", f"{taxon.label}/{name}.ogg", collection),
    )
    return dict(zip(COLUMNS, values, strict=True))


def make_focal(focal: Focal, sample_rate: int) -> np.ndarray:
    """The audio of a planned clip, float32 [samples]: bouts with pauses, so some windows have no song in them."""
    rng = np.random.default_rng(focal.seed)
    starts = [0.0]
    while (start := starts[-1] + rng.uniform(5, 12)) < focal.duration_s - 1:
        starts.append(start)
    sound = bouts(focal.taxon.song, rng, starts, sample_rate, focal.duration_s, focal.semitones)
    if focal.behind:
        begin = [rng.uniform(0, 0.5) * focal.duration_s]
        behind = bouts(focal.behind.song, rng, begin, sample_rate, focal.duration_s)
        sound += behind * np.float32(10 ** (-rng.uniform(*OTHERS_BELOW_DB) / 20))
    return record(sound, focal.author, rng, sample_rate)
