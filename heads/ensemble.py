"""The heads of all folds as one: what a run predicts for audio that it never saw.

The mean is taken over probabilities, not logits.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..features import InputError
from ..features.files import check_run
from ..finetune.losses import probabilities
from ..probe.runtime.backbone import sha256
from . import sequences
from .inputs import assemble
from .sequences.head import SequenceHead
from .sequences.recordings import make_recordings
from .sequences.windows import Windows
from .training import checkpoint
from .training.checkpoint import Description


class Ensemble(nn.Module):
    """Base taps, one float [N, width] each -> mean over the members' probabilities [N, K]."""

    def __init__(self, members: Sequence[nn.Module], tokens: Sequence[str], taps: Sequence[str], activation: str):
        super().__init__()
        self.members = nn.ModuleList(members).eval()
        self.tokens, self.taps, self.activation = tuple(tokens), tuple(taps), activation

    def forward(self, *taps: torch.Tensor) -> torch.Tensor:
        xs = assemble(dict(zip(self.taps, taps)), self.tokens)
        return torch.stack([probabilities(member(xs), self.activation) for member in self.members]).mean(0)


class SequenceEnsemble(nn.Module):
    """Base taps, one float [B, T, ...] each -> mean over the members' probabilities [B, T, K]."""

    def __init__(self, members: Sequence[SequenceHead], tokens: Sequence[str], taps: Sequence[str], activation: str):
        super().__init__()
        self.members = nn.ModuleList(members).eval()
        self.tokens, self.taps, self.activation = tuple(tokens), tuple(taps), activation
        self.length, self.sites, self.n_classes = members[0].length, members[0].sites, members[0].n_classes
        self.needs_first_pass = members[0].needs_first_pass

    def forward(
        self, taps: Sequence[Tensor], mask: Tensor, site: Tensor, hour: Tensor, first_pass: Tensor | None = None
    ) -> Tensor:
        """taps in the order of `self.taps`; the others as `SequenceHead.forward` takes them."""
        flat = {tap: x.flatten(0, 1) for tap, x in zip(self.taps, taps)}
        xs = [x.unflatten(0, mask.shape) for x in assemble(flat, self.tokens)]
        found = [probabilities(member(xs, mask, site, hour, first_pass), self.activation) for member in self.members]
        return torch.stack(found).mean(0)


def predict_windows(
    ensemble: SequenceEnsemble, taps: Sequence[Tensor], rows: pd.DataFrame, first_pass: Tensor | None = None
) -> Tensor:
    """Probabilities [n, K] of windows whose recordings, times and places the table `rows` tells.

    taps: float [n, ...] in the order of `ensemble.taps`. rows: columns source, file, start_s. first_pass: logits
    [n, K], NaN where a class has none. InputError: the heads read a first pass and there is none.
    """
    if ensemble.needs_first_pass and first_pass is None:
        raise InputError("the head reads a first pass, got none. Give --first-pass.")
    recordings = make_recordings(rows, ensemble.length, ensemble.sites or ())
    windows = Windows(list(taps), torch.zeros(len(rows), 0), recordings, first_pass)
    return windows.said(ensemble, ensemble.n_classes, np.arange(len(recordings.index)))


@dataclass(frozen=True, eq=False)
class Members:
    """The heads of one name, a fold each, in evaluation mode; `description` holds for all but fold and metrics."""

    name: str
    folds: tuple[int | None, ...]
    modules: tuple[Any, ...]
    description: Description

    def require_model(self, model: Path, run: Path) -> None:
        """InputError unless the ONNX file `model` is the one that gave the heads of `run` their features."""
        self.require_one_model(run)
        wanted = self.description.store_key.model_sha256
        if (found := sha256(model)) != wanted:
            raise InputError(
                f"{model}: expected the model of {run}, sha256 {wanted[:12]}, got {found[:12]}. Were the features "
                "extracted with another model?"
            )

    def require_one_model(self, run: Path) -> None:
        """InputError for heads on imported embeddings, or on joined stores: no file gives them their features."""
        if self.description.store_key.modelless:
            raise InputError(
                f"{run}: trained on a store that `store import` or `store join` made, a single model that gives these "
                "taps wanted. Train on a store of `birdprobe extract` alone?"
            )

    @property
    def over_time(self) -> bool:
        """Whether they read recordings, not single windows."""
        return self.description.head in sequences.KINDS

    def over(self, taps: Sequence[str]) -> Ensemble:
        """One module that reads these base taps in this order."""
        return Ensemble(self.modules, self.description.tokens, taps, self.description.activation)

    def over_recordings(self, taps: Sequence[str]) -> SequenceEnsemble:
        """The same of heads over time."""
        return SequenceEnsemble(self.modules, self.description.tokens, taps, self.description.activation)

    def predict(
        self, taps: Sequence[str], xs: Sequence[torch.Tensor], rows: pd.DataFrame, first_pass: torch.Tensor | None
    ) -> torch.Tensor:
        """Probabilities [n, K] of cached windows: float [n, ...] per tap, their table, and what a first pass said."""
        if self.over_time:
            return predict_windows(self.over_recordings(taps), xs, rows, first_pass)
        return self.over(taps)(*xs)


def names_of(run: Path) -> dict[str, list[Path]]:
    """RUN/heads/NAME-fold<k>.json -> {NAME: its files in the order of the folds}. InputError: none there."""
    check_run(run, "train", "heads/*-fold*.json")
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted((Path(run) / "heads").glob("*-fold*.json")):
        name, fold = path.stem.rsplit("-fold", 1)
        if fold.isdecimal():
            found.setdefault(name, []).append((int(fold), path))
    return {name: [path for _, path in sorted(files)] for name, files in found.items()}


def load_members(run: Path, head: str | None = None, fold: int | None = None) -> Members:
    """One head of a run, all its folds or one.

    Args:
        run: the folder that `birdprobe train` wrote.
        head: its name in the run, as `train --head` took it, or a beginning that no other has; None for the only one.
        fold: one fold; None for all of them.

    Raises: InputError for no such head or fold, several heads and none named, folds that do not belong together.
    """
    there = names_of(run)
    if head is None and len(there) > 1:
        raise InputError(f"{run}: expected one head, got {', '.join(there)}. Choose it with --head.")
    wanted = re.sub("[:+]", "-", head or "")
    fitting = [wanted] if wanted in there else [name for name in there if name.startswith(wanted)]
    if head == "" or len(fitting) != 1:
        raise InputError(f"{run}: `--head` must be one of {', '.join(fitting or there)}, got {head or repr(head)}.")
    name = fitting[0]
    files = there[name]
    if fold is not None:
        files = [path for path in files if path.stem == f"{name}-fold{fold}"]
        if not files:
            raise InputError(f"{run}: `--fold` must be one of 0 to {len(there[name]) - 1}, got {fold}.")
    first, description = checkpoint.load(files[0])
    loaded = [(first, description)]
    for path in files[1:]:
        loaded.append(checkpoint.load(path, store_key=description.store_key, labels=description.labels))
        if (tokens := loaded[-1][1].tokens) != description.tokens:
            wanted = ", ".join(description.tokens)
            raise InputError(
                f"{path}: expected the taps {wanted}, as in {files[0].name}, got {', '.join(tokens)}. Two runs?"
            )
    return Members(
        name=name,
        folds=tuple(said.fold for _, said in loaded),
        modules=tuple(module for module, _ in loaded),
        description=description,
    )
