"""From a file's graph to a session: blocks found, taps exposed, front end folded, all of it verified, once per file."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import onnx
import onnxruntime as ort

from ...features import InputError
from ..blocks.architecture import Architecture, Block
from ..blocks.detection import find_blocks
from ..graph.dataflow import reads_of
from ..surgery.batch_axis import free_batch, pin_batch
from ..surgery.expose import Exposed, expose
from ..surgery.passes import Folded
from ..surgery.passes import fold as fold_front
from ..surgery.pooling import Pooling, parse_all, readings
from ..surgery.verify import Verification, compare_outputs, compare_taps
from . import proofs
from .cost import Timing, open_timed
from .device_session import DeviceCheck, DeviceSession, best_batch, check_noise
from .input_spec import declared, row_of
from .providers import Device
from .sessions import ORT_ERRORS, data_input, open_session, reason, together


def open_proven(
    model: onnx.ModelProto,
    form: str,
    shape: tuple[int, ...],
    taps: str,
    pooling: str,
    fold: bool,
    without: tuple[str, ...] = (),
) -> tuple[Architecture, Exposed, Verification, str]:
    """(Blocks, the model opened at `taps`, its verification, a note on the folding); proven once per file, see proofs.

    form: names the graph: the file's sha256, and what was put in front of it. shape: of the input, with its batch axis.
    """
    place = proofs.place(form=form, shape=shape, taps=taps, pooling=pooling, fold=fold, without=without)
    with suppress(InputError, KeyError, TypeError, IndexError, ValueError):  # a record of something else: proven anew
        if (found := proofs.read(place)) is not None:
            architecture = Architecture.from_json(found["architecture"])
            blocks, names = select_readings(architecture, taps, pooling)
            candidate = next(islice(candidates(model), found["candidate"], None))
            whole, _ = build(candidate, blocks, pooling, True, row_of(shape), found["passes"])
            return architecture, whole.pruned(names), Verification.from_json(found["verification"]), found["note"]
    architecture = find_blocks(model, shape)
    blocks, names = select_readings(architecture, taps, pooling)
    prepared = prepare(model, blocks, pooling, fold, row_of(shape), names, without=without)
    record = {
        "architecture": architecture.to_json(),
        "candidate": prepared.candidate,
        "passes": prepared.passes,
        "note": prepared.note,
        "verification": prepared.verification.to_json(),
    }
    proofs.write(place, record)
    return architecture, prepared.exposed, prepared.verification, prepared.note


def open_on(
    device: Device,
    exposed: Exposed,
    stem: Block | None,
    row: tuple[int, ...],
    threads: int | None,
    spinning: bool,
    timed: bool,
) -> tuple[ort.InferenceSession | DeviceSession, DeviceCheck | None, dict[str, Timing]]:
    """A session of the opened model on a device, how far that is from the CPU in float32, and if `timed` what each tap
    costs on the CPU."""
    cost: dict[str, Timing] = {}
    if timed:
        plain, cost = open_timed(exposed, row, threads, spinning)
    if device.plain:
        return plain if timed else open_session(exposed.model, threads, spinning), None, cost
    cpu = open_session(exposed.model, None, spinning=False)
    half = device.precision == "float16" and device.name != "tensorrt"  # which converts by itself
    model = to_float16(exposed.model, stem) if half else exposed.model
    session = open_session(model, threads, spinning, device=device)
    taps = {output: tap for tap, output in exposed.outputs.items()}
    opened = DeviceSession(session, cpu, taps, device, together(data_input(cpu)))
    try:
        return opened, check_noise(opened, row, best_batch(opened, row)), cost
    except ORT_ERRORS as error:
        raise InputError(f"`--device {device.name}`: ONNX Runtime fails there: {reason(error)}") from error


def select_readings(architecture: Architecture, taps: str, pooling: str) -> tuple[list[Block], tuple[str, ...]]:
    """(The blocks to expose, the taps to read of them). taps: as `Architecture.select` takes, or `block_17/max`."""
    poolings = parse_all(pooling)
    every = [reading.tap for reading in readings(list(architecture.taps.values()), poolings)]
    parts = [part.strip() for part in taps.split(",") if part.strip()]
    exact = {part for part in parts if "/" in part and part in every}
    plain = ",".join(part for part in parts if part not in exact)
    blocks = [architecture.taps[name] for name in (architecture.select(plain) if plain or not exact else ())]
    names = exact | {reading.tap for reading in readings(blocks, poolings)}
    wanted = {block.name for block in blocks} | {name.partition("/")[0] for name in exact}
    return [block for name, block in architecture.taps.items() if name in wanted], tuple(n for n in every if n in names)


def build(
    candidate: onnx.ModelProto,
    taps: Sequence[Block],
    pooling: str | Pooling,
    fold: bool,
    row: tuple[int, ...],
    proven: Collection[str] | None = None,
    without: Collection[str] = (),
) -> tuple[Exposed, Folded]:
    """Expose and fold. Where no passes are `proven`, the original outputs are kept, so that they can be compared."""
    whole = expose(candidate, taps, pooling, keep_outputs=proven is None)
    if not fold:
        return whole, Folded(whole.model, "front end: folding is off", ())
    folded = fold_front(whole.model, row, proven, without)
    return whole.holding(folded.model), folded


@dataclass(frozen=True, eq=False)
class Prepared:
    """The exposed model ready to run, its verification, a note on the folding, the passes that changed it. candidate:
    which form of the graph it is, counted from 0."""

    exposed: Exposed
    verification: Verification
    note: str
    candidate: int
    passes: tuple[str, ...]


def prepare(
    model: onnx.ModelProto,
    taps: Sequence[Block],
    pooling: str | Pooling,
    fold: bool,
    row: tuple[int, ...],
    names: Collection[str] | None = None,
    without: Collection[str] = (),
) -> Prepared:
    """Open and verify; batched where the graph can.

    row: the shape of one window, without the batch axis. names: the only taps to keep, where a block is read in several
    ways. without: passes to leave out. InputError: verification fails, even at one window a call.
    """
    failed: InputError | None = None
    for i, candidate in enumerate(candidates(model)):
        for folding in (True, False) if fold else (False,):
            passes: tuple[str, ...] = ()
            try:
                whole, (_, note, passes) = build(candidate, taps, pooling, folding, row, without=without)
                outputs = compare_outputs(model, whole, row)
                exposed = whole.pruned(names)
                del whole
                verification = Verification.of(model, compare_taps(model, exposed, row), outputs)
                return Prepared(exposed, verification, note, i, passes)
            except InputError as error:
                failed = error
            if not passes:
                break  # otherwise once more as it stands: a network may feel the last digit of its spectrogram
    assert failed is not None  # there is at least one candidate
    raise failed


def candidates(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    """The model for any number of windows a call, then for the number that it is known to take.

    A fixed batch may be freed; a batch declared dynamic may still have one window built in (in its reshapes).
    """
    freed = free_batch(model)
    if freed is not None:
        yield freed
        yield model
    else:
        yield model
        if len(declared(model)) > 1:
            yield pin_batch(model)


def to_float16(model: onnx.ModelProto, stem: Block | None) -> onnx.ModelProto:
    """A float16 form of an exposed model with the same float32 inputs and outputs. InputError: it cannot be converted.

    A spectrogram's powers overflow float16 (65,504) and its quiet bands vanish in it, and deep maps sum past it, so
    what comes before the stem and what makes the taps stay in float32 (no stem: all is converted). ONNX Runtime's own
    converter does the work.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    named = onnx.ModelProto()
    named.CopyFrom(model)
    for i, node in enumerate(named.graph.node):
        node.name = f"{i}/{node.name}"  # the converter knows nodes by name
    kept = front_end(named, stem) | {n.name for n in named.graph.node if any("birdprobe/" in o for o in n.output)}
    try:
        return convert_float_to_float16(
            named,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, "STFT", "DFT", "MelWeightMatrix"],
            node_block_list=sorted(kept),
        )
    except Exception as error:  # a converter of many ways to fail
        raise InputError(f"`--precision float16`: this graph cannot be converted ({error}).") from error


def front_end(model: onnx.ModelProto, stem: Block | None) -> set[str]:
    """Names of the nodes that come before the first convolution of more than one input channel, or before the stem."""
    producer = {name: node for node in model.graph.node for name in node.output}
    todo, seen = [stem.tensor] if stem is not None else [], set[str]()
    while todo:
        node = producer.get(todo.pop())
        if node is not None and node.name not in seen:
            seen.add(node.name)
            todo += reads_of(node)
    return seen
