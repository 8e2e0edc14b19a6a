"""The embedded default: made-up species through Wren, the bundled miniature of Perch v2. Needs no download.

Wren is a model organism, not a bird model: it was trained by `finetune/wren.py` on made-up species, and the demo's
species are others. What the demo shows is the tool, on a curve that is neither at chance nor at 1.
"""

from collections.abc import Callable
from pathlib import Path

from features.synthesis import write_dataset
from probe.sweep import Settings

WREN = Path(__file__).parent / "assets" / "wren.onnx"
GROUP_REGEX = r"^(R\d+)-"  # made-up recordists; see features/synthesis


def write_audio(run: Path, species: int, clips: int, seed: int, say: Callable[[str], None]) -> Path:
    """The demo's clips in `RUN-audio` beside the run: class folders of 5-s clips at 32 kHz, kept for the next time."""
    folder = run.with_name(f"{run.name}-audio") / f"{species}x{clips}-seed{seed}"
    if not folder.exists():
        say(f"making {species} species x {clips} clips")
        half = folder.with_name(folder.name + ".part")
        write_dataset(half, n_species=species, clips_per_species=clips, seed=seed)
        half.rename(folder)  # a folder of this name is whole
    return folder


def settings(species: int, clips: int, seed: int) -> Settings:
    return Settings(classes=species, per_class=clips, group_regex=GROUP_REGEX, seed=seed)
