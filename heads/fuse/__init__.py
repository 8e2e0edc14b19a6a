"""One ONNX file out of a backbone and its trained heads: waveform in, class probabilities out.

    waveform [N, S] -> backbone, cut after the deepest tap, front end folded -> pooled taps -> one head a fold
                    -> sigmoid or softmax, as trained -> mean over the folds -> probabilities [N, K]

The mean is taken over probabilities, not logits: a fold that is certain of a no does not veto the others. The head goes
through torch's exporter, with its standardisation inside, and is spliced onto the taps. The file needs nothing of ours:
labels, taps, sample rate and window are in its metadata, and plain ONNX Runtime runs it. What is written was compared
with the two-step path (backbone, then head in torch) on seeded windows, and is refused above 1e-5.
"""

from .fused import fuse
from .result import Fused
from .speed import speeds

__all__ = ["Fused", "fuse", "speeds"]
