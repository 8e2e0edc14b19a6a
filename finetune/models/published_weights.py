"""Weights to begin with: a safetensors file, local or from the Hugging Face hub, loaded strictly or not at all.

Nothing is unpickled and no code is fetched. A network takes a file only when every tensor fits by name and shape;
otherwise one line names what is missing, what is extra and what has another shape.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ...features import InputError
from ...features.files import read_json

HUB = "https://huggingface.co"
FILE = "model.safetensors"
CONFIG = "config.json"
DROP = ("decoder.", "head.", "mask_token")  # of a masked autoencoder's checkpoint: what fine-tuning has no use for
PREFIXES = ("model.", "encoder.")  # under which the same network is stored by other programs
SHOWN = 3  # names per kind of fault


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU. InputError: no such file; a pickle; damaged or no safetensors."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: expected weights in safetensors, got no such file. A folder, or a misspelt path?")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        if _is_pickle(path):
            raise InputError(
                f"{path}: expected safetensors, got a PyTorch pickle. A pickle can run any code and is never opened; "
                f"the same weights usually lie beside it as {FILE}."
            ) from None
        raise InputError(f"{path}: expected a whole safetensors file, got {error}. An interrupted download?") from None


def _is_pickle(path: Path) -> bool:
    """Of a file that is no safetensors: that begins with its header's length, which may be these bytes, too."""
    with path.open("rb") as file:
        start = file.read(4)
    return start == b"PK\x03\x04" or start[:1] == b"\x80"


def load_strict(
    module: nn.Module,
    state: Mapping[str, Tensor],
    place: str,
    drop: Sequence[str] = DROP,
    prefixes: Sequence[str] = PREFIXES,
) -> tuple[str, ...]:
    """Copy `state` into the module, all of it or nothing; the names that were left out.

    drop: beginnings of names that are neither wanted of the file nor taken from it (the module keeps its own there).
    prefixes: stripped from a name that the module does not have as it stands. Numbers are converted to the module's
    type. place: what to call the file. InputError names the tensors that are missing, extra, of another shape, stored
    twice, of whole numbers where fractions are wanted, or not finite.
    """
    drop = tuple(drop)
    wanted = {name: value for name, value in module.state_dict().items() if not name.startswith(drop)}
    found, dropped, twice = {}, [], []
    for stored, value in state.items():
        name = _stripped(stored, wanted, prefixes)
        if name.startswith(drop):
            dropped.append(stored)
        elif name in found:
            twice.append(stored)
        else:
            found[name] = value
    shared = [name for name in wanted if name in found]
    faults = {
        "missing": [name for name in wanted if name not in found],
        "extra": [name for name in found if name not in wanted],
        "of another shape": [
            f"{name}: expected {list(wanted[name].shape)}, got {list(found[name].shape)}"
            for name in shared
            if found[name].shape != wanted[name].shape
        ],
        "stored twice": twice,
        "of another kind of number": [
            f"{name} {str(found[name].dtype).removeprefix('torch.')}"
            for name in shared
            if found[name].is_floating_point() != wanted[name].is_floating_point()
        ],
    }
    if not any(faults.values()):
        faults = {"not finite": [name for name in shared if not _finite(found[name])]}
    if any(faults.values()):
        raise InputError(_told(faults, place, type(module).__name__, len(wanted)))
    with torch.no_grad():
        for name, value in module.state_dict(keep_vars=True).items():
            if name in found:
                value.copy_(found[name])
    return tuple(dropped)


def _finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value).all())


def _stripped(name: str, wanted: Mapping[str, Tensor], prefixes: Sequence[str]) -> str:
    """The name without the prefixes in front (model.encoder.norm.weight too), unless the module has it as it stands."""
    while name not in wanted and (prefix := next((p for p in prefixes if name.startswith(p)), None)):
        name = name.removeprefix(prefix)
    return name


def _told(faults: dict[str, list[str]], place: str, network: str, total: int) -> str:
    """One line: how many of each fault, the first few by name, and what that usually means."""
    parts = []
    for kind, names in faults.items():
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            parts.append(f"{len(names)} {kind} ({', '.join(names[:SHOWN])}{more})")
    missing, extra = len(faults.get("missing", ())), len(faults.get("extra", ()))
    if missing == total:
        why = "Weights of another network?"
    elif any("pos_embed" in name for name in faults.get("of another shape", ())):
        why = "Weights of another size of the network, or of another input size?"
    elif faults.get("of another shape"):
        why = "Weights of another size of the network?"
    elif faults.get("not finite"):
        why = "A training that diverged, or a damaged file?"
    elif missing and not extra:
        why = "A shallower network, or a part of a file?"
    elif extra and not missing:
        why = "A deeper network, or one with a further head?"
    else:
        why = "Weights of another network, or under other names?"
    return f"{place}: expected exactly the {total} tensors of {network}, got {', '.join(parts)}. {why}"


# --- config.json ---


def read_config(path: Path) -> dict | None:
    """A config.json, None where there is none. InputError: not a JSON object."""
    return read_json(path) if path.is_file() else None


def check_config(found: Mapping, wanted: Mapping, place: str) -> None:
    """Compare a checkpoint's config.json with the member's, field by field; fields that only one has say nothing.

    InputError names every field that differs.
    """
    differing = [
        f"{name}: expected {value!r}, got {found[name]!r}"
        for name, value in wanted.items()
        if name in found and found[name] != value
    ]
    if differing:
        raise InputError(
            f"{place}: config.json beside it: {'; '.join(differing)}. The configuration of another member?"
        )


# --- the hub ---


def from_hub(
    repo_id: str, filename: str = FILE, revision: str | None = None, optional: bool = False
) -> tuple[Path | None, str]:
    """(path in the hub's cache, commit hash) of one file; fetched unless the cache has it.

    revision: branch, tag or commit, by default the main branch. optional: a file that the repository does not have
    gives (None, revision) instead of an error. InputError: out of reach, no such repository, revision or file; it says
    what to download by other means and where to put it.
    """
    from huggingface_hub import errors, hf_hub_download  # takes half a second, and most runs need none of it

    url = f"{HUB}/{repo_id}/resolve/{revision or 'main'}/{filename}"
    try:
        path = Path(hf_hub_download(repo_id, filename, revision=revision))
    except errors.EntryNotFoundError as error:
        # LocalEntryNotFoundError is one too: not in the cache, and the hub out of reach
        if optional:
            return None, revision or "main"
        raise _unreached(url, error) from None
    except (OSError, errors.HTTPError, errors.HFValidationError) as error:
        raise _unreached(url, error) from None
    return path, _commit(path) or revision or "main"


def _unreached(url: str, error: Exception) -> InputError:
    from huggingface_hub import errors

    if isinstance(error, (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled)):
        reason = "the hub is out of reach and its cache on this machine has no copy"
    elif isinstance(error, errors.RepositoryNotFoundError):
        reason = "no such repository, or a closed one"
    elif isinstance(error, errors.RevisionNotFoundError):
        reason = "no such revision"
    elif isinstance(error, errors.EntryNotFoundError):
        reason = "no such file in the repository"
    else:
        reason = f"{type(error).__name__} ({(str(error).strip().splitlines() or ['no reason given'])[0].rstrip('.')})"
    return InputError(
        f"{url}: expected the file, got {reason}. Without the network: download that address elsewhere, "
        f"put the file anywhere on this machine (and {CONFIG} beside it), and give it as --init FILE."
    )


def _commit(path: Path) -> str | None:
    """The hub's cache keeps a file under .../snapshots/COMMIT/name."""
    parts = path.parts
    at = parts.index("snapshots") + 1 if "snapshots" in parts else len(parts)
    return parts[at] if at < len(parts) - 1 else None
