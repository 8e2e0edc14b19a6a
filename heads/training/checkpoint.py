"""Checkpoints that describe themselves: NAME.safetensors (weights) and NAME.json (what they are) side by side.

The description carries everything that applying the head needs and everything that a later run could confuse: labels,
tokens and widths, the key of the store it was trained on, fold, settings, metrics, versions, and the hash of the
weights file. Nothing is unpickled, nothing is replaced silently: Yadav 2026 lost a model to a later run of one name.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save as to_bytes

from ...features import InputError
from ...features.files import read_json, sha256, write_bytes, write_json
from ...features.schema import record
from ...features.store import StoreKey
from ...finetune.checkpoint import ACTIVATIONS, files, label_difference, read_weights, require_choice, require_format
from ..inputs import taps_of
from ..modules import Head, build

FORMAT = "birdprobe head 1"


@dataclass(frozen=True)
class Description:
    """What a head's weights are.

    head: the kind, one of `modules.KINDS`; options: its constructor's further arguments. widths: token -> width, in the
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
        plain = require_format(found, FORMAT)
        described = record(cls, plain, store_key=StoreKey.from_json(json.dumps(plain.get("store_key"))))
        require_choice("activation", described.activation, ACTIVATIONS)
        return described


def save(folder: Path, name: str, module: Head, description: Description, overwrite: bool = False) -> Path:
    """Write FOLDER/NAME.safetensors, then FOLDER/NAME.json (its presence says that both are whole); the latter's path.

    InputError when either exists and `overwrite` is False.
    """
    weights, text = Path(folder) / f"{name}.safetensors", Path(folder) / f"{name}.json"
    for path in (weights, text):
        if path.exists() and not overwrite:
            raise InputError(f"{path}: a checkpoint found, none wanted. Use another folder, or --overwrite to lose it.")
    weights.parent.mkdir(parents=True, exist_ok=True)
    text.unlink(missing_ok=True)
    write_bytes(weights, to_bytes({key: value.contiguous() for key, value in module.state_dict().items()}))
    described = replace(description, weights_sha256=sha256(weights))
    write_json(text, described.to_json())
    return text


def load(
    path: Path, *, store_key: StoreKey | None = None, labels: Sequence[str] | None = None
) -> tuple[Head, Description]:
    """A head in evaluation mode and its description. path: either of the two files, or their common stem.

    InputError, naming the field: files missing or damaged, weights and description of different heads, a store_key that
    the head's features could not come from, other labels.
    """
    weights, text = files(path)
    for file in (weights, text):
        if not file.is_file():
            raise InputError(f"{file}: nothing found, a head's file wanted. The two files belong together.")
    try:
        description = Description.from_json(read_json(text))
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(str(text)) else f"{text}: {error}") from None
    if (found := sha256(weights)) != description.weights_sha256:
        raise InputError(
            f"{weights}: weights_sha256 {found[:12]} found, {description.weights_sha256[:12]} wanted by {text.name}. "
            "Were files of two runs mixed?"
        )
    if store_key and (difference := key_difference(store_key, description.store_key, description.tokens)):
        raise InputError(f"{text}: {difference}")
    if labels is not None and tuple(labels) != description.labels:
        raise InputError(
            f"{text}: labels {label_difference(description.labels, tuple(labels))}. Trained on other classes?"
        )
    try:
        module = build(description.head, description.widths, len(description.labels), **description.options)
    except TypeError as error:
        raise InputError(f"{text}: options {description.options} do not fit a {description.head} ({error}).") from None
    try:
        module.load_state_dict(read_weights(weights))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"{weights}: {' '.join(str(error).split())}") from None
    return module.eval(), description


def key_difference(found: StoreKey, wanted: StoreKey, tokens: Sequence[str]) -> str | None:
    """Why features under the key `found` do not fit a head of `tokens` trained under `wanted`; None where they do.

    Which windows of a clip were taken, with which seed and in which number type may differ: the features of one window
    do not depend on it. Of the taps only those that the head reads must be there.
    """
    if missing := [tap for tap in taps_of(tokens) if tap not in found.taps]:
        return f"taps {', '.join(found.taps)} on disk, {', '.join(missing)} wanted too. Made with another --taps?"
    same = {name: getattr(wanted, name) for name in ("taps", "selection", "seed", "dtype")}
    differences = replace(found, **same).differences(wanted)
    return differences[0] if differences else None
