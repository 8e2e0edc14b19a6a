"""Checkpoints that describe themselves: NAME.safetensors (weights) and NAME.json (what they are) side by side.

The weights are the network's, under the network's own names, so a trained Bird-MAE is a file in the published format
(and its head), which `--init` and other programs read. The front end is constants and is built, not stored. Nothing is
unpickled, nothing is replaced silently, and a writer that is killed leaves the old pair of files or the new one.
"""

import json
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..features import InputError
from ..features.files import check_run, read_json, replacing, sha256
from ..features.schema import check_choice, record

if TYPE_CHECKING:
    from .models.members import Model

FORMAT = "birdprobe member 1"
ACTIVATIONS = ("sigmoid", "softmax")
PACKAGES = ("birdprobe", "torch", "numpy", "safetensors", "timm", "transformers", "accelerate")


class Described(Protocol):
    """What the description of a checkpoint has to offer: a frozen dataclass that JSON can hold."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def options(self) -> dict: ...

    @property
    def weights_sha256(self) -> str: ...

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def to_json(self) -> dict: ...

    @classmethod
    def from_json(cls, found: dict) -> Self: ...


D = TypeVar("D", bound=Described)
M = TypeVar("M", bound=nn.Module)


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
        check_choice("activation", described.activation, ACTIVATIONS)
        return described


def require_format(found: object, form: str) -> dict:
    """The fields of a description of this format, the format left out. InputError: another format, or none."""
    if not isinstance(found, dict) or found.get("format") != form:
        what = found.get("format", "no format") if isinstance(found, dict) else type(found).__name__
        raise InputError(f"expected {form!r}, got {what}. Another file, or another version of birdprobe?")
    return {name: value for name, value in found.items() if name != "format"}


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. InputError: one that holds NaN or infinity."""
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(f"{path}: weight {name} holds NaN or infinity. Did the training diverge?")
    return tensors


def save(path: Path, module: nn.Module | Mapping[str, Tensor], description: Described, overwrite: bool = False) -> Path:
    """Write both files of the checkpoint `path` (either of them, or their common stem); the path of the description.

    module: whose weights are written, or the weights. description: what they are; `weights_sha256` is filled in.
    InputError: either file exists and `overwrite` is False.
    """
    weights, text = files(path)
    for file in (weights, text):
        if file.exists() and not overwrite:
            raise InputError(f"{file}: expected no checkpoint, got one. Use another folder, or --overwrite to lose it.")
    weights.parent.mkdir(parents=True, exist_ok=True)
    tensors = module.state_dict() if isinstance(module, nn.Module) else module
    state = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(text) as fresh_text, replacing(weights) as fresh:  # whole, both, before either takes its place
        save_file(state, fresh)
        described = replace(description, weights_sha256=sha256(fresh))
        fresh_text.write_text(json.dumps(described.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return text


def describe(path: Path, kind: type[D]) -> D:
    """The description alone, of that class, which is quick. InputError: it is missing or damaged."""
    weights, text = files(path)
    for file in (weights, text):
        if not file.is_file():
            raise InputError(f"{file}: expected a checkpoint, got nothing. Its two files belong together.")
    try:
        return kind.from_json(read_json(text))
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(str(text)) else f"{text}: {error}") from None


def restored(path: Path, description: Described, labels: Sequence[str] | None, make: Callable[[], M]) -> M:
    """The module that `make` builds with a description's options, with the checkpoint's weights, in evaluation mode.

    InputError: other classes than `labels` (None takes any), options that do not fit, weights of another description.
    """
    weights, text = files(path)
    if labels is not None and tuple(labels) != description.labels:
        difference = label_difference(description.labels, tuple(labels))
        raise InputError(f"{text}: labels: {difference}. Trained on other classes?")
    try:
        module = make()
    except TypeError as error:
        raise InputError(f"{text}: options {description.options} do not fit ({error}).") from None
    if (found := sha256(weights)) != description.weights_sha256:
        raise InputError(
            f"{weights}: expected sha256 {description.weights_sha256[:12]}, as {text.name} says, got {found[:12]}. "
            "Were files of two runs mixed?"
        )
    try:
        module.load_state_dict(read_weights(weights))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"{weights}: {' '.join(str(error).split())}") from None
    return module.eval()


def load(path: Path, *, labels: Sequence[str] | None = None) -> tuple["Model", Description]:
    """A member, the `members.Model` waveform [N, S] -> logits [N, K] in evaluation mode on the CPU, and what it is.

    path: either of the two files, or their common stem. labels: the classes that it has to have; None takes any.
    InputError, naming the field: files missing or damaged, weights and description of different members, other labels.
    """
    from .models import members

    said = describe(path, Description)
    member, n = members.get(said.member), len(said.labels)
    network = restored(path, said, labels, lambda: member.network(n, **said.options))
    return members.Model(member.frontend(), network).eval(), said


def of_run(run: Path) -> dict[int, Path]:
    """Fold -> the best checkpoint of each trained fold of a run, folds in order.

    InputError: the folder holds none.
    """
    check_run(run, "finetune", "fold*/best.json")
    found = {}
    for text in Path(run).glob("fold*/best.json"):
        if match := re.fullmatch(r"fold(\d+)", text.parent.name):
            found[int(match[1])] = text
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


def label_difference(found: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    """How two different lists of classes differ, in words."""
    if len(found) != len(wanted):
        return f"expected {len(wanted)} classes, got {len(found)}"
    i = next(i for i, (a, b) in enumerate(zip(found, wanted)) if a != b)
    return f"expected {wanted[i]!r} at position {i}, got {found[i]!r}"
