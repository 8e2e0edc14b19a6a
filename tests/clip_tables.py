"""Files and tables of labels that no test decodes: class folders, manifests, BirdCLEF folders, clips by count."""

import csv
from pathlib import Path

from birdprobe.features.recordings import Clip, Recordings

WINDOWS = ["filename", "start", "end", "primary_label"]
NAME = "BC2026_Train_0001_S09_20260512_050000.ogg"
OTHER = "BC2026_Train_0002_S22_20260513_183000.ogg"


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"sound")
    return root


def table(path: Path, *rows: list[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def birdclef(root: Path, *rows: list[str]) -> Path:
    """rows: primary_label, secondary_labels, author, site, filename."""
    touch(root, *(f"train_audio/{row[-1]}" for row in rows))
    table(root / "train.csv", ["primary_label", "secondary_labels", "author", "site", "filename"], *rows)
    table(root / "taxonomy.csv", ["primary_label", "class_name"], *([row[0], "Aves"] for row in rows))
    return root


def of(counts: dict[str, int]) -> Recordings:
    clips = [
        Clip(Path(f"{label}/{i}.wav"), f"{label}/{i}.wav", (label,)) for label, n in counts.items() for i in range(n)
    ]
    return Recordings(Path(), tuple(clips))
