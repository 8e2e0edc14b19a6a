"""The two taps behind the last block: the embedding and the logits.

The embedding is the output of that name, when it is a vector; else the pooled vector that enters the classifier, which
is the last layer in front of the main output. The logits are what the classifier gives, before a final softmax or
sigmoid. A graph that ends with features instead (a pooled, activated map; an output called embedding) has no logits.
"""

import re

from .architecture import Block
from .match import Unit
from .measured_graph import Network
from .taps import tap
from .unshortcut import activated_tail, is_nonlinear

SQUASHING = {"Softmax", "LogSoftmax", "Sigmoid"}
EMBEDDING = re.compile(r"embed|feature", re.IGNORECASE)
SCORES = re.compile(r"label|logit|class|score|pred|prob", re.IGNORECASE)


def head(network: Network, units: list[Unit], blocks: list[Block]) -> tuple[Block | None, Block | None, str]:
    """(embedding, logits, a note where there are no logits).

    The main output of a network without a classifier is its embedding, unless it is the last block's tap again.
    """
    river, ops = network.river, network.river.graph.ops
    vectors = [name for name in network.whole.outputs if len(network.shapes[name]) == 2]
    named = next((name for name in vectors if EMBEDDING.search(name) and not SCORES.search(name)), None)
    last = _last_learned(network)
    end = max((unit.last for unit in units), default=-1)
    if last is None or last <= end or _ends_with_features(network, last):
        again = blocks and blocks[-1].tensor == network.main
        vector = named or (None if again else network.main)
        note = "no classifier behind the last block, so there is no logits tap"
        return (tap(network, "embedding", "embedding", vector) if vector else None), None, note
    classifier = river.items[last]
    entered = river.graph.tensor_of(classifier.fork) if classifier.inside else ops[classifier.op].data[0]
    i = last
    while (j := river.after(i)) is not None and ops[river.items[j].op].kind not in SQUASHING:
        i = j
    vector = named or (entered if entered in network.axes or len(network.shapes[entered]) == 2 else None)
    embedding = tap(network, "embedding", "embedding", vector) if vector else None
    return embedding, tap(network, "logits", "logits", ops[river.items[i].op].tensor), ""


def _last_learned(network: Network) -> int | None:
    layers = network.river.layers
    learned = [i for i, item in enumerate(network.river.items) if any(k in layers for k in (item.op, *item.inside))]
    return learned[-1] if learned else None


def _ends_with_features(network: Network, last: int) -> bool:
    """True when the output says so, or when the last layer still works on the map, activated, with no softmax after."""
    if EMBEDDING.search(network.main) and not SCORES.search(network.main):
        return True
    if network.river.graph.ops[-1].kind in SQUASHING or network.positions(network.river.items[last].op) <= 1:
        return False
    return is_nonlinear(network.river, activated_tail(network.river, last))
