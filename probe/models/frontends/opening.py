"""Any model file as one that takes waveforms [N, S]: extra inputs get their values, spectrograms their front end.

What is opened here is what every later step sees: blocks, surgery, timing, prediction and the fused head.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from ....features import InputError
from ...graph.branches import inline_branches
from ...graph.extra_inputs import bind
from ...graph.load import audio_input, default_opset, naming, read
from ...runtime.input_spec import InputSpec, declared, known_shape, read_input_spec, waveform_shape
from ..contracts import completed
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
    dims = declared(model)
    if len(dims) == 3 and dims[2] == 1 and dims[1] != 1:  # [N, S, 1], as Keras has it
        shape = numpy_helper.from_array(np.array([0, -1, 1], np.int64), "shape")
        nodes = [
            helper.make_node("Constant", [], [f"{WAVEFORM}/shape"], value=shape),
            helper.make_node("Reshape", [WAVEFORM, f"{WAVEFORM}/shape"], [audio_input(model).name]),
        ]
        return prepend(model, nodes, dims[:2], audio_input(model).type.tensor_type.elem_type)
    return model


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
    if front is not None:
        sample_rate, window_s = front.rate, None  # the front end has made it a number of samples
    fed = completed(model, path, sample_rate, window_s, normalise)
    spec = read_input_spec(model, path.name, *fed)
    return inline_branches(model, waveform_shape(model, path.name, spec.window_samples)), spec, front


def with_frontend(model: onnx.ModelProto, front: FrontEnd, window_s: float | None, place: str) -> onnx.ModelProto:
    """The model behind a front end. InputError: its input is no spectrogram, or another one than this."""
    layout = Layout.of(model, front, place)
    samples = layout.samples(front, window_s, place)
    nodes = frontend_nodes(front, layout, samples, WAVEFORM, audio_input(model).name, default_opset(model))
    return prepend(model, nodes, [layout.batch, samples], TensorProto.FLOAT)


def prepend(
    model: onnx.ModelProto, nodes: Sequence[NodeProto], shape: Sequence[int | None], element: int
) -> onnx.ModelProto:
    """The model with `nodes` in front, which make its input of the new input `waveform`."""
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    if WAVEFORM in taken:
        raise InputError(f"model: it has a tensor called {WAVEFORM!r} already. Does it take a waveform itself?")
    old = audio_input(model).name
    dims = [size or ("batch" if axis == 0 else "samples") for axis, size in enumerate(shape)]
    kept = [value for value in model.graph.input if value.name != old]
    rest = list(model.graph.node)
    del model.graph.input[:], model.graph.node[:]
    model.graph.input.extend([helper.make_tensor_value_info(WAVEFORM, element, dims), *kept])
    model.graph.node.extend([*nodes, *rest])
    return model
