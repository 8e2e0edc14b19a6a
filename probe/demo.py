"""The embedded default: made-up species through Wren, the bundled miniature of Perch v2. Needs no download.

Wren is a model organism, not a bird model: it was trained by `finetune/wren/train.py` on made-up species, and the
demo's species are others. What the demo shows is the tool, on a curve that is neither at chance nor at 1. On request, a
made-up competition of yet other species is written instead.
"""

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..features.recordings import read_recordings
from ..features.synthetic.clips import write_dataset
from ..features.synthetic.competition import DEFAULT, write_competition
from .assets import WREN
from .sweep.run_folder import prepare

GROUP_REGEX = r"^(R\d+)-"  # made-up recordists; see features/synthetic/clips


def write_audio(run: Path, species: int, clips: int, seed: int, overwrite: bool, say: Callable[[str], None]) -> Path:
    """The demo's clips in `RUN-audio` beside the run: class folders of 5-s clips at 32 kHz, kept for the next time.

    InputError: they are not there yet, and the sweep that they are for would refuse the run folder.
    """
    folder = run.with_name(f"{run.name}-audio") / f"{species}x{clips}-seed{seed}"
    if not folder.exists():
        prepare(run, overwrite, ())
        say(f"making {species} species x {clips} clips")
        half = folder.with_name(folder.name + ".part")
        write_dataset(half, n_species=species, clips_per_species=clips, seed=seed)
        half.rename(folder)  # a folder of this name is whole
    return folder


def competition(
    folder: Path,
    species: int | None,
    clips: int | None,
    soundscapes: int | None,
    seed: int,
    overwrite: bool,
    say: Callable[[str], None],
) -> str:
    """Write a made-up competition into `folder`; what was written and the commands that go on from there, as text.

    None stands for the usual size. For every six labelled soundscapes two are unlabelled and three to be predicted.
    """
    size = replace(DEFAULT, species=species or DEFAULT.species, focal_per_species=clips or DEFAULT.focal_per_species)
    if soundscapes:
        third, half = max(1, soundscapes // 3), max(1, soundscapes // 2)
        size = replace(size, labelled=soundscapes, unlabelled=third, test=half)
    files = size.labelled + size.unlabelled + size.test
    say(f"making a competition up: {size.species} species, {files} soundscapes of {size.soundscape_s} s")
    write_competition(folder, size, seed, overwrite=overwrite)
    focal, table = read_recordings(folder), folder / "train_soundscapes_labels.csv"
    windows = read_recordings(table)
    commands = (
        ("sweep", WREN.stem, folder, "--test", table, "-o", "runs/competition"),
        ("extract", WREN.stem, folder, "-o", "focal.h5"),
        ("extract", WREN.stem, table, "-o", "soundscapes.h5"),
        (
            *("train", "focal.h5", "soundscapes.h5", "-o", "runs/heads", "--taps", "auto:3", "--fold-by", "file"),
            *("--taxonomy", folder / "taxonomy.csv"),
        ),
        ("predict", "runs/heads", folder / "test_soundscapes", "-o", "raw.csv", "--tta-shifts", "0,1,-1"),
        ("blend", "raw.csv", "-o", "submission.csv", "--gaussian", 1, "--truth", folder / "truth" / "truth.csv"),
    )
    lines = (
        f"{folder}: a made-up competition in the formats of BirdCLEF+ 2026",
        f"  train_audio        {len(focal.clips)} focal clips of {len(focal.labels)} of the {size.species} species",
        f"  train_soundscapes  {size.labelled} labelled ({len(windows.clips)} windows), {size.unlabelled} unlabelled",
        f"  test_soundscapes   {size.test} to predict; what is heard in them is in {folder / 'truth' / 'truth.csv'}",
        "Next:",
        *("  " + shlex.join(["birdprobe", *map(str, command)]) for command in commands),
    )
    return "\n".join(lines)
