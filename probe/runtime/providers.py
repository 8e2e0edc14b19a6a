"""Where a model computes: ONNX Runtime's execution providers under short names, with what to install for each.

    device      provider                     wheel that has it (in the place of onnxruntime)
    cpu         CPUExecutionProvider         onnxruntime
    cuda        CUDAExecutionProvider        onnxruntime-gpu[cuda,cudnn]   NVIDIA
    tensorrt    TensorrtExecutionProvider    onnxruntime-gpu[cuda,cudnn]   NVIDIA, with TensorRT
    openvino    OpenVINOExecutionProvider    onnxruntime-openvino          Intel
    coreml      CoreMLExecutionProvider      onnxruntime                   macOS
    directml    DmlExecutionProvider         onnxruntime-directml          Windows

`auto` is CUDA where the installed ONNX Runtime has it and a device answers, else the CPU. What a device has no kernel
for runs on the CPU.
"""

from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from functools import cache
from io import StringIO
from typing import Any

import onnxruntime as ort

from ...features import InputError
from ...features.schema import check_choice

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
NVIDIA = "pip uninstall -y onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]'"
INSTALL = {
    "cuda": NVIDIA,
    "tensorrt": f"{NVIDIA} tensorrt",
    "openvino": "pip uninstall -y onnxruntime && pip install onnxruntime-openvino",
    "coreml": "pip install onnxruntime (on a Mac)",
    "directml": "pip uninstall -y onnxruntime && pip install onnxruntime-directml (on Windows)",
}
DEVICES = ("auto", *PROVIDERS)
PRECISIONS = ("float32", "tf32", "float16")
# Worst tap, relative L2 on seeded noise. float32: other orders of summation, measured 1e-6 to 5e-6. tf32 rounds the
# factors of each product to 10 bits (5e-4 a rounding): 1.3e-3 measured through 27 blocks. float16 rounds what lies
# between the layers too.
TOLERANCES = {"float32": 1e-5, "tf32": 2e-3, "float16": 5e-3}


@dataclass(frozen=True)
class Device:
    """A device that is there. name: a key of PROVIDERS. precision: one of PRECISIONS."""

    name: str = "cpu"
    precision: str = "float32"

    @property
    def plain(self) -> bool:
        """The CPU in float32, which every other device is checked against."""
        return (self.name, self.precision) == ("cpu", "float32")

    @property
    def tolerance(self) -> float:
        """Relative L2 that a tap may be off the CPU's float32."""
        return TOLERANCES[self.precision]

    def providers(self) -> list[Any]:
        """For `onnxruntime.InferenceSession`; the CPU takes what the device cannot."""
        options: dict[str, Any] = {}
        if self.name == "cuda":
            options = {"use_tf32": int(self.precision == "tf32"), "arena_extend_strategy": "kSameAsRequested"}
        if self.name == "tensorrt":
            options = {"trt_fp16_enable": self.precision == "float16"}
        if self.name == "openvino":
            options = {"device_type": "CPU"}
        return [(PROVIDERS[self.name], options), *([] if self.name == "cpu" else ["CPUExecutionProvider"])]

    def __str__(self) -> str:
        return f"{self.name}, {self.precision}"


CPU = Device()


def find_device(device: str = "auto", precision: str = "float32") -> Device:
    """The device of this name, or the best there is.

    InputError: an unknown word, a device that this installation does not have or that does not answer (with the line
    that installs it), or a precision that the device has not.
    """
    check_choice("--device", device, DEVICES)
    check_choice("--precision", precision, PRECISIONS)
    if device == "auto":
        device = "cuda" if available("cuda") and answers("cuda") else "cpu"
    elif not available(device):
        raise InputError(
            f"`--device {device}`: ONNX Runtime {ort.__version__} is installed without it. {INSTALL[device]}"
        )
    elif not answers(device):
        raise InputError(
            f"`--device {device}`: no such device answers. Are its driver and libraries there? {INSTALL[device]}"
        )
    if precision == "tf32" and device not in ("cuda", "tensorrt"):
        raise InputError(f"`--precision tf32` is a mode of NVIDIA's tensor cores, got `--device {device}`.")
    return Device(device, precision)


def available(name: str) -> bool:
    """Whether the installed ONNX Runtime was built with this device's provider."""
    return name == "cpu" or PROVIDERS[name] in ort.get_available_providers()


@cache
def answers(name: str) -> bool:
    """Whether a session opens there; ONNX Runtime falls back to the CPU without an error where none does."""
    if name == "cpu":
        return True
    if name in ("cuda", "tensorrt") and hasattr(ort, "preload_dlls"):
        with suppress(Exception), redirect_stderr(StringIO()):  # the nvidia-* wheels, where they are installed
            ort.preload_dlls()
    from onnx import helper

    x, y = (helper.make_tensor_value_info(end, 1, [1]) for end in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=Device(name).providers())
    except Exception:  # ONNX Runtime raises many classes, none of them public
        return False
    return PROVIDERS[name] in session.get_providers()
