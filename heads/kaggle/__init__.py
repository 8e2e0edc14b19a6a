"""A Kaggle notebook that predicts with a trained run, with no internet: generated, never edited.

    run or fused file -> package/  model.onnx, config.json, wheels.txt, dataset-metadata.json   (package, kaggle)
    offline.py        -> birdprobe-kernel.ipynb, one cell a `# %%` section                      (notebook)
                         kernel-metadata.json                                                   (kaggle)

`offline` is the notebook's whole code, so it is one long file that imports nothing of birdprobe. It gives what
probe.soundscapes gives.
"""

from .package import Kernel, write

__all__ = ["Kernel", "write"]
