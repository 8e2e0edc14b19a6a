"""fuse(): from a train run and its backbone to one file on disk, compared with the two-step path before it is kept."""

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper

from ...features import InputError
from ...features.files import check_file, check_new, write_bytes
from ...features.playback import AS_RECORDED
from ...features.progress import Log, listener, working
from ...features.schema import checked
from ...features.spelling import counted
from ...features.windows import normalise_windows
from ...probe.graph.load import audio_input, data_files, default_opset
from ...probe.models.registry import resolve
from ...probe.runtime import sessions
from ...probe.runtime.sessions import together
from ...probe.surgery.expose import Exposed
from ...probe.surgery.verify import gather
from ..ensemble import Ensemble, Members, load_members
from . import recordings
from .grafting import cut, describe, export, normalised, splice
from .result import Fused
from .speed import head_cost, speeds

TOLERANCE = 1e-5  # largest absolute difference of a probability
WINDOWS = 4  # compared, from loud to quiet


@checked
def fuse(
    run: Path,
    model: Path,
    output: Path,
    *,
    head: str | None = None,
    fold: int | None = None,
    normalise_inside: bool = False,
    timing: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    log: Log | None = None,
) -> Fused:
    """One ONNX file: `model` up to the deepest tap that the heads of `run` read, and the heads.

    Args:
        run: the folder that `birdprobe train` wrote.
        model: the backbone whose features the heads were trained on.
        output: the file to write. Its input keeps its name, and is `waveform` where it is normalised inside.
        head: which of the run's heads; None for its only one.
        fold: one fold's head; None for all of them, averaged.
        normalise_inside: put the window's peak normalisation into the graph, so that it takes raw audio; without it
            the caller normalises as the metadata say.
        timing: also measure what fusing saves, for about 20 s.
        overwrite: replace an existing file.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.

    Returns: what was written.
    Raises: InputError for no such head or fold, another model than the heads were trained on, an existing file, an
        opset that cannot be raised to 18, or a result that differs from the two-step path by more than 1e-5.
    """
    log = listener(log, progress)
    run, model, output = Path(run), resolve(model), Path(output)
    check_new(output, overwrite)
    check_file(model, "the ONNX model that gave the heads their features")
    members = load_members(run, head, fold)
    key = members.description.store_key
    members.require_model(model, run)
    log(f"cutting {model.name} after the deepest of {', '.join(members.description.tokens)}")
    inside = key.normalise if normalise_inside else "none"
    about = metadata(members, inside)
    made = over_recordings if members.over_time else over_windows
    with working(f"fusing {members.name}", log):
        fused, exposed, off = made(members, model, inside, about, log)
    write(fused, output)
    done = Fused(
        path=output,
        model=model,
        head=members.name,
        folds=members.folds,
        taps=members.description.tokens,
        labels=members.description.labels,
        activation=members.description.activation,
        window_samples=round(key.sample_rate * key.window_s),
        normalise=about["normalise"],
        size=bytes_of(output),
        full_size=bytes_of(model),
        max_abs=off,
        cut_after=exposed.taps[-1].name,
        opset=default_opset(fused),
        frontend=key.frontend or None,
        inputs=key.inputs,
        recording=about.get("sequence", {}).get("length", 0),
    )
    if not timing:
        return done
    with working(f"{output} is written; timing it and the whole model", log):
        if done.recording:
            return replace(done, cost=str(head_cost(done)))
        ms = speeds(done, model)
        cost = f"{ms['fused']:.1f} ms a window, the full model {ms['full']:.1f} (one thread, batch 4)"
        return replace(done, cost=cost)


Made = tuple[onnx.ModelProto, Exposed, float]  # the whole graph, its backbone, how far it is from the two steps


def over_windows(members: Members, model: Path, inside: str, about: dict, log: Callable[[str], None]) -> Made:
    """Heads that read windows one by one."""
    exposed, row = cut(model, members.description.tokens, members.description.store_key)
    ensemble = members.over(list(exposed.outputs))
    log(f"exporting {members.name}, {counted(len(members.folds), 'fold')}")
    fused = normalised(splice(exposed, export(ensemble, exposed), len(about["labels"])), inside)
    describe(fused, about)
    log("comparing with the two-step path")
    return fused, exposed, compare(fused, exposed, ensemble, row, inside)


def over_recordings(members: Members, model: Path, inside: str, about: dict, log: Callable[[str], None]) -> Made:
    """Heads over time. InputError: their first pass is a table, or the backbone takes a fixed number of windows."""
    origin = recordings.origin_of(members)
    wanted = [*members.description.tokens, *([origin.tap] if origin and origin.tap else [])]
    exposed, row = cut(model, list(dict.fromkeys(wanted)), members.description.store_key)
    head = recordings.RecordingHead(members.over_recordings(list(exposed.outputs)), origin).eval()
    about["sequence"] = recordings.about(head, origin)
    folds = counted(len(members.folds), "fold")
    log(f"exporting {members.name}, {folds}, recordings of up to {head.ensemble.length} windows")
    fused = normalised(recordings.graft(exposed, head, len(about["labels"])), inside)
    fused = recordings.with_place(fused, head)
    describe(fused, about)
    log("comparing with the two-step path")
    return fused, exposed, compare_recordings(fused, exposed, head, row, inside)


def metadata(members: Members, inside: str) -> dict:
    """What the file says of itself: the names of its outputs, what it reads, what to feed it, where it is from."""
    said, key = members.description, members.description.store_key
    return {
        "labels": list(said.labels),
        "head": members.name,
        "folds": list(members.folds),
        "taps": list(said.tokens),
        "pooling": key.pooling,
        "activation": said.activation,
        "sample_rate": key.sample_rate,
        "window_s": key.window_s,
        "normalise": "none" if inside == key.normalise else key.normalise,
        "normalised_inside": inside,
        **({} if key.playback == AS_RECORDED else {"speed": key.speed, "bandpass": key.bandpass}),
        "model_sha256": key.model_sha256,
        **({"frontend_inside": key.frontend} if key.frontend else {}),
        "birdprobe": version("birdprobe"),
    }


def compare(fused: onnx.ModelProto, exposed: Exposed, ensemble: Ensemble, row: tuple[int, ...], inside: str) -> float:
    """Largest difference of a probability between the fused graph and its two steps, on seeded windows.

    inside: the normalisation that the fused graph does itself. InputError: above 1e-5, or not finite.
    """
    x, fed = seeded_windows(exposed, row, inside, WINDOWS)
    session = sessions.open_session(exposed.model)
    spec = sessions.data_input(session)
    taps = gather(session, fed, together(spec), list(exposed.outputs.values()))
    del session
    with torch.inference_mode():
        wanted = ensemble(*map(torch.from_numpy, taps)).numpy()
    (found,) = gather(sessions.open_session(fused), x, together(spec))
    return within(found, wanted)


def compare_recordings(
    fused: onnx.ModelProto, exposed: Exposed, head: recordings.RecordingHead, row: tuple[int, ...], inside: str
) -> float:
    """The same of heads over time: recordings of one window, of a few and of as many as they read."""
    session, whole = sessions.open_session(exposed.model), sessions.open_session(fused)
    off, length = 0.0, head.ensemble.length
    for n in sorted({1, min(WINDOWS, length), length}):
        x, fed = seeded_windows(exposed, row, inside, n)
        taps = gather(session, fed, None, list(exposed.outputs.values()))
        given = {sessions.data_input(whole).name: x}
        place = (min(1, len(head.ensemble.sites)), 1 + n) if head.ensemble.sites is not None else (0, 0)
        if head.placed:
            given |= {name: np.array([at]) for name, at in zip((recordings.SITE, recordings.HOUR), place)}
        (found,) = whole.run(None, given)
        off = max(off, within(found, recordings.two_steps(head, taps, *place)))
    return off


def seeded_windows(exposed: Exposed, row: tuple[int, ...], inside: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(Seeded windows from loud to quiet as the fused graph takes them, the same as the backbone does)."""
    dtype = helper.tensor_dtype_to_np_dtype(audio_input(exposed.model).type.tensor_type.elem_type).type
    x = sessions.audio_like((n, *row), dtype, seed=1)
    x *= np.geomspace(1, 0.01, n, dtype=x.dtype).reshape(-1, *(1,) * len(row))
    fed = x if inside == "none" else normalise_windows(x.reshape(n, -1), inside).reshape(x.shape)
    return x, fed


def within(found: np.ndarray, wanted: np.ndarray) -> float:
    """Their largest difference. InputError: above 1e-5, or not finite."""
    off = float(np.max(np.abs(found - wanted)))
    if not off <= TOLERANCE:
        raise InputError(f"fused file: expected within {TOLERANCE:.0e} of the two-step path, got {off:.1e}.")
    return off


def write(model: onnx.ModelProto, out: Path) -> None:
    """Check and write, under another name first so that a cut-off write leaves nothing that looks whole."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if sessions.weight_bytes(model) >= sessions.INLINE_LIMIT:
        sessions.save(model, out)  # names its weights' file, so it cannot move
        onnx.checker.check_model(str(out))
        return
    onnx.checker.check_model(model)
    write_bytes(out, model.SerializeToString())


def bytes_of(path: Path) -> int:
    """Of an ONNX file and of the weights that it keeps beside it."""
    beside = data_files(onnx.load(path, load_external_data=False), path)
    return path.stat().st_size + sum(place.stat().st_size for place in beside)
