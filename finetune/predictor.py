"""open_member(): all folds of a fine-tuned member as one predictor of windows, for `probe.soundscapes`.

    windows [n, S] -> as they are, reversed, quieter -> front end -> every fold's network -> logits, averaged over folds
                   and variants -> sigmoid or softmax -> no-call -> probabilities [n, K]

The mean is taken over logits, as the published ensemble does (model card "BirdCLEF 2026: multi-model ensemble": logit
averaging over folds, test-time augmentation by time reversal and gain, no-call detection).
"""

import hashlib
import json
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..features import InputError
from ..features.schema import check_choice, checked
from . import checkpoint
from .checkpoint import Description
from .data.folds import NO_CALL
from .losses import probabilities
from .models.network import FrameNetwork, Mixed, Network
from .torch_settings import torch_threads

GAIN_DB = -6.0  # ours: the card names no amount
TTA = ("reverse", "gain")
NO_CALLS = ("damp", "drop", "keep")
PRECISIONS = ("float32", "bfloat16")
SHARED = ("member", "labels", "activation", "sample_rate", "window_s", "options")  # what folds have to agree in


@dataclass(frozen=True, eq=False)
class MemberPredictor:
    """The predictor that `probe.soundscapes` takes. `normalise` is "none": the front end does what there is to do.

    folds: whose networks are averaged. variants: gains by which the windows are heard, negative ones in reverse.
    no_call: "damp", "drop" or "keep", see `open_member`; "keep" where no class says no-call.
    """

    labels: tuple[str, ...]
    sample_rate: int
    window_samples: int
    identity: str
    member: str
    folds: tuple[int, ...]
    activation: str
    variants: tuple[float, ...]
    no_call: str
    frontend: nn.Module = field(repr=False)
    networks: tuple[Network, ...] = field(repr=False)
    device: torch.device
    precision: str = "float32"
    threads: int | None = None
    silent: int | None = None  # column of the no-call class among the networks' outputs
    normalise: str = "none"

    def at_work(self) -> AbstractContextManager[None]:
        """Meanwhile torch computes with as many threads as were asked for."""
        return torch_threads(self.threads)

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """float32 [n, window_samples] -> float32 [n, K], values in 0..1."""
        if windows.ndim != 2 or windows.shape[1] != self.window_samples:
            raise ValueError(f"windows: expected [n, {self.window_samples}], got {windows.shape}")
        logits = self.logits(torch.from_numpy(np.ascontiguousarray(windows, np.float32)))
        return self._called(probabilities(logits, self.activation)).numpy()

    @torch.inference_mode()
    def logits(self, windows: Tensor) -> Tensor:
        """float32 [n, S] -> [n, classes of the networks] on the CPU, the mean over folds and variants."""
        windows = windows.to(self.device)
        total = torch.zeros((), device=self.device)
        for gain in self.variants:
            x = self.frontend(abs(gain) * (windows.flip(1) if gain < 0 else windows))
            total = total + sum(Mixed(network, self.dtype)(x) for network in self.networks)
        return (total / (len(self.variants) * len(self.networks))).cpu()

    @property
    def has_frames(self) -> bool:
        """Whether `frames` can be asked for: of a sound event detector."""
        return all(isinstance(network, FrameNetwork) for network in self.networks)

    @torch.inference_mode()
    def frames(self, windows: np.ndarray) -> np.ndarray:
        """float32 [n, window_samples] -> float32 [n, T, K], values in 0..1 over T frames of equal length.

        Folds and variants are averaged as logits; reversed windows are turned back first.
        """
        heard, found = torch.from_numpy(np.ascontiguousarray(windows, np.float32)).to(self.device), []
        for gain in self.variants:
            x = self.frontend(abs(gain) * (heard.flip(1) if gain < 0 else heard))
            for network in self.networks:
                assert isinstance(network, FrameNetwork)
                logits, _ = network.detect(Mixed(network, self.dtype).tokens(x))
                found.append(logits.flip(1) if gain < 0 else logits)
        return self._called(torch.stack(found).mean(0).sigmoid().cpu()).numpy()

    @property
    def dtype(self) -> torch.dtype | None:
        return torch.bfloat16 if self.precision == "bfloat16" else None

    def _called(self, p: Tensor) -> Tensor:
        """Without the no-call class, the others times the probability that anything calls."""
        if self.silent is None or self.no_call == "keep":
            return p
        rest = torch.cat([p[..., : self.silent], p[..., self.silent + 1 :]], dim=-1)
        if self.no_call == "drop" or self.activation == "softmax":  # a softmax shares out what is left already
            return rest
        return rest * (1 - p[..., self.silent : self.silent + 1])


def is_run(path: Path) -> bool:
    """Whether a folder is one that `birdprobe finetune` wrote (and not one of heads)."""
    return any(Path(path).glob("fold*/*.safetensors"))


@checked
def open_member(
    run: Path,
    fold: int | None = None,
    tta: Sequence[str] = TTA,
    *,
    no_call: str = "damp",
    device: str = "auto",
    precision: str = "float32",
    threads: int | None = 1,
) -> MemberPredictor:
    """The trained folds of a run as one predictor.

    Args:
        run: the folder of `birdprobe finetune`.
        fold: one fold's network; None for all of them, their logits averaged.
        tta: what is averaged beside the windows as they are: "reverse" (in time), "gain" (6 dB quieter) or "gain:DB".
        no_call: what a trained class `nocall` does: "damp" the others by 1 - p, "drop" out, or "keep" its column.
        device: "cpu", "cuda", or "auto", which is CUDA where there is any.
        precision: "float32" or "bfloat16".
        threads: of one call on the CPU; several calls at a time are faster than several threads.

    Returns: called with windows float32 [n, window_samples], it gives probabilities float32 [n, K].
    Raises: InputError for no such run, fold, variant or choice; folds of different members, labels or settings.
    """
    variants = variants_of(tta)
    check_choice("--no-call", no_call, NO_CALLS)
    check_choice("precision", precision, PRECISIONS)
    paths = chosen(run, fold)
    loaded = [checkpoint.load(path) for path in paths.values()]
    first = loaded[0][1]
    for path, (_, other) in zip(paths.values(), loaded):
        for name in SHARED:
            if (found := getattr(other, name)) != (wanted := getattr(first, name)):
                found, wanted = (textwrap.shorten(str(value), 80) for value in (found, wanted))
                raise InputError(f"{path}: {name}: expected {wanted}, as fold {next(iter(paths))} has, got {found}.")
    on = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    models = [model.to(on).eval() for model, _ in loaded]
    silent = first.labels.index(NO_CALL) if NO_CALL in first.labels else None
    removed = silent is not None and no_call != "keep"
    return MemberPredictor(
        labels=tuple(label for label in first.labels if not removed or label != NO_CALL),
        sample_rate=first.sample_rate,
        window_samples=first.window_samples,
        identity=identity_of([said for _, said in loaded], variants, no_call if removed else "keep", precision),
        member=first.member,
        folds=tuple(paths),
        activation=first.activation,
        variants=variants,
        no_call=no_call if removed else "keep",
        frontend=models[0].frontend,
        networks=tuple(model.network for model in models),
        device=on,
        precision=precision,
        threads=threads,
        silent=silent,
    )


def variants_of(tta: Sequence[str]) -> tuple[float, ...]:
    """Gains, the plain windows' 1.0 first; a negative one is heard in reverse. InputError: an unknown variant."""
    found = [1.0]
    for text in tta:
        name, _, amount = text.partition(":")
        try:
            decibel = float(amount) if amount else GAIN_DB
        except ValueError:
            decibel = float("nan")
        if text == "reverse":
            found.append(-1.0)
        elif name == "gain" and -60 <= decibel <= 60:
            found.append(10 ** (decibel / 20))
        else:
            raise InputError(f"`--tta` must be reverse, gain or gain:DB (-60 to 60), got {text!r}.")
    return tuple(dict.fromkeys(found))


def chosen(run: Path, fold: int | None) -> dict[int, Path]:
    """Fold -> its checkpoint; all folds for None. InputError: no run, or a fold that it does not have."""
    there = checkpoint.of_run(run)
    if fold is None:
        return there
    if fold not in there:
        raise InputError(f"{run}: `--fold` must be one of {', '.join(map(str, there))}, got {fold}.")
    return {fold: there[fold]}


def identity_of(said: Sequence[Description], variants: Sequence[float], no_call: str, precision: str) -> str:
    """A hash that changes whenever the numbers could: weights, labels, what is done to windows and probabilities."""
    parts = [[one.weights_sha256, one.member, list(one.labels), one.activation, one.options] for one in said]
    return hashlib.sha256(json.dumps([parts, list(variants), no_call, precision], sort_keys=True).encode()).hexdigest()
