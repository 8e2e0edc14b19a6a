"""Builders of ONNX graphs for tests: Perch v2's shape in every spelling that an exporter may choose.

`perch` has the topology, widths and maps of the real file (EfficientNet-B3 on a 500 x 128 log-mel spectrogram, 26
MBConv blocks, four outputs), with random weights, a narrow expansion and few classes: a run takes about a second.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STAGES = (  # blocks, channels, kernel, stride of the first block: EfficientNet-B3, expansion apart
    (2, 24, 3, 1),
    (3, 32, 3, 2),
    (3, 48, 5, 2),
    (5, 96, 3, 2),
    (5, 136, 5, 1),
    (6, 232, 5, 2),
    (2, 384, 3, 1),
)
WIDTHS = [channels for blocks, channels, _, _ in STAGES for _ in range(blocks)]
MAPS = [(249, 63)] * 2 + [(125, 32)] * 3 + [(63, 16)] * 3 + [(32, 8)] * 10 + [(16, 4)] * 8
FIRST_OF_STAGE = {0, 2, 5, 8, 13, 18, 24}


@dataclass
class Nodes:
    """Collects nodes and weights of one graph under construction."""

    seed: int = 0
    nodes: list = field(default_factory=list)
    weights: dict = field(default_factory=dict)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    def add(self, kind: str, *inputs: str, name: str | None = None, outputs: int = 1, **attributes):
        """Append a node, return its output's name (a tuple of names for several)."""
        name = name or f"t{len(self.nodes)}"
        names = [name] if outputs == 1 else [f"{name}_{i}" for i in range(outputs)]
        domain = attributes.pop("domain", "")
        self.nodes.append(
            helper.make_node(kind, inputs, names, name=f"node_{kind}_{len(self.nodes)}", domain=domain, **attributes)
        )
        return names[0] if outputs == 1 else tuple(names)

    def const(self, value, dtype=np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(value, dtype)
        return name

    def random(self, *shape: int, fan: int | None = None) -> str:
        fan = fan or int(np.prod(shape[1:]))
        return self.const(self.rng.normal(0, (2 / fan) ** 0.5, shape))

    def model(self, inputs: dict, outputs: dict, opset: int = 18, value_info=(), domains=()) -> onnx.ModelProto:
        """inputs, outputs: name -> dims (a str is a free dimension). value_info: (name, dims), true or not."""

        def infos(items):
            return [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in items]

        graph = helper.make_graph(
            self.nodes,
            "test",
            infos(inputs.items()),
            infos(outputs.items()),
            [numpy_helper.from_array(value, name) for name, value in self.weights.items()],
            value_info=infos(value_info),
        )
        opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@dataclass(frozen=True)
class Spelling:
    """How the exporter writes what is mathematically the same network."""

    scoped: bool = True  # tensor names such as .../MBConv_3/ExpandConv
    se: str = "matmul"  # matmul | conv | none
    bn: str = "muladd"  # muladd | batchnorm | none (folded into the convolutions' biases)
    nhwc: bool = True  # activations NHWC, Transposes around every convolution
    stale: bool = True  # value_info with wrong shapes
    exp: bool = True  # sigmoid as 1 / (1 + exp(-x))
    outputs: tuple[str, ...] = ("embedding", "spatial_embedding", "spectrogram", "label")
    batch: int | str = "batch"
    samples: int | str = 160_000


def perch(spelling: Spelling | None = None, expand: int = 2, classes: int = 50, scale: float = 1.0) -> onnx.ModelProto:
    """A Perch-shaped model: `inputs` [batch, 160000] -> the four outputs. `scale` multiplies the widths."""
    return _Perch(spelling or Spelling(), expand, classes, scale).model()


class _Perch(Nodes):
    def __init__(self, spelling: Spelling, expand: int, classes: int, scale: float):
        super().__init__()
        self.s, self.expand, self.classes, self.scale = spelling, expand, classes, scale
        self.stale: list = []

    def width(self, channels: int) -> int:
        return max(2, round(channels * self.scale))

    def name(self, scope: str) -> str | None:
        return f"jit(infer_fn)/EfficientNet/{scope}" if self.s.scoped else None

    def model(self) -> onnx.ModelProto:
        spectrogram = self.front_end("inputs")
        axes = self.const([3 if self.s.nhwc else 1], np.int64)
        x = self.add("Unsqueeze", spectrogram, axes)
        x = self.swish(self.norm(self.conv(x, 1, self.width(40), 3, 2, "Stem", pad=0), self.width(40), "Stem"))
        before, block = self.width(40), 0
        for blocks, channels, kernel, stride in STAGES:
            after = self.width(channels)
            for i in range(blocks):
                expand = 1 if block < 2 else self.expand
                x = self.mbconv(x, before, after, kernel, stride if i == 0 else 1, expand, f"MBConv_{block}")
                before, block = after, block + 1
        x = self.conv(x, before, self.width(1536), 1, 1, "Head")
        spatial = self.swish(self.norm(x, self.width(1536), "Head"))
        embedding = self.pool(spatial)
        label = self.add("MatMul", embedding, self.random(self.width(1536), self.classes, fan=self.width(1536)))
        label = self.add("Add", label, self.const(np.zeros(self.classes)))
        if not self.s.nhwc:
            spatial = self.add("Transpose", spatial, perm=[0, 2, 3, 1])
        made = {"embedding": embedding, "spatial_embedding": spatial, "spectrogram": spectrogram, "label": label}
        n = self.s.batch
        dims = {"embedding": [n, None], "spatial_embedding": [n, 16, 4, None], "spectrogram": [n, 500, 128]}
        dims["label"] = [n, self.classes]
        renamed = dict(zip(("embedding", "spatial_embedding", "spectrogram", "label"), self.s.outputs))
        for old, new in renamed.items():
            self.add("Identity", made[old], name=new)
        info = self.stale if self.s.stale else ()
        return super().model(
            {"inputs": [n, self.s.samples]}, {renamed[old]: dims[old] for old in renamed}, value_info=info
        )

    def front_end(self, x: str) -> str:
        """Log-mel: framing as a convolution with an identity kernel, DFT as two MatMuls, magnitude, mel, logarithm."""
        x = self.add("Pad", x, self.const([0, 160, 0, 160], np.int64))
        x = self.add("Unsqueeze", x, self.const([1], np.int64))
        x = self.add("Conv", x, self.const(np.eye(640)[:, None, :]), strides=[320])  # [N, 640, 500]
        x = self.add("Mul", self.add("Transpose", x, perm=[0, 2, 1]), self.const(np.hanning(640)))
        phase = 2 * np.pi * np.outer(np.arange(640), np.arange(513)) / 1024
        re, im = (self.add("MatMul", x, self.const(f(phase))) for f in (np.cos, np.sin))
        power = self.add("Add", self.add("Mul", re, re), self.add("Mul", im, im))
        mel = self.add("MatMul", self.add("Sqrt", power), self.const(np.abs(self.rng.normal(0, 0.1, (513, 128)))))
        return self.add("Mul", self.add("Log", self.add("Max", mel, self.const(1e-5))), self.const(0.1))

    def mbconv(self, x: str, before: int, after: int, kernel: int, stride: int, expand: int, scope: str) -> str:
        fork, wide = x, before * expand
        if expand > 1:
            x = self.conv(x, before, wide, 1, 1, f"{scope}/ExpandConv")
            x = self.swish(self.norm(x, wide, f"{scope}/ExpandBatchNorm"))
        x = self.conv(x, wide, wide, kernel, stride, f"{scope}/DepthwiseConv", group=wide)
        x = self.swish(self.norm(x, wide, f"{scope}/DepthwiseBatchNorm"))
        if self.s.se != "none":
            x = self.squeeze_excite(x, wide, max(1, before // 4), scope)
        x = self.conv(x, wide, after, 1, 1, f"{scope}/ProjectConv")
        x = self.norm(x, after, f"{scope}/ProjectBatchNorm")
        self.stale.append((x, [1, 7, 7, after]))
        if stride == 1 and before == after:
            x = self.add("Add", x, fork, name=self.name(f"{scope}/add"))
        return x

    def conv(self, x: str, before: int, after: int, kernel: int, stride: int, scope: str, group=1, pad=None) -> str:
        pad = kernel // 2 if pad is None else pad
        inputs = [self.random(after, before // group, kernel, kernel)]
        if self.s.bn == "none":
            inputs.append(self.const(self.rng.normal(0, 0.1, after)))
        if self.s.nhwc:
            x = self.add("Transpose", x, perm=[0, 3, 1, 2])
        name = None if self.s.nhwc else self.name(scope)
        x = self.add("Conv", x, *inputs, name=name, strides=[stride] * 2, pads=[pad] * 4, group=group)
        return self.add("Transpose", x, perm=[0, 2, 3, 1], name=self.name(scope)) if self.s.nhwc else x

    def norm(self, x: str, channels: int, scope: str) -> str:
        if self.s.bn == "none":
            return x
        gain, bias = self.rng.uniform(0.5, 1.0, channels), self.rng.normal(0, 0.1, channels)
        if self.s.bn == "batchnorm" and not self.s.nhwc:
            stats = [self.const(v) for v in (gain, bias, np.zeros(channels), np.ones(channels))]
            return self.add("BatchNormalization", x, *stats, name=self.name(f"{scope}/out"))
        shape = (channels,) if self.s.nhwc else (1, channels, 1, 1)
        x = self.add("Mul", x, self.const(gain.reshape(shape)), name=self.name(f"{scope}/mul"))
        return self.add("Add", x, self.const(bias.reshape(shape)), name=self.name(f"{scope}/add_1"))

    def swish(self, x: str) -> str:
        return self.add("Mul", x, self.sigmoid(x))

    def sigmoid(self, x: str) -> str:
        if not self.s.exp:
            return self.add("Sigmoid", x)
        one = self.const(1.0)
        return self.add("Div", one, self.add("Add", self.add("Exp", self.add("Neg", x)), one))

    def pool(self, x: str) -> str:
        axes = self.const([1, 2] if self.s.nhwc else [2, 3], np.int64)
        return self.add("ReduceMean", x, axes, keepdims=0)

    def squeeze_excite(self, x: str, wide: int, narrow: int, scope: str) -> str:
        if self.s.se == "conv":
            z = self.add("ReduceMean", x, self.const([1, 2] if self.s.nhwc else [2, 3], np.int64), keepdims=1)
            z = self.add("Transpose", z, perm=[0, 3, 1, 2]) if self.s.nhwc else z
            z = self.add("Conv", self.swish(self.add("Conv", z, self.random(narrow, wide, 1, 1))),
                         self.random(wide, narrow, 1, 1))  # fmt: skip
            z = self.add("Transpose", z, perm=[0, 2, 3, 1]) if self.s.nhwc else z
            return self.add("Mul", x, self.sigmoid(z))
        z = self.swish(self.add("MatMul", self.pool(x), self.random(wide, narrow, fan=wide)))
        z = self.add("MatMul", z, self.random(narrow, wide, fan=narrow))
        shape = self.const([-1, 1, 1, wide] if self.s.nhwc else [-1, wide, 1, 1], np.int64)
        return self.add("Mul", x, self.add("Reshape", self.sigmoid(z), shape))


def timm_export(name: str, folder, dynamo: bool, size: int | None = None) -> onnx.ModelProto:
    """A timm classifier with random weights through one of torch's two exporters (dynamo: the newer), free batch."""
    import logging
    import warnings

    import torch

    from birdprobe.finetune.models.timm_import import import_timm
    from birdprobe.probe.graph.load import load

    path = folder / f"{name}-{'new' if dynamo else 'old'}.onnx"
    torch.manual_seed(0)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # both exporters warn about themselves
        model = import_timm().create_model(name, pretrained=False, exportable=True).eval()
        size = size or model.default_cfg["input_size"][-1]
        x = torch.randn(2, 3, size, size)
        if dynamo:
            batch = ({0: torch.export.Dim.AUTO},)
            torch.onnx.export(model, (x,), path, dynamo=True, dynamic_shapes=batch, verbose=False)
        else:
            batch = {"input": {0: "batch"}, "output": {0: "batch"}}
            names = {"input_names": ["input"], "output_names": ["output"]}
            torch.onnx.export(model, (x,), path, dynamo=False, dynamic_axes=batch, **names)
    return load(path)
