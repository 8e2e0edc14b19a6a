"""Optional company for a training, off by default: numbers to a `trackio` board, checkpoints to Hugging Face."""

import importlib
from collections.abc import Callable
from pathlib import Path

from ...features import InputError

CHECKPOINT = ("best.safetensors", "best.json", "log.csv")


class Tracker:
    """Hears one dict of numbers an epoch. A context manager; without a project it does nothing."""

    def __init__(self, project: str | None, name: str, config: dict):
        self._trackio = _optional("trackio", "--track") if project else None
        if self._trackio:
            self._trackio.init(project=project, name=name, config=config, resume="allow")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._trackio:
            self._trackio.finish()

    def log(self, numbers: dict, step: int) -> None:
        if self._trackio:
            known = {key: value for key, value in numbers.items() if value is not None}
            self._trackio.log(known, step=step)


def check(track: str | None, push_to_hub: str | None) -> None:
    """InputError at the start of a training rather than at its end: a library is missing, an ID is none."""
    if track:
        _optional("trackio", "--track")
    if push_to_hub:
        _optional("huggingface_hub", "--push-to-hub")
        if push_to_hub.count("/") != 1 or not all(push_to_hub.split("/")):
            raise InputError(f"`--push-to-hub` must be OWNER/NAME, got {push_to_hub!r}.")


def push(repo_id: str, folder: Path, fold: int, log: Callable[[str], None]) -> None:
    """Upload a fold's best checkpoint to the (private, if it is new) model repository, under foldK/.

    A hub that cannot be reached is told and not raised: the training is done and on the disk.
    """
    hub = _optional("huggingface_hub", "--push-to-hub")
    api = hub.HfApi()
    try:
        api.create_repo(repo_id, private=True, exist_ok=True)
        for name in CHECKPOINT:
            if (folder / name).is_file():
                api.upload_file(path_or_fileobj=folder / name, path_in_repo=f"fold{fold}/{name}", repo_id=repo_id)
    except (OSError, ValueError) as error:  # what the hub's own errors and its connection's derive from
        log(f"warning: {repo_id} not pushed ({' '.join(str(error).split())[:200]}); {folder} has everything.")
    else:
        log(f"pushed {folder} to {repo_id}")


def _optional(library: str, option: str):
    try:
        return importlib.import_module(library)
    except ImportError:
        raise InputError(
            f"{option}: the package {library} is wanted and not installed. pip install {library}?"
        ) from None
