"""What the checkpoint of a head says of itself (see `finetune.checkpoint` for the two files).

The description carries everything that applying the head needs and everything that a later run could confuse: labels,
tokens and widths, the key of the store it was trained on, fold, settings, metrics, versions, and the hash of the
weights file. Nothing is unpickled, nothing is replaced silently: Yadav 2026 lost a model to a later run of one name.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ...features import InputError
from ...features.schema import check_choice, record
from ...features.store import StoreKey
from ...finetune import checkpoint
from ..inputs import key_difference
from ..modules import Head
from ..sequences import SequenceHead
from .specs import build

FORMAT = "birdprobe head 1"


@dataclass(frozen=True)
class Description:
    """What a head's weights are.

    head: the kind, one of `specs.KINDS`; options: its constructor's further arguments. widths: token -> width, in the
    order of the inputs. labels: names of the outputs, in order. activation: "sigmoid" or "softmax". fold: the fold that
    it never saw, None where it saw all rows. store_key: of the (first) store. settings: how it was trained. metrics:
    its score on the fold it never saw. versions: of birdprobe and the libraries. weights_sha256: set when saved.
    """

    head: str
    widths: dict[str, int]
    labels: tuple[str, ...]
    activation: str
    store_key: StoreKey
    fold: int | None = None
    options: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    weights_sha256: str = ""

    @property
    def tokens(self) -> tuple[str, ...]:
        return tuple(self.widths)

    def to_json(self) -> dict:
        plain = asdict(self) | {"store_key": json.loads(self.store_key.to_json())}
        return {"format": FORMAT, **plain}

    @classmethod
    def from_json(cls, found: dict) -> "Description":
        plain = checkpoint.require_format(found, FORMAT)
        described = record(cls, plain, store_key=StoreKey.from_json(json.dumps(plain.get("store_key"))))
        check_choice("activation", described.activation, checkpoint.ACTIVATIONS)
        return described


def load(
    path: Path, *, store_key: StoreKey | None = None, labels: Sequence[str] | None = None
) -> tuple[Head | SequenceHead, Description]:
    """A head in evaluation mode and its description.

    path: either of the two files, or their common stem. store_key: of the features that it shall read, None does not
    ask; labels: the classes that it has to have, None takes any. InputError, naming the field: files missing or
    damaged, weights and description of different heads, a store_key that the head's features could not come from, other
    labels.
    """
    description = checkpoint.describe(path, Description)
    if store_key and (difference := key_difference(store_key, description.store_key, description.tokens)):
        raise InputError(f"{checkpoint.files(path)[1]}: {difference}")
    sizes, options = (description.widths, len(description.labels)), description.options
    head = checkpoint.restored(path, description, labels, lambda: build(description.head, *sizes, **options))
    return head, description
