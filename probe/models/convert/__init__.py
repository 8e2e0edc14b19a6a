"""Other formats as ONNX."""

from .convert import Converted, convert

__all__ = ["Converted", "convert"]
