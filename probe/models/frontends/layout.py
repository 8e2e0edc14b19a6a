"""How a spectrogram lies in a model's input: which axis is time, which holds the rows, how many channels there are."""

from dataclasses import dataclass

import onnx
from onnx import TensorProto

from ....features import InputError
from ...graph.load import audio_input, input_dims
from ...runtime.input_spec import dims_text, is_waveform
from .frontend import FrontEnd


@dataclass(frozen=True)
class Layout:
    """height, width: rows and frames that the input is fixed to, None where free. element: its ONNX number type."""

    batch: int | None
    height: int | None
    width: int | None
    time_first: bool
    channels: int = 1
    channel_axis: int | None = None
    element: int = TensorProto.FLOAT

    @classmethod
    def of(cls, model: onnx.ModelProto, front: FrontEnd, place: str) -> "Layout":
        """InputError: an input that this front end's spectrogram does not fit."""
        value = audio_input(model, place)
        dims = [d if isinstance(d, int) else None for d in input_dims(value)]
        if len(dims) not in (3, 4) or is_waveform(dims):
            raise InputError(
                f"{place}: input {dims_text(dims)}, `--frontend` wants a model that takes a spectrogram, "
                "[N,rows,frames] or [N,channels,rows,frames]. Does this one take the waveform itself?"
            )
        axis = None if len(dims) == 3 else 3 if dims[3] in (1, 3) and dims[1] not in (1, 3) else 1
        first, second = [size for i, size in enumerate(dims) if i not in (0, axis)]
        time_first = front.layout == "time-mel"
        if front.fit != "resize":
            fits = [(height is None or height == front.height) for height in (first, second)]
            exact = [height == front.height for height in (first, second)]
            if not any(fits):
                raise InputError(
                    f"{place}: input {dims_text(dims)} has no axis of {front.height} rows, which `--frontend` makes. "
                    f"Another n_mels ({min(d for d in (first, second) if d)}?), or `resize`?"
                )
            if exact[0] != exact[1]:
                time_first = exact[1]
            elif fits[0] != fits[1]:
                time_first = fits[1]
        height, width = (second, first) if time_first else (first, second)
        channels = 1 if axis is None else dims[axis] or 1
        return cls(dims[0], height, width, time_first, channels, axis, value.type.tensor_type.elem_type)

    def samples(self, front: FrontEnd, window_s: float | None, place: str) -> int:
        """Samples of a window. InputError: not told, too short, or another number of frames than the input has."""
        if window_s is None:
            if self.width is None:
                raise InputError(f"{place}: its input takes any number of frames: give --window (seconds).")
            samples = front.samples(self.width)
        else:
            samples = round(window_s * front.rate)
        frames = front.frames(samples)
        least = front.n_fft // 2 + 1 if front.pad == "reflect" else 1
        if frames < 1 or samples < least:
            raise InputError(f"{place}: a window of {samples} samples is shorter than one frame of `--frontend`.")
        wrong = self.width is not None and front.fit != "resize" and frames != self.width
        if wrong and not (front.fit == "zeros" and frames < (self.width or 0)):
            fitting = front.samples(self.width or 1) / front.rate
            raise InputError(
                f"{place}: a window of {samples / front.rate:g} s gives {frames} frames, its input takes {self.width}. "
                f"--window {fitting:g} fits; so does another hop, or `resize`."
            )
        return samples
