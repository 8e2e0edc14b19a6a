"""Where a training stands, so that a killed run goes on to the same weights as one that was never killed.

    STATE/step-123.safetensors   network, EMA and optimizer state, all by parameter name
    STATE/state.json             step, history and the hash of that file

state.json is replaced in one move, after the tensors are on the disk, so whenever the writer is killed one whole state
is there, at worst an older one. The steps from it on are then repeated, and to the same numbers: batches, augmentations
and drop path of a step follow from (seed, fold, epoch, step) alone, so no generator's state needs to be kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...features import InputError
from ...features.files import parse_json, replacing, sha256, write_json

FORMAT = "birdprobe training state 1"


@dataclass(frozen=True, eq=False)
class State:
    """tensors: name -> Tensor on the CPU. facts: what JSON can hold; Python writes its floats so that they come back
    bit for bit."""

    tensors: dict[str, Tensor]
    facts: dict


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], facts: dict) -> None:
    """Put a state in the place of the folder's older one."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f"step-{step}.safetensors"
    with replacing(weights) as fresh:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, fresh)
    state = {"format": FORMAT, "weights": weights.name, "sha256": sha256(weights), "facts": facts}
    write_json(folder / "state.json", state, indent=None)
    for old in folder.glob("step-*"):
        if old != weights:
            old.unlink()


def snapshot(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, which the next steps do not change."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def load(folder: Path) -> State | None:
    """The state in the folder, None where there is none.

    InputError: one that is damaged, or of another version.
    """
    text = folder / "state.json"
    if not text.is_file():
        return None
    advice = "--overwrite begins the fold anew."
    try:
        found = parse_json(text.read_text())
        if found["format"] != FORMAT:
            raise InputError(f"{text}: expected {FORMAT!r}, got {found['format']!r}. Another version? {advice}")
        weights = folder / found["weights"]
        if not weights.is_file():
            raise InputError(f"{text}: damaged ({weights.name} is missing). {advice}")
        if (digest := sha256(weights)) != found["sha256"]:
            raise InputError(f"{weights}: expected sha256 {found['sha256'][:12]}, got {digest[:12]}. {advice}")
        return State(load_file(weights), found["facts"])
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
        raise InputError(f"{text}: damaged ({error}). {advice}") from None


def clear(folder: Path) -> None:
    """Remove the files of a state, and the folder if nothing else is in it."""
    for path in (folder / "state.json", *folder.glob("step-*"), *folder.glob(".s*")):  # after a kill
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def optimizer_tensors(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """What the optimizer knows of each parameter: "KEY/PARAMETER" -> Tensor. Parameters not yet stepped have none."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in network.named_parameters()}
    return {
        f"{key}/{names[parameter]}": torch.as_tensor(value)
        for parameter, known in optimizer.state.items()
        for key, value in known.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`, into an optimizer over the same parameters."""
    names = {parameter: name for name, parameter in network.named_parameters()}
    order = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    places = {name: i for i, name in enumerate(order)}
    known: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        key, _, parameter = name.partition("/")
        known.setdefault(places[parameter], {})[key] = tensor.clone()
    optimizer.load_state_dict(optimizer.state_dict() | {"state": known})


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}:{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `prefixed`: the tensors of one prefix, without it."""
    start = f"{prefix}:"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
