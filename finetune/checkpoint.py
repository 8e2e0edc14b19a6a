"""Checkpoints that describe themselves: NAME.safetensors (weights) and NAME.json (what they are) side by side.

The weights are the network's, under the network's own names, so a trained Bird-MAE is a file in the published format
(and its head), which `--init` and other programs read. The front end is constants and is built, not stored. Nothing is
unpickled, nothing is replaced silently, and a writer that is killed leaves the old pair of files or the new one.
"""

import json
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..features import InputError
from ..features.files import read_json, replacing, sha256
from ..features.schema import record

if TYPE_CHECKING:
    from .models.members import Model

FORMAT = "birdprobe member 1"
ACTIVATIONS = ("sigmoid", "softmax")
PACKAGES = ("birdprobe", "torch", "numpy", "safetensors", "timm", "transformers", "accelerate")


@dataclass(frozen=True)
class Description:
    """What a member's weights are.

    member: its name, one that `members.get` knows. labels: names of the outputs, in order. activation: "sigmoid" or
    "softmax". options: the network constructor's further arguments. fold: the fold that it never saw, None where it saw
    every clip. epoch, step: how far it was trained (from 1). settings: how. init: where the weights began ("source",
    "revision", ...). metrics: on the fold that it never saw. versions: of birdprobe and the libraries. weights_sha256:
    set when saved.
    """

    member: str
    labels: tuple[str, ...]
    activation: str
    sample_rate: int = 32000
    window_s: float = 5.0
    options: dict = field(default_factory=dict)
    fold: int | None = None
    epoch: int = 0
    step: int = 0
    settings: dict = field(default_factory=dict)
    init: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    weights_sha256: str = ""

    @property
    def window_samples(self) -> int:
        return round(self.window_s * self.sample_rate)

    def to_json(self) -> dict:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, found: dict) -> "Description":
        """InputError: another format, fields missing or unknown, an activation that is none."""
        described = record(cls, require_format(found, FORMAT))
        require_choice("activation", described.activation, ACTIVATIONS)
        return described


def require_format(found: object, form: str) -> dict:
    """The fields of a description of this format, the format left out.

    Raises:
        InputError: another format, or none.
    """
    if not isinstance(found, dict) or found.get("format") != form:
        what = found.get("format", "no format") if isinstance(found, dict) else type(found).__name__
        raise InputError(f"{what} found, {form!r} wanted. Another file, or another version of birdprobe?")
    return {name: value for name, value in found.items() if name != "format"}


def require_choice(field: str, found: str, choices: Sequence[str]) -> None:
    """InputError where a field's word is none of its choices."""
    if found not in choices:
        raise InputError(f"{field} {found!r} found, one of {', '.join(choices)} wanted.")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. InputError: one that holds NaN or infinity."""
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(f"{path}: weight {name} holds NaN or infinity. Did the training diverge?")
    return tensors


def save(path: Path, network: nn.Module, description: Description, overwrite: bool = False) -> Path:
    """Write both files of the checkpoint `path` (either of them, or their common stem); the path of the description.

    InputError when either exists and `overwrite` is False.
    """
    weights, text = files(path)
    for file in (weights, text):
        if file.exists() and not overwrite:
            raise InputError(f"{file}: a checkpoint found, none wanted. Use another folder, or --overwrite to lose it.")
    weights.parent.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with replacing(text) as fresh_text, replacing(weights) as fresh:  # whole, both, before either takes its place
        save_file(state, fresh)
        described = replace(description, weights_sha256=sha256(fresh))
        fresh_text.write_text(json.dumps(described.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return text


def describe(path: Path) -> Description:
    """The description alone, which is quick. InputError: it is missing or damaged."""
    weights, text = files(path)
    for file in (weights, text):
        if not file.is_file():
            raise InputError(f"{file}: nothing found, a member's file wanted. The two files belong together.")
    try:
        return Description.from_json(read_json(text))
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(str(text)) else f"{text}: {error}") from None


def load(path: Path, *, labels: Sequence[str] | None = None) -> tuple["Model", Description]:
    """(the `members.Model` waveform [N, S] -> logits [N, K] in evaluation mode on the CPU, its description).

    path: either of the two files, or their common stem. InputError, naming the field: files missing or damaged, weights
    and description of different members, other labels than `labels`.
    """
    weights, text = files(path)
    description = describe(path)
    if (found := sha256(weights)) != description.weights_sha256:
        raise InputError(
            f"{weights}: weights_sha256 {found[:12]} found, {description.weights_sha256[:12]} wanted by {text.name}. "
            "Were files of two runs mixed?"
        )
    if labels is not None and tuple(labels) != description.labels:
        raise InputError(
            f"{text}: labels {label_difference(description.labels, tuple(labels))}. Trained on other classes?"
        )
    try:
        model = _assemble(description)
    except TypeError as error:
        raise InputError(f"{text}: options {description.options} do not fit {description.member} ({error}).") from None
    try:
        model.network.load_state_dict(read_weights(weights))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"{weights}: {' '.join(str(error).split())}") from None
    return model.eval(), description


def of_run(run: Path, name: str = "best") -> dict[int, Path]:
    """Fold -> the checkpoint `name` ("best" or "last") of each trained fold of a run, folds in order.

    InputError: the folder holds none.
    """
    found = {}
    for text in Path(run).glob(f"fold*/{name}.json"):
        if match := re.fullmatch(r"fold(\d+)", text.parent.name):
            found[int(match[1])] = text
    if not found:
        raise InputError(f"{run}: no fold*/{name}.json found, the folder of `birdprobe finetune` wanted.")
    return dict(sorted(found.items()))


def files(path: Path) -> tuple[Path, Path]:
    """(weights, description) of the checkpoint that either of them, or their common stem, names."""
    path = Path(path)
    stem = path.with_suffix("") if path.suffix in (".json", ".safetensors") else path
    return stem.parent / f"{stem.name}.safetensors", stem.parent / f"{stem.name}.json"


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a member of another library does not need it
            continue
    return found


def _assemble(description: Description) -> "Model":
    from .models import members

    return members.assemble(members.get(description.member), len(description.labels), **description.options)


def label_difference(found: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    """How two different lists of classes differ, in words."""
    if len(found) != len(wanted):
        return f"of {len(found)} classes found, {len(wanted)} wanted"
    i = next(i for i, (a, b) in enumerate(zip(found, wanted)) if a != b)
    return f"with {found[i]!r} at position {i} found, {wanted[i]!r} wanted"
