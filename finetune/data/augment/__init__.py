"""Augmentations of the published recipes, as seeded functions on a batch.

`waveform` and `spectrogram` apply a configuration's list in order; each step is a function of its own.
"""

from .configuration import Augment
from .order import spectrogram, waveform

__all__ = ["Augment", "spectrogram", "waveform"]
