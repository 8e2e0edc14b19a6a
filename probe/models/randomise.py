"""randomise(): the same architecture untrained, the control beside every curve."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from ...features import InputError
from ...features.files import check_new, replacing
from ...features.progress import Log, Progress, listener
from ...features.schema import check_seed, checked
from ..blocks.detection import find_blocks
from ..graph.load import FLOATS, audio_input, fixed_batch
from ..graph.shapes import window_shape
from ..runtime.input_spec import RANDOM_WEIGHTS, known_shape
from ..surgery.random_weights import Redraw
from .frontends.opening import open_model
from .registry import resolve

WINDOWS = 16


@dataclass(frozen=True)
class Randomised:
    """What randomise() wrote. numbers: how many were drawn. kept: numbers of the front end and other constants."""

    path: Path
    taps: tuple[str, ...]
    tensors: int
    numbers: int
    kept: int
    seed: int

    def __repr__(self) -> str:
        return (
            f"{self.path}: {self.numbers:,} numbers of {self.tensors} tensors drawn anew (seed {self.seed}), "
            f"{self.kept:,} of the front end kept; the same {len(self.taps)} taps, inputs and outputs"
        )


@checked
def randomise(
    model: str | Path,
    output: str | Path,
    *,
    seed: int = 0,
    inputs: Sequence[str] = (),
    sample_rate: int | None = None,
    window_s: float | None = None,
    overwrite: bool = False,
    progress: bool = True,
    log: Log | None = None,
) -> Randomised:
    """Write a backbone with untrained weights: the control that tells what of a score is architecture.

    Everything learned behind the front end is drawn anew, as `probe.surgery.random_weights` says: each layer
    standardised on made-up windows, as in a fresh network with batch normalisation. Spectrogram and mel filters stay.

    Args:
        model: an ONNX file, or a name of `birdprobe models`.
        output: the .onnx file to write.
        seed: of the weights.
        inputs: values of the model's other inputs, as `open_backbone`; they become part of the file.
        sample_rate, window_s: where the model leaves the length of its window open.
        overwrite: replace `output`.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.

    Returns:
        The file, its taps, and how many numbers were drawn.

    Raises:
        InputError: a model that cannot be opened or has no learned weights; a tap that no longer hears the audio.
    """
    log = listener(log, progress)
    output = Path(output)
    if output.suffix != ".onnx":
        raise InputError(f"{output}: expected a name that ends in .onnx.")
    check_seed(seed)
    check_new(output, overwrite)
    path = resolve(model)
    log(f"opening {path}")
    trained = open_model(path, None, inputs, sample_rate, window_s)
    shape = known_shape(trained, sample_rate, window_s)
    found = find_blocks(trained, shape)
    with Progress("drawing", len(trained.graph.node), "nodes", wanted=progress) as bar:
        windows = made_up_windows(trained, shape, seed)
        redraw = Redraw(trained, windows, {b.tensor: name for name, b in found.taps.items()}, seed, bar.advance)
        fresh = redraw.run()
    if find_blocks(fresh, shape).taps != found.taps or not same_contract(trained, fresh):
        raise InputError(f"{path}: with random weights other taps are found. Does its graph depend on its weights?")
    kept = sum(int(np.prod(t.dims)) for t in fresh.graph.initializer if t.name not in redraw.weights)
    fresh.metadata_props.add(key=RANDOM_WEIGHTS, value=str(seed))
    with replacing(output) as draft:
        draft.write_bytes(fresh.SerializeToString())
    return Randomised(output, tuple(found.taps), len(redraw.weights), redraw.count, kept, seed)


def made_up_windows(model: onnx.ModelProto, shape: tuple[int, ...] | None, seed: int) -> list[np.ndarray]:
    """Windows that pass through, noise and swelling tones of several loudnesses: an array a call of the model."""
    value = audio_input(model)
    one = window_shape(model, shape)
    batch = fixed_batch(model) if len(one) > 1 else 1
    row = one[1:] if len(one) > 1 else one
    rng = np.random.default_rng([seed, 1])
    t = np.arange(row[-1])
    rows = []
    for i in range(WINDOWS if batch is None else -(-WINDOWS // batch) * batch):
        noise = rng.normal(0, 10 ** rng.uniform(-3, -1), row)
        tones = sum(
            np.sin(2 * np.pi * rng.uniform(0.005, 0.3) * t) * np.sin(np.pi * rng.uniform(1, 8) * t / len(t)) ** 2
            for _ in range(1 + i % 3)
        )
        rows.append(noise + 10 ** rng.uniform(-2, -0.6) * tones)
    every = np.stack(rows).astype(FLOATS[value.type.tensor_type.elem_type])
    if len(one) == 1:
        return list(every)
    return [every] if batch is None else list(every.reshape(-1, batch, *row))


def same_contract(one: onnx.ModelProto, other: onnx.ModelProto) -> bool:
    """Whether inputs and outputs have the same names, types and declared sizes, and the same metadata."""
    return (
        audio_input(one) == audio_input(other)
        and list(one.graph.output) == list(other.graph.output)
        and list(one.metadata_props) == list(other.metadata_props)
    )
