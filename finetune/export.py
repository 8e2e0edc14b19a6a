"""export(): a member as one ONNX file, front end inside: waveform float32 [N, S] -> embedding, logits, probabilities.

    waveform [N, S] -> front end -> network -> embedding [N, D] -> classifier -> logits [N, K] -> probabilities [N, K]
                                            -> frames [N, T, K], the probabilities over time of a sound event detector

Blocks, embedding and logits of such a file are found by `birdprobe sweep` like those of any backbone, and `birdprobe
predict` takes it like a fused file: labels, sample rate and window are in its metadata. A member that was not trained
on anything yet (published weights, a fresh head) ends at its embedding. What is written was compared with torch.
"""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..features import InputError
from ..features.drafts import draft_folder
from ..features.files import check_exists, check_new
from ..features.progress import Log, listener
from ..features.schema import checked
from . import checkpoint, initial_weights
from .checkpoint import Description
from .exporter import program_of, quiet
from .losses import probabilities
from .models import members, timm_backbone
from .models.members import Model
from .models.network import FrameNetwork
from .models.sed import mean_of_sigmoids
from .predictor import chosen

EXPECTED = "a run of `birdprobe finetune`, a checkpoint in it or a member's name"
OPSET = 18  # the least that torch's exporter writes
TOLERANCE = 1e-4  # largest difference to torch, in units of a window's largest magnitude, at least 1
LOUDNESS = (0.5, 0.1, 1e-2, 1e-4)  # standard deviation of the noise that is compared


@dataclass(frozen=True)
class Exported:
    """What export() wrote. max_abs: output -> largest difference to torch, see TOLERANCE. data: the second file that
    holds the weights of a model above 2 GB; it has to stay beside the first."""

    path: Path
    member: str
    labels: tuple[str, ...]
    outputs: tuple[str, ...]
    window_samples: int
    size: int  # bytes
    max_abs: dict[str, float] = field(hash=False)
    data: Path | None = None

    def __repr__(self) -> str:
        beside = f" and {self.data.name}" if self.data else ""
        return (
            f"{self.path}{beside}: {self.member}, waveform [N,{self.window_samples}] -> {', '.join(self.outputs)}; "
            f"{self.size / 1e6:.1f} MB; within {max(self.max_abs.values()):.0e} of torch"
        )


class Outputs(nn.Module):
    """A member's outputs in the order of `names`; without an activation the embedding alone."""

    def __init__(self, model: Model, activation: str | None):
        super().__init__()
        self.model, self.activation = model, activation
        self.names: tuple[str, ...] = ("logits", "embedding", "probabilities") if activation else ("embedding",)
        if activation and isinstance(model.network, FrameNetwork):
            self.names = (*self.names, "frames")

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        network = self.model.network
        tokens = network.tokens(self.model.frontend(waveform))
        embedding = network.embedding(tokens)
        if self.activation is None:
            return (embedding,)
        if isinstance(network, FrameNetwork):
            frames, clip = network.detect(tokens)
            logits = mean_of_sigmoids(frames, clip)
            return logits, embedding, probabilities(logits, self.activation), frames.sigmoid()
        # one path from the embedding to the logits where there is one, so that the graph computes nothing twice
        last = network.classifier
        logits = last(embedding) if isinstance(last, nn.Module) else network.logits(tokens)
        return logits, embedding, probabilities(logits, self.activation)


@checked
def export(
    what: str | Path,
    output: Path,
    *,
    fold: int | None = None,
    init: Path | None = None,
    pretrained: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    log: Log | None = None,
) -> Exported:
    """One ONNX file of a fine-tuned member or of any timm backbone, front end inside.

    Args:
        what: the folder of `birdprobe finetune`, a checkpoint in it, a member's name or a timm backbone's.
        output: the file to write: waveform float32 [N, S] -> logits, embedding and probabilities, or the embedding;
            of a sound event detector frames [N, T, K] too, probabilities over time.
        fold: of a run with several.
        init, pretrained: for a name, the weights that it gets; random ones otherwise.
        overwrite: replace an existing file.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.

    Returns: what was written, and how far it is from torch.
    Raises: InputError for an existing file; no such run, fold, member; options that do not belong together; a result
        that differs from torch by more than 1e-4.
    """
    log = listener(log, progress)
    out = Path(output)
    if out.suffix != ".onnx":
        raise InputError(f"{out}: expected a name that ends in .onnx.")
    check_new(out, overwrite)
    path = Path(what)
    trained = path.is_dir() or any(file.is_file() for file in checkpoint.files(path))
    if trained:
        if init is not None or pretrained:
            raise InputError(f"{path}: has weights and options of its own; --init and --pretrained go with a name.")
        model, said = checkpoint.load(find(path, fold))
    else:
        if fold is not None:
            raise InputError(f"`--fold`: expected a folder of `birdprobe finetune`, got {what}.")
        if len(path.parts) > 1 and ":" not in str(what):
            check_exists(path, EXPECTED)
        model, said = fresh(str(what), init, pretrained, log)
    log(f"exporting {said.member}: a minute for large ones")
    return write(model, said, out)


def find(path: Path, fold: int | None) -> Path:
    """The checkpoint that a run's folder and a fold, or a file, name. InputError: several folds and none chosen."""
    if not path.is_dir():
        return path
    there = chosen(path, fold)
    if len(there) > 1:
        raise InputError(f"{path}: expected one fold, got {', '.join(map(str, there))}. Choose it with --fold.")
    return next(iter(there.values()))


def fresh(name: str, init: Path | None, pretrained: bool, log: Callable[[str], None]) -> tuple[Model, Description]:
    """A member as it is before training: published weights, or random ones, and no labels."""
    if name not in members.MEMBERS and timm_backbone.known(name):
        name = members.TIMM + name
    try:
        member = members.get(name)
    except InputError as error:
        raise InputError(f"{name}: no such file or folder, expected {EXPECTED}; {error}") from None
    model = members.assemble(member, 1).eval()
    began = initial_weights.begin(model.network, member, init, pretrained)
    if began["source"] == "random":
        log(f"{name}: random weights, good for a look at its blocks. Give --init or --pretrained for trained ones.")
    return model, Description(member.name, (), "sigmoid", member.sample_rate, member.window_s, init=began)


def write(model: Model, said: Description, out: Path) -> Exported:
    """The model's graph into `out`, compared with torch before it takes the place of what was there."""
    module = Outputs(model, said.activation if said.labels else None).eval()
    program = program_of(module, [torch.zeros(2, said.window_samples)], ["waveform"], module.names, OPSET)
    try:
        for name, value in metadata(said).items():
            program.model.metadata_props[name] = value if isinstance(value, str) else json.dumps(value)
        off = compare(program, module, said.window_samples, out)
        with draft_folder(out) as folder:
            program.save(folder / out.name)
            written = sorted(folder.iterdir(), key=lambda file: file.name == out.name)  # the weights first
            for file in written:
                file.replace(out.parent / file.name)
    finally:
        program.release()
    paths = [out.parent / file.name for file in written]
    return Exported(
        path=out,
        member=said.member,
        labels=said.labels,
        outputs=module.names,
        window_samples=said.window_samples,
        size=sum(path.stat().st_size for path in paths),
        max_abs=off,
        data=next((path for path in paths if path != out), None),
    )


def metadata(said: Description) -> dict:
    """What the file says of itself: under the names that a fused file uses, and where its weights are from."""
    return {
        "labels": list(said.labels),
        "member": said.member,
        "fold": said.fold,
        "activation": said.activation,
        "sample_rate": said.sample_rate,
        "window_s": said.window_s,
        "normalise": "none",
        "options": said.options,
        "init": said.init,
        "weights_sha256": said.weights_sha256,
        "birdprobe": version("birdprobe"),
    }


def compare(program: torch.onnx.ONNXProgram, module: Outputs, samples: int, place: Path) -> dict[str, float]:
    """Output -> largest difference between ONNX Runtime and torch on seeded noise, loud and quiet, and on silence.

    In units of a window's largest magnitude where that is above 1. A window counts only where torch agrees with itself:
    a network of little training can blow rounding up without bounds on audio unlike its own, which is no fault of the
    export. InputError: above TOLERANCE, or no window counts.
    """
    rng = np.random.default_rng(0)
    levels = np.array([*LOUDNESS, 0.0], np.float32)[:, None]
    waveform = torch.from_numpy(levels * rng.standard_normal((len(levels), samples), dtype=np.float32))
    with torch.no_grad():
        wanted = module(waveform)
    with quiet():
        off = differences(program(waveform), wanted)  # [outputs, windows]
    counts = torch.ones(len(levels), dtype=torch.bool)
    if not bool((off <= TOLERANCE).all()):
        with torch.no_grad():
            counts = (differences(rounded(module)(waveform), wanted) <= TOLERANCE / 10).all(dim=0)
    largest = off[:, counts].amax(dim=1) if counts.any() else torch.full((len(off),), torch.nan)
    for name, value in zip(module.names, largest.tolist()):
        if not value <= TOLERANCE:
            raise InputError(
                f"{place}: {name}: expected within {TOLERANCE:g} of torch's, got {value:.1e}. Weights that are not "
                "finite, or a network that torch cannot export?"
            )
    return dict(zip(module.names, largest.tolist()))


def differences(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """float [outputs, windows]: the largest of each window, over its largest magnitude where that is above 1."""
    pairs = [(a.flatten(1), b.flatten(1)) for a, b in zip(found, wanted)]
    return torch.stack([(a - b).abs().amax(dim=1) / b.abs().amax(dim=1).clamp(min=1.0) for a, b in pairs])


def rounded(module: Outputs) -> Outputs:
    """A copy whose weights are off by about the last digit of a float32."""
    other = copy.deepcopy(module)
    draws = torch.Generator().manual_seed(0)
    eps = torch.finfo(torch.float32).eps
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(1 + eps * torch.randn(weight.shape, generator=draws))
    return other
