"""Soundscapes in, a validated submission out: one row a window, one column a class, whatever happens on the way.

    soundscapes -> decode -> windows -> predictor   each file by one thread, end to end (task, workers, placement)
                -> journal                          a file's rows, as soon as they are there      (journal)
                -> table -> OUT.csv, OUT.json       rows that nothing predicted filled in         (submission)

Nothing here imports torch unless a training's run is what predicts.
"""

from .predict import Predicted, predict
from .predictor import Predictor, open_onnx

__all__ = ["Predicted", "Predictor", "open_onnx", "predict"]
