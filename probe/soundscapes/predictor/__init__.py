"""What turns windows into probabilities: a fused file, any ONNX classifier with a list of labels, or a training's run.

protocol                        what `predict` and `detect` take: a fine-tuned model has it, too
onnx_file                       a file of scores; one whose heads read whole recordings
opening                         which of them a file is
"""

from .onnx_file import OnnxPredictor
from .opening import open_fused, open_onnx, read_labels
from .protocol import Predictor

__all__ = ["OnnxPredictor", "Predictor", "open_fused", "open_onnx", "read_labels"]
