"""What a model wants to be fed: read from the shapes and names of its inputs and outputs, completed by the flags.

A file does not say its sample rate. What birdprobe wrote, and two well-known contracts, are recognised:

    preset         input       outputs                                       rate    window  normalise
    perch-v2       [N,160000]  embedding, spatial_embedding, spectrogram     32 kHz  5 s     peak (perch-hoplite)
    birdnet-v2.4   [N,144000]  6,522 class scores or the embedding 1024      48 kHz  3 s     none
    its member     what the metadata of a file say that `export` or `fuse` wrote (sample_rate, window_s, normalise)

`peak` is what perch-hoplite feeds Perch v2: per window the mean is subtracted and the peak scaled to 0.25. It lies
outside the graph and other pipelines leave it out: --normalise says otherwise. Any other model takes --sample-rate
and --window (or a fixed input length and the rate), and is not normalised unless told.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from ...features import InputError
from ...features.windows import NORMALISATIONS
from ..graph.load import audio_input, input_dims, tensor_outputs

PERCH: dict[str, list[int | str | None]] = {  # outputs of one window
    "embedding": [1536],
    "spatial_embedding": [16, 4, 1536],
    "spectrogram": [500, 128],
}
MOST_ROWS = 8192  # or frames, of a spectrogram
USUAL_ROWS = (128, 64, 80, 256, 224, 96, 40)  # of mel spectrograms


RANDOM_WEIGHTS = "birdprobe_random_weights"  # in the metadata of an untrained control: the seed
LONGEST_WINDOW_S = 3600  # an hour in one piece: beyond, a batch of windows fits no memory


@dataclass(frozen=True)
class InputSpec:
    """How a model is fed. preset: `perch-v2`, `birdnet-v2.4`, a member's name or None; sample_rate in Hz, window in
    samples; warnings: where it was told otherwise than the file says."""

    preset: str | None
    sample_rate: int
    window_samples: int
    normalise: str
    warnings: tuple[str, ...] = ()


def random_weights(model: onnx.ModelProto) -> int | None:
    """The seed of a file that `birdprobe randomise` wrote, else None."""
    said = {entry.key: entry.value for entry in model.metadata_props}.get(RANDOM_WEIGHTS, "")
    return int(said) if said.isdecimal() else None


def row_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one window: without the batch axis, where there is one."""
    return tuple(shape[1:] if len(shape) > 1 else shape)


def waveform_shape(model: onnx.ModelProto, place: str, window_samples: int) -> tuple[int, ...]:
    """The input's shape for its batch of windows: [N, S], [N, 1, S] or [S]; a free N is 1. InputError: no waveform."""
    dims = declared(model)
    if not is_waveform(dims):
        if len(dims) == 4 and sum(size != 1 for size in dims[1:]) < 2:
            raise InputError(
                f"{place}: input {dims_text(dims)} has axes of one beside the samples, wanted a mono waveform [N,S], "
                "[N,1,S], [N,S,1] or [S]. Export it without them?"
            )
        if len(dims) not in (3, 4) or (len(dims) == 3 and any(size and size > MOST_ROWS for size in dims[1:])):
            raise InputError(f"{place}: input {dims_text(dims)}, wanted a mono waveform [N,S], [N,1,S] or [S]")
        raise InputError(
            f"{place}: input {dims_text(dims)} is no mono waveform [N,S], [N,1,S] or [S]. Is it a spectrogram? Then "
            f"say how it is made, such as {frontend_example(dims)}"
        )
    lead = {1: (), 2: (dims[0] or 1,), 3: (dims[0] or 1, 1)}[len(dims)]
    return (*lead, window_samples)


def read_input_spec(
    model: onnx.ModelProto, place: str, sample_rate: int | None, window_s: float | None, normalise: str | None
) -> InputSpec:
    """Sample rate, window and normalisation from the flags, else from what the file says.

    InputError: a flag is missing (it is named), or the flags contradict the input's fixed length.
    """
    waveform_shape(model, place, 0)
    dims = declared(model)
    length = dims[-1]
    preset, usual_rate, usual_s, scaling = recognise(model)
    rate = sample_rate or usual_rate
    if normalise is not None and normalise not in NORMALISATIONS:
        raise InputError(f"--normalise: found {normalise!r}, wanted one of {', '.join(NORMALISATIONS)}")
    if rate is None:
        wanted = "--sample-rate" if length or window_s else "--sample-rate and --window"
        raise InputError(
            f"{place}: input {dims_text(dims)} fits no preset, so the audio's rate is unknown: give {wanted}"
        )
    if rate < 1:
        raise InputError(f"`--sample-rate` must be at least 1 Hz, got {rate}.")
    if window_s is not None:
        if not 0 < window_s <= LONGEST_WINDOW_S:
            raise InputError(f"`--window` must be above 0 s and at most {LONGEST_WINDOW_S:,} s, got {window_s:g}.")
        samples = round(rate * window_s)
    elif length is not None:
        samples = length
    else:
        raise InputError(f"{place}: input {dims_text(dims)} has no fixed length: give --window (seconds)")
    if samples < 1:
        raise InputError(f"{place}: a window of {window_s} s at {rate} Hz has no samples")
    if length is not None and samples != length:
        raise InputError(
            f"{place}: {window_s:g} s at {rate} Hz are {samples} samples, but the input is fixed to {length} "
            f"({length / rate:g} s). Another --sample-rate or --window?"
        )
    if usual_rate and usual_s and (rate, samples) != (usual_rate, round(usual_rate * usual_s)):
        preset = None
    return InputSpec(preset, rate, samples, normalise or (scaling if preset else "none"))


def recognise(model: onnx.ModelProto) -> tuple[str | None, int | None, float | None, str]:
    """(preset, sample rate, window seconds, normalise) from the shapes and names of inputs and outputs alone.

    Perch v2 is recognised only by its whole contract: input, spectrogram, spatial and pooled embedding, each by name or
    by shape (so miniatures of other widths count, and exports without the classifier). Many models take 160,000 samples
    (10 s at 16 kHz) and call an output `embedding`.
    """
    if (said := described(model)) is not None:
        return said
    dims = declared(model)
    length = dims[-1] if len(dims) in (1, 2, 3) else None
    outputs = tensor_outputs(model)
    names = {output.name.lower() for output in outputs}
    shapes = [input_dims(output) for output in outputs]
    if length == 160_000 and all(name in names or shape in (s[1:] for s in shapes) for name, shape in PERCH.items()):
        return "perch-v2", 32_000, 5.0, "peak"
    if length == 144_000 and len(dims) == 2 and any(s[1:] in ([6522], [1024]) for s in shapes):
        return "birdnet-v2.4", 48_000, 3.0, "none"
    return None, None, None, "none"


def described(model: onnx.ModelProto) -> tuple[str, int, float, str] | None:
    """(preset, sample rate, window seconds, normalise) from the metadata of a file that birdprobe wrote.

    None: another file. An exported Bird-MAE has Perch's input and an output called embedding, and takes raw audio.
    """
    said = {prop.key: prop.value for prop in model.metadata_props}
    try:
        found = said.get("member", "birdprobe"), int(said["sample_rate"]), float(said["window_s"]), said["normalise"]
    except (KeyError, ValueError):
        return None
    fits = found[1] > 0 and 0 < found[2] <= LONGEST_WINDOW_S and found[3] in NORMALISATIONS
    return found if fits else None


def declared(model: onnx.ModelProto) -> list[int | None]:
    """The data input's dimensions: numbers where fixed, None where dynamic."""
    return [d if isinstance(d, int) else None for d in input_dims(audio_input(model))]


def dims_text(dims: Sequence[int | None]) -> str:
    return "[" + ",".join("?" if d is None else str(d) for d in dims) + "]"


def is_waveform(dims: Sequence[int | None]) -> bool:
    """True for [S], [N, S], [N, 1, S] and [N, S, 1] (which `models.opening` makes [N, S])."""
    if len(dims) == 3:
        return dims[1] == 1 or (dims[2] == 1 and dims[1] != 1)
    return len(dims) in (1, 2)


def frontend_example(dims: Sequence[int | None]) -> str:
    """A `--frontend` that fits these dimensions."""
    places = [d for d in dims[1:] if d not in (1, 2, 3)]
    sizes = sorted(d for d in places if d)
    if places[:2] == [1024, 128]:
        return "--frontend ast"
    if len(sizes) == 2 and sizes[0] == sizes[1]:
        return "--frontend timm-birdclef:resize --window 5"
    rows = next((size for size in USUAL_ROWS if size in sizes), sizes[0] if sizes else 128)
    free = " --window 5" if None in places else ""
    return f"--frontend mel:n_fft=2048,hop=512,n_mels={rows},db --sample-rate 32000{free}"


def known_shape(model: onnx.ModelProto, sample_rate: int | None, window_s: float | None) -> tuple[int, ...] | None:
    """The shape of one window where rate and length are told and the input leaves its length open; else None.

    InputError: a length that is told in seconds, and no rate.
    """
    dims = declared(model)
    if not is_waveform(dims) or dims[-1] is not None or window_s is None:
        return None
    if sample_rate is None:
        raise InputError(f"model: a window of {window_s:g} s has no number of samples: give --sample-rate too")
    return waveform_shape(model, "model", round(sample_rate * window_s))
