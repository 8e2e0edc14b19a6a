"""Heads over time behind their backbone: the windows of one recording in, windows x classes out.

    waveform [T, S] -> backbone -> taps [T, ...] -> filled up with zeros to [L, ...] -> heads -> [L, K] -> [T, K]
                                                    mask [1, L]: first T are windows ----^
                                   site [1], hour [1], where the heads read them --------^

The exported heads have one size, L windows, and know padding by its mask, so nothing in them depends on T: only the
joints do, a Pad before and a Slice behind. T goes from 1 to L; of longer recordings the caller gives pieces of L.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from ...features import InputError
from ...features.recordings.names import PATTERN
from ...finetune.exporter import program_of
from ...probe.graph.load import default_opset
from ...probe.surgery.expose import Exposed, rebuild
from ..ensemble import Members, SequenceEnsemble
from ..first_passes import Mapped
from ..sequences.first_pass_origin import FirstPassOrigin
from .grafting import OUTPUT, prefixed

MASK, SITE, HOUR = "recording/mask", "site", "hour"
ARITY = "the windows of one recording"


class RecordingHead(nn.Module):
    """Taps [L, ...] in the order of the ensemble's, mask [1, L], and site and hour int64 [1] where it reads them;
    probabilities [L, K]. The first pass comes from the tap of its origin, the classes' outputs picked in here."""

    def __init__(self, ensemble: SequenceEnsemble, origin: FirstPassOrigin | None):
        super().__init__()
        self.ensemble, self.tap = ensemble, origin and origin.tap
        outputs = None if origin is None else origin.outputs
        self.picked = nn.Identity() if outputs is None else Mapped(outputs, absent=torch.nan)

    @property
    def placed(self) -> bool:
        return self.ensemble.sites is not None

    def forward(self, *inputs: Tensor) -> Tensor:
        n = len(self.ensemble.taps)
        taps, mask = [x[None] for x in inputs[:n]], inputs[n]
        site, hour = inputs[n + 1 :] if self.placed else (torch.zeros(1, dtype=torch.int64),) * 2
        first = None
        if self.tap is not None:
            first = self.picked(taps[self.ensemble.taps.index(self.tap)].flatten(2))
        return self.ensemble(taps, mask, site, hour, first)[0]


def origin_of(members: Members) -> FirstPassOrigin | None:
    """Where the heads' first pass comes from. InputError: from a table, which no graph can compute."""
    found = members.description.settings.get("first_pass")
    origin = None if found is None else FirstPassOrigin.from_json(found)
    if origin is not None and origin.tap is None:
        raise InputError(
            f"head {members.name}: its first pass is the table {origin.text}, which cannot be fused. Train it with "
            "--first-pass logits, or predict with the run."
        )
    return origin


def graft(exposed: Exposed, head: RecordingHead, n_classes: int) -> onnx.ModelProto:
    """The heads exported and put behind the backbone. InputError: a backbone of a fixed batch."""
    fixed = exposed.model.graph.output[0].type.tensor_type.shape.dim[0].dim_value
    if fixed:
        raise InputError(f"model: takes {fixed} windows a call, expected any number: {ARITY} go in together.")
    length = head.ensemble.length
    fitted = {source: f"recording/{tap}" for tap, source in exposed.outputs.items()}
    example = [torch.randn(length, *exposed.dims[tap]) for tap in exposed.outputs]
    example += [torch.ones(1, length, dtype=torch.bool)]
    example += [torch.tensor([1]), torch.tensor([1])] if head.placed else []  # one tensor twice would be one input
    names = [*fitted.values(), MASK, *([SITE, HOUR] if head.placed else [])]
    opset = default_opset(exposed.model)
    exported = program_of(head, example, names, [f"{OUTPUT}/{ARITY}"], opset, variadic=True, free=False).model_proto
    nodes, weights = prefixed(exported, {*names, f"{OUTPUT}/{ARITY}"})
    more, constants = joints(
        fitted, {source: len(exposed.dims[tap]) for tap, source in exposed.outputs.items()}, length
    )
    info = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["windows", n_classes])
    return rebuild(exposed.model, [*exposed.model.graph.node, *more, *nodes], [info], [*weights, *constants])


def joints(
    fitted: dict[str, str], ranks: dict[str, int], length: int
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The nodes between backbone and heads. fitted: tap's tensor [T, ...] -> its name at [length, ...]; ranks: of a
    row of each."""
    numbers = {"length": [length], "positions": np.arange(length), "axis": [0], "none": [0]}
    weights = [numpy_helper.from_array(np.array(each, np.int64), f"recording/{name}") for name, each in numbers.items()]
    weights.append(numpy_helper.from_array(np.array(0, np.float32), "recording/zero"))
    some = next(iter(fitted))
    steps = [
        ("Shape", [some], "recording/shape"),
        ("Gather", ["recording/shape", "recording/none"], "recording/windows"),
        ("Sub", ["recording/length", "recording/windows"], "recording/missing"),
        ("Less", ["recording/positions", "recording/windows"], "recording/there"),
        ("Unsqueeze", ["recording/there", "recording/axis"], MASK),
        ("Slice", [f"{OUTPUT}/{ARITY}", "recording/none", "recording/windows", "recording/axis"], OUTPUT),
    ]
    for source, name in fitted.items():
        rank = ranks[source]
        for side, n in (("before", 1 + rank), ("after", rank)):
            weights.append(numpy_helper.from_array(np.zeros(n, np.int64), f"{name}/{side}"))
        steps.append(("Concat", [f"{name}/before", "recording/missing", f"{name}/after"], f"{name}/pads"))
        steps.append(("Pad", [source, f"{name}/pads", "recording/zero"], name))
    nodes = []
    for kind, inputs, output in steps:
        options: dict[str, Any] = {"axis": 0} if kind == "Concat" else {}
        nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}/{kind}", **options))
    return nodes, weights


def with_place(model: onnx.ModelProto, head: RecordingHead) -> onnx.ModelProto:
    """The model with its inputs site and hour declared, behind the audio, where the heads read them."""
    model = copy.copy(model)
    if head.placed:
        model.graph.input.extend(helper.make_tensor_value_info(name, TensorProto.INT64, [1]) for name in (SITE, HOUR))
    return model


def about(head: RecordingHead, origin: FirstPassOrigin | None) -> dict:
    """The metadatum `sequence`."""
    return {
        "length": head.ensemble.length,
        "sites": None if head.ensemble.sites is None else list(head.ensemble.sites),
        "names": PATTERN.pattern,
        "site": "number of the name's site in `sites`, from 1; 0 unknown",
        "hour": "UTC hour of the name's time + 1; 0 unknown",
        "first_pass": origin and origin.text,
    }


def two_steps(head: RecordingHead, taps: Sequence[np.ndarray], site: int, hour: int) -> np.ndarray:
    """What the heads say in torch of a recording as long as it is, nothing filled up. taps [T, ...]."""
    xs = [torch.from_numpy(x) for x in taps]
    mask = torch.ones(1, len(xs[0]), dtype=torch.bool)
    place = [torch.tensor([site]), torch.tensor([hour])] if head.placed else []
    with torch.inference_mode():
        return head(*xs, mask, *place).numpy()
