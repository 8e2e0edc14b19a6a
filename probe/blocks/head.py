"""The two taps behind the last block: the embedding and the logits.

The embedding is the output of that name, or the one that the file's metadata name, when it is a vector; else the pooled
vector that enters the classifier, which is the last layer in front of the main output. The logits are what the
classifier gives, before a final softmax or sigmoid. A graph that ends with features instead (a pooled, activated map;
an output called embedding; a vector scaled to length 1) has no logits.

Sound event detection scores every frame and summarises the scores over time. There the logits are the scores of the
whole clip, and the embedding is the map of frames that enters the classifier:

    frames -> MatMul (classes) -> Sigmoid -> ReduceMax or ReduceMean
    frames -> MatMul (classes) -> Sigmoid -> Mul -> ReduceSum
           -> MatMul (attention) -> Softmax over time ^       (Kong et al. 2020, PANNs, AttBlock)

A division by the sum of the weights may follow (the baseline of DCASE's task 4).
"""

import re
from math import prod

from ..graph.layers import POOLS, REDUCTIONS, is_linear
from .architecture import Block
from .measured_graph import MeasuredGraph
from .regions import BlockMatch, RegionSequence
from .taps import tap
from .unshortcut import activated_tail, is_nonlinear, role_of

SQUASHING = {"Softmax", "LogSoftmax", "Sigmoid"}
EMBEDDING = re.compile(r"embed|feature", re.IGNORECASE)
EMBEDDING_KEYS = ("embedding_outputs_key", "embedding_key")  # where opensoundscape and others write the output's name
SCORES = re.compile(r"label|logit|class|score|pred|prob", re.IGNORECASE)


def head(
    measured: MeasuredGraph, matches: list[BlockMatch], blocks: list[Block]
) -> tuple[Block | None, Block | None, str]:
    """(embedding, logits, a note where there are no logits).

    The main output of a network without a classifier is its embedding, unless it is the last block's tap again.
    """
    sequence, ops = measured.sequence, measured.sequence.graph.ops
    vectors = [name for name in measured.whole.outputs if len(measured.shapes[name]) == 2]
    said = {prop.value for prop in measured.model.metadata_props if prop.key in EMBEDDING_KEYS}
    named = next((name for name in vectors if name in said), None) or next(
        (name for name in vectors if EMBEDDING.search(name) and not SCORES.search(name)), None
    )
    last = _last_learned(measured)
    end = max((match.last for match in matches), default=-1)
    detects = last is not None and last > end and _summarises_frame_scores(measured, last)
    if last is None or last <= end or (not detects and _ends_with_features(measured, last)):
        again = blocks and blocks[-1].tensor == measured.main
        vector = named or (None if again else measured.main)
        note = "no classifier behind the last block, so there is no logits tap"
        return (tap(measured, "embedding", "embedding", vector) if vector else None), None, note
    classifier = sequence.regions[last]
    entered = sequence.graph.tensor_of(classifier.fork) if classifier.inside else ops[classifier.op].data[0]
    behind = [last]
    while (j := sequence.after(behind[-1])) is not None and (detects or sequence.op(j).kind not in SQUASHING):
        behind.append(j)
    tensors = [sequence.op(i).tensor for i in behind]
    # where a squeeze has taken the one class away, [N, 1, frames] -> [N, frames], frames would count as classes
    scores = next((name for name in reversed(tensors) if measured.axes.get(name) != 0), tensors[0])
    vector = named or (entered if entered in measured.axes or len(measured.shapes[entered]) == 2 else None)
    embedding = tap(measured, "embedding", "embedding", vector) if vector else None
    return embedding, tap(measured, "logits", "logits", scores), ""


def _last_learned(measured: MeasuredGraph) -> int | None:
    layers = measured.sequence.layers
    learned = [
        i for i, region in enumerate(measured.sequence.regions) if any(k in layers for k in (region.op, *region.inside))
    ]
    return learned[-1] if learned else None


def _summarises_frame_scores(measured: MeasuredGraph, last: int) -> bool:
    """True where region `last` scores every frame, and what follows only reduces these scores over time.

    A gate such as SiLU in front of a global pool is a region of its own, so its sigmoid is no score.
    """
    sequence, ops = measured.sequence, measured.sequence.graph.ops
    region = sequence.regions[last]
    layers = [sequence.layers[k] for k in region.inside if k in sequence.layers]
    # the sum of the weighted scores may be divided by that of the weights: then the region ends behind both
    reduced = ops[region.op].kind == "Div" and any(ops[k].kind in REDUCTIONS for k in region.inside)
    places = measured.positions(region.fork if reduced else region.op)
    if len(measured.shapes[measured.main]) != 2 or places <= 1:
        return False
    weighted = any(ops[k].kind == "Softmax" for k in region.inside) and ops[region.op].kind in ("Mul", "Div")
    squashed = weighted and len(layers) > 1 and all(layer.role == "pointwise" for layer in layers)
    i = last
    while (j := sequence.after(i)) is not None:
        op, i = sequence.op(j), j
        if sequence.regions[j].inside:
            return False
        if op.kind in POOLS or op.kind in REDUCTIONS:
            reduced = True
        elif op.kind in SQUASHING:
            squashed = squashed or not reduced
        elif not is_linear(op):
            return False
    return squashed and reduced


def _ends_with_features(measured: MeasuredGraph, last: int) -> bool:
    """True when the output says so, has length 1, is a map of one place, or when the last layer still works on the map,
    activated, with no softmax after."""
    sequence = measured.sequence
    if EMBEDDING.search(measured.main) and not SCORES.search(measured.main):
        return True
    if any(_scales_to_length_1(sequence, i) for i in range(last + 1, len(sequence.regions))):
        return True
    if sequence.graph.ops[-1].kind in SQUASHING:
        return False
    if measured.positions(sequence.regions[last].op) <= 1:
        return _projects(measured, last)
    tail = activated_tail(sequence, last)
    if not is_nonlinear(sequence, tail):  # a code of frames, from their neighbours too: scores come of one frame each
        return role_of(sequence, last) == "full" and len(measured.shapes[measured.main]) > 2
    return sequence.op(tail).kind not in SQUASHING


def _projects(measured: MeasuredGraph, last: int) -> bool:
    """True where the last layer turns the whole map into one place of as many channels, and a map it stays: [N,1,1,96].

    Classifiers end with a vector of another width (Google's speech embedding is what the wake words read).
    """
    entered, made = measured.sequence.op(last).data[0], measured.sequence.op(last).tensor
    shape, before = measured.shapes[measured.main], measured.shapes[entered]
    if len(shape) < 3 or prod(shape) == prod(before) or not {entered, made} <= measured.axes.keys():
        return False
    return before[measured.axes[entered]] == measured.shapes[made][measured.axes[made]] == prod(shape)


def _scales_to_length_1(sequence: RegionSequence, i: int) -> bool:
    """True for a division by the Euclidean norm, as speaker encoders and contrastive models end with."""
    kinds = sequence.kinds(sequence.regions[i])
    spelled = "Sqrt" in kinds and kinds & {"ReduceSum", "ReduceSumSquare"}
    return sequence.op(i).kind == "LpNormalization" or (
        sequence.op(i).kind in ("Div", "Mul") and bool("ReduceL2" in kinds or spelled)
    )
