"""The animals of a made-up competition: labels, names and classes as in a BirdCLEF+ taxonomy, songs from `songs`.

A genus is a family of songs, so congeners sound alike; the sonotypes of a pair even have one song, and only where and
when they sing tells them apart. Nothing here exists in nature, sounds and names included.
"""

from dataclasses import dataclass, replace

import numpy as np

from .. import InputError
from .songs import Species, generator, make_species

PREFIX = "competition"  # of every seed name: no song is shared with the demo's or Wren's species
INSECTA_ID = "47158"  # sonotypes: insects told apart by sound alone, numbered below the class's id
GENUS_SIZES = (1, 3, 2, 4)  # in turn
SMALLEST, LARGEST = 6, 250

HEADS = ("Sib", "Tib", "Trem", "Camp", "Sus", "Fist", "Strid", "Tint", "Cant", "Mur", "Rav", "Zinz")
MIDDLES = ("il", "ul", "in", "an", "or", "ar", "el", "ol", "ic", "ad", "ev", "ur")
EPITHETS = ("fictus", "vanus", "imaginarius", "nullus")
ENDINGS = {"Aves": "ornis", "Amphibia": "hyla", "Mammalia": "mys"}
NOUNS = {
    "Aves": "Whistler,Piper,Triller,Chimer,Buzzer,Fluter,Creaker,Tinkler,Droner,Rattler,Hummer,Warbleling",
    "Amphibia": "Frogling,Toadling",
    "Mammalia": "Squeakling",
}
ADJECTIVES = (
    "Amber,Brazen,Crooked,Dusky,Early,Feigned,Glassy,Hollow,Idle,Jagged,Keen,Likely,Mild,Nimble,Orderly,Paper,Quiet,"
    "Rustic,Silken,Tin,Unlikely,Velvet,Woolly,Yearling"
)


@dataclass(frozen=True)
class Taxon:
    """A row of taxonomy.csv, and the song that goes with it (named by the label)."""

    label: str
    inat_taxon_id: str
    scientific_name: str
    common_name: str
    class_name: str
    song: Species
    peak_hour: float  # of the day, when it sings most
    focal: bool  # whether anybody ever recorded it on purpose; sonotypes are known from soundscapes alone
    sonotype_group: str = ""  # those of one group sound the same

    @property
    def genus(self) -> str:
        return self.scientific_name.split()[0]


def make_fauna(n: int, seed: int) -> tuple[Taxon, ...]:
    """`n` taxa in the order of the columns, which is no alphabetical one. InputError outside 6 to 250.

    About an eighth are insect sonotypes (`47158son01`; two and two share a song), a sixth frogs and one a mammal, whose
    labels are numbers, the rest birds (six-letter codes and a digit). Sonotypes and the last frog have no focal clips.
    """
    if not SMALLEST <= n <= LARGEST:
        raise InputError(f"a made-up competition must have {SMALLEST} to {LARGEST} species, got {n}.")
    sonotypes, frogs, mammals = max(2, n // 8), max(1, n // 6), int(n >= 10)
    taxa = _genera("Aves", n - sonotypes - frogs - mammals, seed)
    taxa += _genera("Amphibia", frogs, seed)
    taxa[-1] = replace(taxa[-1], focal=False)
    taxa += _genera("Mammalia", mammals, seed) + _sonotypes(sonotypes, seed)
    return tuple(taxa[i] for i in generator(seed, PREFIX, "order").permutation(n))


def _genera(class_name: str, n: int, seed: int) -> list[Taxon]:
    rng = generator(seed, PREFIX, class_name)
    nouns, adjectives = NOUNS[class_name].split(","), ADJECTIVES.split(",")
    # Five and seven digits, which sort differently as text and as numbers; the remainder keeps the classes apart.
    short, long = (
        rng.choice(span, n, replace=False) for span in (np.arange(30_000, 33_000), np.arange(400_000, 600_000))
    )
    numbers = len(ENDINGS) * np.r_[short[: n // 2], long[n // 2 :]] + list(ENDINGS).index(class_name)
    taxa: list[Taxon] = []
    genus, used = 0, dict.fromkeys(nouns, 0)
    stems = rng.permutation(len(HEADS) * len(MIDDLES))
    while len(taxa) < n:
        stem = HEADS[stems[genus] // len(MIDDLES)] + MIDDLES[stems[genus] % len(MIDDLES)]
        noun = nouns[genus % len(nouns)]
        size = min(GENUS_SIZES[genus % len(GENUS_SIZES)], n - len(taxa))
        for song, epithet in zip(make_species(size, seed, f"{PREFIX} {class_name} {genus}"), EPITHETS):
            number = str(numbers[len(taxa)])
            adjective, again = adjectives[used[noun] % len(adjectives)], used[noun] // len(adjectives)
            used[noun] += 1
            label = f"{adjective[:3]}{noun[:3]}{again + 1}".lower() if class_name == "Aves" else number
            common = f"{adjective} {noun}" + f" {again + 1}" * bool(again)
            scientific = f"{stem}{ENDINGS[class_name]} {epithet}"
            song, hour = replace(song, name=label), _hour(rng, class_name)
            taxa.append(Taxon(label, number, scientific, common, class_name, song, hour, focal=True))
        genus += 1
    return taxa


def _sonotypes(n: int, seed: int) -> list[Taxon]:
    """Pairs that share a song are a group each; the last of an odd number is alone."""
    rng = generator(seed, PREFIX, "Insecta")
    songs = make_species((n + 1) // 2, seed, f"{PREFIX} Insecta")
    taxa = []
    for i in range(n):
        label, hour = f"{INSECTA_ID}son{i + 1:02d}", _hour(rng, "Insecta")
        group = f"song{i // 2 + 1:02d}" if i + 1 < n or i % 2 else ""
        song, name = replace(songs[i // 2], name=label), f"Insect sonotype {i + 1}"
        taxa.append(Taxon(label, INSECTA_ID, "Insecta", name, "Insecta", song, hour, False, group))
    return taxa


def _hour(rng: np.random.Generator, class_name: str) -> float:
    """Birds sing around sunrise, the others after sunset."""
    return float(rng.normal(7, 2) if class_name == "Aves" else rng.normal(21, 2)) % 24
