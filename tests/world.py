"""One of everything that the commands read and write, as small as it can be: what fuzzing, kills and refusals start from.

m.onnx s.h5 clips/ run/          a backbone, its store, its recordings, a sweep
heads/ fused.onnx labels.txt     a trained head, the same as one file, the backbone's classes
sounds/ a.csv b.csv truth.csv    soundscapes, two members' predictions of them, what is in them
taxonomy.csv sample.csv          a competition's tables
manifest.csv annotations.csv     recordings and pieces of them as tables
member/                          a fine-tuned member
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from tests.tiny import SAMPLE_RATE, tiny_backbone, tiny_dataset

CLASSES = ("species 0", "species 1", "species 2")
RATE = ("--sample-rate", str(SAMPLE_RATE))
EPOCHS = ("--epochs", "2", "--folds", "2")
FINETUNING = ("--epochs", "1", "--folds", "2")


def run_command(*words: object) -> int:
    """One command of the real application in this process; its exit code. What `main` does not tell passes through.

    stdout and stderr are the caller's. A usage error is 2.
    """
    from birdprobe.probe.cli.app import main

    before, sys.argv = sys.argv, ["birdprobe", *(str(word) for word in words)]
    try:
        main()
    except SystemExit as error:
        return int(error.code or 0)
    finally:
        sys.argv = before
    return 0


def make_world(folder: Path) -> Path:
    """Fill `folder`; takes about twenty seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny_backbone(folder / "m.onnx", classes=len(CLASSES))
    tiny_dataset(folder / "clips", classes=len(CLASSES))
    write_tables(folder)
    write_sounds(folder / "sounds")
    m, clips, sounds = folder / "m.onnx", folder / "clips", folder / "sounds"
    for words in (
        ("extract", m, clips, "-o", folder / "s.h5", "--group-regex", "^(G[0-9]+)", *RATE),
        ("sweep", m, clips, "-o", folder / "run", "--group-regex", "^(G[0-9]+)", "--projection", "pca", *RATE),
        ("train", folder / "s.h5", "-o", folder / "heads", "--taps", "-1", "--head", "linear", *EPOCHS),
        ("fuse", folder / "heads", m, "-o", folder / "fused.onnx"),
        ("predict", m, sounds, "-o", folder / "a.csv", "--labels", folder / "labels.txt", *RATE),
        ("predict", folder / "fused.onnx", sounds, "-o", folder / "b.csv"),
    ):
        assert run_command(*words) == 0, words
    table = pd.read_csv(folder / "a.csv", index_col=0)
    (table > table.median()).astype(int).to_csv(folder / "truth.csv")
    (table * 0).to_csv(folder / "sample.csv")
    fine_tune(folder)
    return folder


def write_tables(folder: Path) -> None:
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    taxonomy = pd.DataFrame({"primary_label": CLASSES, "class_name": "Aves"})
    taxonomy["scientific_name"] = ["Turdus merula", "Turdus pilaris", "Parus major"]
    taxonomy.to_csv(folder / "taxonomy.csv", index=False)
    names = [path.relative_to(folder).as_posix() for path in sorted((folder / "clips").rglob("*.wav"))]
    manifest = pd.DataFrame({"path": names, "label": [Path(name).parent.name for name in names]})
    manifest["group"] = [Path(name).name.split("-")[0] for name in names]
    manifest.to_csv(folder / "manifest.csv", index=False)
    pieces = pd.DataFrame({"filename": [f"sounds/{soundscape(i)}.wav" for i in (0, 1, 2, 3)]})
    pieces["start"], pieces["end"] = ["00:00:00", "00:00:01"] * 2, ["00:00:01", "00:00:02"] * 2
    pieces["primary_label"] = ["species 0", "species 1;species 2"] * 2
    pieces.to_csv(folder / "annotations.csv", index=False)


def write_sounds(folder: Path, files: int = 5, seconds: float = 3.0) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(files):
        wave = rng.normal(0, 0.1, round(seconds * SAMPLE_RATE)).clip(-1, 1)
        soundfile.write(folder / f"{soundscape(i)}.wav", wave, SAMPLE_RATE)


def soundscape(i: int) -> str:
    """A name as the competition's: recordings of two sites, in the same hour."""
    return f"BC2026_Train_{i:04d}_S0{i % 2 + 1}_20260512_06000{i}"


def fine_tune(folder: Path) -> None:
    """A run of the smallest member in member/."""
    from tests import pebble

    pebble.register()
    pebble.write_audio(folder / "tones", n=4)
    words = ("finetune", "pebble", folder / "tones", "-o", folder / "member", "--device", "cpu", *FINETUNING)
    assert run_command(*words) == 0


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, links by where they point."""
    return {
        str(path.relative_to(folder)): str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


if __name__ == "__main__":
    make_world(Path(sys.argv[1]))
    print(json.dumps(sorted(tree(Path(sys.argv[1]))), indent=2))
