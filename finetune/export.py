"""export(): a member as one ONNX file, front end inside: waveform float32 [N, S] -> embedding, logits, probabilities.

    waveform [N, S] -> front end -> network -> embedding [N, D] -> classifier -> logits [N, K] -> probabilities [N, K]

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
from . import checkpoint, initial_weights
from .checkpoint import Description
from .exporter_log import quiet
from .models import members, timm_backbone
from .models.members import Model

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

    def __str__(self) -> str:
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
        self.names = ("logits", "embedding", "probabilities") if activation else ("embedding",)

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        network = self.model.network
        tokens = network.tokens(self.model.frontend(waveform))
        embedding = network.embedding(tokens)
        if self.activation is None:
            return (embedding,)
        # one path from the embedding to the logits where there is one, so that the graph computes nothing twice
        last = network.classifier
        logits = last(embedding) if isinstance(last, nn.Module) else network.logits(tokens)
        probabilities = torch.sigmoid(logits) if self.activation == "sigmoid" else torch.softmax(logits, dim=1)
        return logits, embedding, probabilities


def export(
    what: str | Path,
    out: Path,
    *,
    fold: int | None = None,
    which: str = "best",
    init: Path | None = None,
    pretrained: bool = False,
    options: dict | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Exported:
    """Write `out`. what: the folder of `birdprobe finetune`, a checkpoint in it, a member's name or a timm backbone's.

    fold: of a run with several; which: its "best" or "last" checkpoint. init, pretrained, options: for a name, the
    weights that it gets (random ones otherwise) and the network's further arguments.
    InputError: an `out` that exists; no such run, fold, member; options that do not belong together; a result that
    differs from torch.
    """
    out = Path(out)
    if out.suffix != ".onnx":
        raise InputError(f"{out}: a name that ends in .onnx wanted.")
    if out.exists() and not overwrite:
        raise InputError(f"{out}: exists, a new file wanted. Use --overwrite to replace it.")
    path = Path(what)
    trained = path.is_dir() or any(file.is_file() for file in checkpoint.files(path))
    if trained:
        if init is not None or pretrained or options:
            raise InputError(f"{path}: has weights and options of its own; --init and --pretrained go with a name.")
        model, said = checkpoint.load(find(path, fold, which))
    else:
        if fold is not None:
            raise InputError(f"--fold {fold} found, but {what} is no folder of `birdprobe finetune`.")
        model, said = fresh(str(what), init, pretrained, options or {}, say)
    say(f"exporting {said.member}: a minute for large ones")
    return write(model, said, out)


def find(path: Path, fold: int | None, which: str) -> Path:
    """The checkpoint that a run's folder and a fold, or a file, name. InputError: several folds and none chosen."""
    if not path.is_dir():
        return path
    there = checkpoint.of_run(path, which)
    if fold is None and len(there) > 1:
        raise InputError(f"{path}: folds {', '.join(map(str, there))} found, one wanted. Choose it with --fold.")
    if fold is not None and fold not in there:
        raise InputError(f"{path}: --fold {fold} found, one of {', '.join(map(str, there))} wanted.")
    return next(iter(there.values())) if fold is None else there[fold]


def fresh(
    name: str, init: Path | None, pretrained: bool, options: dict, say: Callable[[str], None]
) -> tuple[Model, Description]:
    """A member as it is before training: published weights, or random ones, and no labels."""
    if name not in members.MEMBERS and timm_backbone.known(name):
        name = members.TIMM + name
    member = members.get(name)
    model = members.assemble(member, 1, **options).eval()
    began = initial_weights.begin(model.network, member, init, pretrained)
    if began["source"] == "random":
        say(f"{name}: random weights, good for a look at its blocks. Give --init or --pretrained for trained ones.")
    return model, Description(
        *(member.name, (), "sigmoid", member.sample_rate, member.window_s), options=options, init=began
    )


def write(model: Model, said: Description, out: Path) -> Exported:
    """The model's graph into `out`, compared with torch before it takes the place of what was there."""
    module = Outputs(model, said.activation if said.labels else None).eval()
    program = trace(module, said.window_samples)
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


def trace(module: Outputs, samples: int) -> torch.onnx.ONNXProgram:
    """The module as a graph with a free batch and a window of fixed length."""
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (torch.zeros(2, samples),),
            input_names=["waveform"],
            output_names=list(module.names),
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            verbose=False,
        )
    assert program is not None  # the older exporter alone returns nothing
    return program


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
                f"{place}: {name} differs by {value:.1e} from torch's, {TOLERANCE:g} wanted. Weights that are not "
                "finite, or a network that torch cannot export?"
            )
    return dict(zip(module.names, largest.tolist()))


def differences(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """float [outputs, windows]: the largest of each window, over its largest magnitude where that is above 1."""
    pairs = list(zip(found, wanted))
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
