"""`import timm` where torch is a CPU build and torchvision is not.

timm needs torchvision, and the registry's torchvision is built for CUDA. Next to a CPU-only torch its C++ operators
stay unregistered, and the import dies with "operator torchvision::nms does not exist", although timm's classifiers
never call them. Declaring the two operators that torchvision annotates at import time is enough (seen with
torch 2.13.0, torchvision 0.28.0, timm 1.0.31).
"""

import importlib
import sys
from types import ModuleType

_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_library = None  # torch forgets the operators when the Library object is collected, so it lives as long as the process


def import_timm() -> ModuleType:
    """The `timm` module; declares torchvision's missing operators when, and only when, the import asks for them."""
    global _library
    try:
        return importlib.import_module("timm")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    import torch

    _library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        _library.define(name + schema)
    for name in [name for name in sys.modules if name.split(".")[0] in ("torchvision", "timm")]:
        del sys.modules[name]  # half-imported by the failed attempt
    return importlib.import_module("timm")
