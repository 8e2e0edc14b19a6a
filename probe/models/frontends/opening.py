"""Any model file as one that takes waveforms [N, S]: extra inputs get their values, spectrograms their front end.

What is opened here is what every later step sees: blocks, surgery, timing, prediction and the fused head.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import NodeProto, TensorProto, helper

from ...graph.branches import inline_branches
from ...graph.extra_inputs import bind
from ...graph.load import audio_input, default_opset, input_dims, naming, read, tensor_outputs
from ...graph.node_list import NodeList
from ...graph.shapes import MOST_CHANNELS
from ...runtime.input_spec import MOST_ROWS, InputSpec, declared, known_shape, read_input_spec, waveform_shape
from ..contracts import completed, told_otherwise
from .frontend import FrontEnd
from .nodes import Layout, frontend_nodes

WAVEFORM = "waveform"


def open_model(
    path: Path | str,
    frontend: str | FrontEnd | None = None,
    inputs: Sequence[str] = (),
    sample_rate: int | None = None,
    window_s: float | None = None,
) -> onnx.ModelProto:
    """The model, with one input that is a waveform where it can be one.

    frontend: what makes the spectrogram that the model takes, see `frontend`; sample_rate, window_s: its, where it
    needs them. inputs: values of the other inputs, each `name=value`: a number, `zeros`, `ones`, or numbers with
    commas. InputError: a file that cannot be read, inputs without values, a front end that does not fit.
    """
    path = Path(path)
    model = read(path)
    if inputs:
        bind(model, inputs, str(path))
    audio_input(model, str(path))
    model = inline_branches(model)
    if frontend is not None:
        return inline_branches(with_frontend(model, FrontEnd.parse(frontend, sample_rate), window_s, path.name))
    with naming(path):
        model = inline_branches(model, known_shape(model, sample_rate, window_s))
    return _of_one_channel(model)


def _of_one_channel(model: onnx.ModelProto) -> onnx.ModelProto:
    """[N, S, 1], as Keras has it, as [N, S]; several channels as one, which all of them hear; others as they are."""
    found = _channels(model)
    if found is None:
        return model
    axis, count = found
    dims, old = declared(model), audio_input(model)
    entry = _free_name(model)
    n = NodeList(f"{entry}/")
    samples = dims[1] if axis == len(dims) - 1 else dims[-1]
    if len(dims) == 2:
        n.add("Concat", *[entry] * count, output=old.name, axis=0)
    elif count == 1:
        n.reshape(entry, [0, -1, 1], old.name)
    else:
        one = n.reshape(entry, [0, 1, -1] if axis == 1 else [0, -1, 1])
        n.add("Concat", *[one] * count, output=old.name, axis=axis)
    batch = 1 if len(dims) == 2 else dims[0]
    return prepend(model, n.nodes, entry, [batch, samples], old.type.tensor_type.elem_type)


def _channels(model: onnx.ModelProto) -> tuple[int, int] | None:
    """(Axis, size) of the input's channels; None where it has no such axis, or one that is [N, 1, S].

    Two beside any length, up to eight beside one that is too long for a spectrogram. [2, S] is two channels where the
    outputs are one row, else two windows.
    """
    dims = declared(model)
    if len(dims) == 3 and dims[1] != 1:
        if dims[2] == 1:
            return 2, 1
        long = max(dims[1] or 0, dims[2] or 0) > MOST_ROWS
        for axis in (1, 2):
            if dims[axis] == 2 or (long and (dims[axis] or 0) in range(2, MOST_CHANNELS + 1)):
                return axis, dims[axis] or 1
    if len(dims) == 2 and (dims[0] or 0) in range(2, MOST_CHANNELS + 1):
        rows = [input_dims(output)[:1] for output in tensor_outputs(model)]
        if all(row == [1] for row in rows):
            return 0, dims[0] or 1
    return None


def _free_name(model: onnx.ModelProto) -> str:
    """`waveform`, or where a tensor of the model is called so, another name for the new input."""
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    return f"birdprobe/{WAVEFORM}" if WAVEFORM in taken else WAVEFORM


def open_waveform(
    path: Path,
    frontend: str | None,
    inputs: Sequence[str],
    sample_rate: int | None,
    window_s: float | None,
    normalise: str | None,
) -> tuple[onnx.ModelProto, InputSpec, FrontEnd | None]:
    """A model that takes waveforms, how it is fed by the flags, else by what is known of the file, and its front end.

    Raises InputError: what `open_model` and `read_input_spec` raise.
    """
    front = None if frontend is None else FrontEnd.parse(frontend, sample_rate)
    model = open_model(path, front, inputs, sample_rate, window_s)
    warnings = () if front else told_otherwise(model, path, sample_rate)
    if front is not None:
        sample_rate, window_s = front.rate, None  # the front end has made it a number of samples
    fed = completed(model, path, sample_rate, window_s, normalise)
    spec = replace(read_input_spec(model, path.name, *fed), warnings=warnings)
    return inline_branches(model, waveform_shape(model, path.name, spec.window_samples)), spec, front


def with_frontend(model: onnx.ModelProto, front: FrontEnd, window_s: float | None, place: str) -> onnx.ModelProto:
    """The model behind a front end. InputError: its input is no spectrogram, or another one than this."""
    layout = Layout.of(model, front, place)
    samples = layout.samples(front, window_s, place)
    entry = _free_name(model)
    nodes = frontend_nodes(front, layout, samples, entry, audio_input(model).name, default_opset(model))
    return prepend(model, nodes, entry, [layout.batch, samples], TensorProto.FLOAT)


def prepend(
    model: onnx.ModelProto, nodes: Sequence[NodeProto], entry: str, shape: Sequence[int | None], element: int
) -> onnx.ModelProto:
    """The model with `nodes` in front, which make its input of the new input `entry`."""
    old = audio_input(model).name
    dims = [size or ("batch" if axis == 0 else "samples") for axis, size in enumerate(shape)]
    kept = [value for value in model.graph.input if value.name != old]
    rest = list(model.graph.node)
    del model.graph.input[:], model.graph.node[:]
    model.graph.input.extend([helper.make_tensor_value_info(entry, element, dims), *kept])
    model.graph.node.extend([*nodes, *rest])
    return model
