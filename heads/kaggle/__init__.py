"""A Kaggle notebook that predicts with a trained run, with no internet: generated, never edited.

    run or fused file -> package/  model.onnx, config.json, taxonomy.csv, prior.json            (package)
                                   wheels/birdprobe-*.whl                                       (wheel)
                                   wheels.txt, dataset-metadata.json                            (metadata)
                         birdprobe-kernel.ipynb                                                 (notebook)
                         kernel-metadata.json                                                   (metadata)

The notebook installs the wheel and calls `probe.soundscapes.kaggle_run`: the same prediction and post-processing as
everywhere, on what Kaggle has (onnxruntime, numpy, pandas, soundfile, soxr).
"""

from .package import Kernel, write_kernel

__all__ = ["Kernel", "write_kernel"]
