"""A random graph's taps against ONNX Runtime's own intermediate tensors, however it is opened.

That a graph is refused is a fault of ours, and so is a tap that differs from the untouched graph's tensor, run without
optimisations, one window at a time.
"""

import tempfile
from pathlib import Path
from random import Random

import numpy as np
import onnx
import onnxruntime as ort

from birdprobe.features import InputError
from birdprobe.probe.blocks.detection import find_blocks
from birdprobe.probe.graph.load import load
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.runtime.sessions import data_input, open_session, together
from birdprobe.probe.surgery.batch_axis import free_batch, pin_batch
from birdprobe.probe.surgery.expose import expose
from birdprobe.probe.surgery.passes import NAMES, fold
from birdprobe.probe.surgery.verify import gather
from tests.fuzz.random_graphs import SAMPLES, random_model

TOLERANCE = 1e-3  # relative L2: rounding of float32 through a dozen layers, not a wrong tensor
POOLINGS = ("mean", "max", "std", "mean,max", "grid:2x2")


def tensors(model: onnx.ModelProto, names: list[str], x: np.ndarray, batch: int) -> dict[str, np.ndarray]:
    """Intermediate tensors of the untouched graph, no optimisation, `batch` windows a call."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(
        onnx.ValueInfoProto(name=n) for n in names if n not in {o.name for o in model.graph.output}
    )
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
    runs = [session.run(names, {"audio": x[i : i + batch]}) for i in range(0, len(x), batch)]
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*runs))}


def pooled(raw: np.ndarray, axis: int, rule: str) -> np.ndarray:
    """[N, ...] -> [N, channels] in float64, as the rule's name says; written here a second time on purpose."""
    flat = np.moveaxis(raw.astype(np.float64), axis, 1).reshape(raw.shape[0], raw.shape[axis], -1)
    return {"mean": flat.mean(2), "max": flat.max(2), "std": flat.std(2)}[rule]


def off(found: np.ndarray, wanted: np.ndarray) -> float:
    """Relative L2."""
    return float(np.linalg.norm(found.reshape(wanted.shape) - wanted) / (np.linalg.norm(wanted) or 1.0))


def check(seed: int, folder: Path) -> None:
    """AssertionError where a tap, read by any way that the surgery has, is not what the untouched graph computes."""
    model = random_model(seed)
    path = folder / "model.onnx"
    onnx.save(model, path)
    model = load(path)
    draw = Random(seed + 1)
    rule = draw.choice(("mean", "mean", "max", "std"))
    architecture = find_blocks(model)
    blocks = list(architecture.taps.values())
    assert blocks, "no taps found"
    x = np.random.default_rng(seed).normal(0, 0.1, (4, SAMPLES)).astype(np.float32)
    fixed = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    raw = tensors(model, [block.tensor for block in blocks], x, fixed or 1)
    wanted = {
        b.name: pooled(raw[b.tensor], b.channel_axis, rule) if raw[b.tensor].ndim > 2 else raw[b.tensor] for b in blocks
    }

    forms = {"as it is": model}
    if (freed := free_batch(model)) is not None:
        forms["batch freed"] = freed
    elif fixed == 0:
        forms["batch pinned"] = pin_batch(model)
    for form, candidate in forms.items():
        for keep in (True, False):
            exposed = expose(candidate, blocks, rule, keep_outputs=keep)
            without = tuple(name for name in NAMES if draw.random() < 0.3)
            for folded in (False, True):
                made = exposed.holding(fold(exposed.model, (SAMPLES,), without=without)[0]) if folded else exposed
                for part in (made, made.pruned()):
                    compare(
                        part, x, wanted, f"{form}, outputs kept {keep}, folded {folded} without {without}", fixed, form
                    )
    for folded in (True, False):
        try:
            backbone = Backbone.open(path, "all", rule, 8000, normalise="none", threads=1, fold=folded)
        except InputError as error:
            raise AssertionError(f"a sane graph is refused: {error}") from None
        for tap, found in backbone(x).items():
            assert off(found, wanted[tap]) < TOLERANCE, (
                f"Backbone, folded {folded}: {tap} off by {off(found, wanted[tap])}"
            )


def compare(part, x: np.ndarray, wanted: dict[str, np.ndarray], how: str, fixed: int, form: str) -> None:
    session = open_session(part.model, 1)
    try:
        results = gather(session, x, together(data_input(session)), list(part.outputs.values()))
    except InputError:
        assert form != "as it is", how  # a freed batch is a candidate, which verification may refuse
        return
    for tap, found in zip(part.outputs, results):
        if found.size != wanted[tap].size and form != "as it is":
            return
        assert off(found, wanted[tap]) < TOLERANCE, f"{how}: {tap} off by {off(found, wanted[tap]):.1e}"


if __name__ == "__main__":
    import sys

    with tempfile.TemporaryDirectory() as place:
        check(int(sys.argv[1]), Path(place))
