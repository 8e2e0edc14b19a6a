"""TensorFlow Lite files made here, operator by operator, with the schema that LiteRT brings along."""

from pathlib import Path

import numpy as np

FLOAT, INT = 0, 2
SAME, VALID = 0, 1


class Lite:
    """A graph under construction: numbers stand for tensors."""

    def __init__(self, shape, signature=None):
        from ai_edge_litert import schema_py_generated as schema

        self.schema, self.tensors, self.operators, self.codes = schema, [], [], []
        self.buffers = [schema.BufferT()]
        self.fed = self.tensor("audio", shape, signature=signature)

    def tensor(self, name, shape, kind=FLOAT, data=None, signature=None):
        made = self.schema.TensorT()
        made.name, made.shape, made.type = name, list(shape), kind
        if signature is not None:
            made.shapeSignature = list(signature)
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.buffers.append(buffer)
        made.buffer = len(self.buffers) - 1 if data is not None else 0
        self.tensors.append(made)
        return len(self.tensors) - 1

    def constant(self, data):
        data = np.asarray(data, np.int32 if np.asarray(data).dtype.kind in "iu" else np.float32)
        return self.tensor(f"c{len(self.tensors)}", data.shape, FLOAT if data.dtype == np.float32 else INT, data)

    def add(self, kind, inputs, shape, options=None, out_kind=FLOAT, **fields):
        """One operator with one output of `shape`; the output's number."""
        code = self.schema.OperatorCodeT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        made = self.schema.OperatorT()
        made.opcodeIndex = len(self.codes)
        self.codes.append(code)
        made.inputs = list(inputs)
        made.outputs = [self.tensor(f"{kind.lower()}_{len(self.tensors)}", shape, out_kind)]
        if options is not None:
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            made.builtinOptions = getattr(self.schema, options + "T")()
            for name, value in fields.items():
                setattr(made.builtinOptions, name, value)
        self.operators.append(made)
        return made.outputs[0]

    def save(self, path: Path, *outputs: int) -> Path:
        import flatbuffers

        graph = self.schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = self.tensors, self.operators, [self.fed], outputs
        model = self.schema.ModelT()
        model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], self.buffers, self.codes
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path


def spectrogram_network(path: Path, n_classes: int = 5) -> Path:
    """Waveform [N, 1024] -> frames -> |Fourier transform| -> convolutions with a squeeze-excite gate -> scores."""
    rng = np.random.default_rng(0)

    def weights(*shape):
        return g.constant(rng.normal(0, (1 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32))

    g = Lite([1, 1024], [-1, 1024])
    frames = g.add("RESHAPE", [g.fed, g.constant([-1, 16, 1, 64])], [1, 16, 1, 64])
    spectrum = g.add("RFFT2D", [frames, g.constant([1, 64])], [1, 16, 1, 33], out_kind=8)
    size = g.add("COMPLEX_ABS", [spectrum], [1, 16, 1, 33])
    picture = g.add("TRANSPOSE", [size, g.constant([0, 1, 3, 2])], [1, 16, 33, 1])
    x = g.add(
        *("CONV_2D", [picture, weights(8, 3, 3, 1), weights(8)], [1, 8, 17, 8], "Conv2DOptions"),
        **{"padding": SAME, "strideH": 2, "strideW": 2, "dilationHFactor": 1, "dilationWFactor": 1},
        fusedActivationFunction=3,
    )
    y = g.add(
        *("DEPTHWISE_CONV_2D", [x, weights(1, 3, 3, 8), weights(8)], [1, 8, 17, 8], "DepthwiseConv2DOptions"),
        **{"padding": SAME, "strideH": 1, "strideW": 1, "depthMultiplier": 1},
        **{"dilationHFactor": 1, "dilationWFactor": 1},
    )
    gate = g.add("MEAN", [y, g.constant([1, 2])], [1, 8], "ReducerOptions", keepDims=False)
    shape = g.add("SHAPE", [gate], [2], "ShapeOptions", out_kind=INT, outType=INT)
    batch = g.add(
        *("STRIDED_SLICE", [shape, g.constant([0]), g.constant([1]), g.constant([1])], [], "StridedSliceOptions", INT),
        shrinkAxisMask=1,
    )
    one, eight = g.constant(np.int32(1)), g.constant(np.int32(8))
    target = g.add("PACK", [batch, one, one, eight], [4], "PackOptions", INT, valuesCount=4, axis=0)
    gate = g.add("RESHAPE", [gate, target], [1, 1, 1, 8])
    gate = g.add(
        *("CONV_2D", [gate, weights(8, 1, 1, 8), weights(8)], [1, 1, 1, 8], "Conv2DOptions"),
        **{"padding": VALID, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1},
    )
    gated = g.add("MUL", [y, g.add("LOGISTIC", [gate], [1, 1, 1, 8])], [1, 8, 17, 8], "MulOptions")
    scaled = g.add("MUL", [gated, weights(8)], [1, 8, 17, 8], "MulOptions")
    x = g.add("ADD", [scaled, x], [1, 8, 17, 8], "AddOptions")
    x = g.add("PAD", [x, g.constant([[0, 0], [1, 0], [0, 1], [0, 0]])], [1, 9, 18, 8])
    window = {"padding": VALID, "strideH": 3, "strideW": 3, "filterHeight": 3, "filterWidth": 3}
    pooled = [g.add(kind, [x], [1, 3, 6, 8], "Pool2DOptions", **window) for kind in ("MAX_POOL_2D", "AVERAGE_POOL_2D")]
    both = g.add("CONCATENATION", pooled, [1, 3, 6, 16], "ConcatenationOptions", axis=3)
    embedding = g.add("MEAN", [both, g.constant([1, 2])], [1, 16], "ReducerOptions", keepDims=False)
    scores = g.add(
        "FULLY_CONNECTED",
        [embedding, weights(n_classes, 16), weights(n_classes)],
        [1, n_classes],
        "FullyConnectedOptions",
    )
    return g.save(path, scores)
