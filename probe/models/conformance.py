"""check(): is a model fed and run as it should be?

Silent errors of this kind are common: another normalisation, a wrong rate, a list of labels of another version, NaN in
half precision, embeddings that do not depend on the audio. Of known models golden windows tell; of others it is
said what was assumed, and how much the embedding depends on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from ...features import InputError
from ...features.recordings.bandwidth import narrow_band
from ...features.schema import checked
from ...features.windows import normalise_windows
from ..graph.load import tensor_outputs
from ..runtime.backbone import Backbone
from ..runtime.sessions import ORT_ERRORS, quiet_options, reason, start
from ..surgery.verify import Difference
from . import golden, label_lists, registry, sensitivity
from .contracts import Said, said_of
from .findings import FAILED, NOTE, OK, Finding

GOLDEN_TOLERANCE = 1e-2  # of a statistic, in units of the tap's standard deviation
RUN_TOLERANCE = 1e-3  # relative L2 of one way to run the graph against another
CONSTANT = 1e-4  # distance between the embeddings of different windows, in units of their length
NOT_PROVIDERS = ("CPUExecutionProvider", "AzureExecutionProvider")


@dataclass(frozen=True)
class Conformance:
    """What check() found. name: of the known model that this is. golden: tap -> [mean, sd, largest] a window."""

    model: Path
    name: str | None
    findings: tuple[Finding, ...]
    sensitivity: tuple[sensitivity.Moved, ...]
    golden: dict[str, list[list[float]]]

    @property
    def failed(self) -> bool:
        return any(finding.verdict == FAILED for finding in self.findings)

    def __repr__(self) -> str:
        lines = [f"{self.model}: {self.name or 'no known model'}", *map(str, self.findings)]
        if self.sensitivity:
            lines += [
                "how far the embedding moves, in units of the distance between windows:",
                *map(str, self.sensitivity),
            ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        return {
            "model": str(self.model),
            "name": self.name,
            "failed": self.failed,
            "findings": [vars(finding) for finding in self.findings],
            "sensitivity": [vars(moved) for moved in self.sensitivity],
            "golden": self.golden,
        }


@checked
def check(
    model: Path | str,
    audio: Path | str | None = None,
    *,
    sample_rate: int | None = None,
    window_s: float | None = None,
    normalise: str | None = None,
    frontend: str | None = None,
    inputs: Sequence[str] = (),
) -> Conformance:
    """Whether a model's preprocessing, labels and runtime agree with what is known of it.

    Args:
        model: an ONNX file or a name of `birdprobe models`.
        audio: recordings for the sensitivity; the golden windows otherwise.
        sample_rate, window_s, normalise, frontend, inputs: as `open_backbone`.

    Returns:
        The findings, one line each, and how far the embedding moves with gain, offset and normalisation.

    Raises:
        InputError: a file that cannot be opened.
    """
    path = registry.resolve(model)
    given: dict[str, Any] = {"frontend": frontend, "inputs": inputs, "threads": 1}
    backbone = Backbone.open(path, "all", "mean", sample_rate, window_s, normalise, **given)
    whole = backbone.model
    said = said_of(whole, path)
    entry, how = identify(backbone)
    findings = [identity(backbone, entry, how), preprocessing(backbone, entry, said)]
    windows = golden.golden_windows(backbone.sample_rate, backbone.window_samples)
    heard = windows
    if audio is not None:
        files = golden.recording_files(audio)
        heard = golden.recorded_windows(files, backbone.sample_rate, backbone.window_samples)
        if narrow := narrow_band(files, backbone.sample_rate):
            findings.append(Finding(NOTE, "recordings", narrow))
    tap = "embedding" if "embedding" in backbone.taps else [t for t in backbone.taps if t != "logits"][-1]
    findings.append(label_lists.finding(path, backbone, entry, said))
    measured: dict[str, list[list[float]]] = {}
    moved: tuple[sensitivity.Moved, ...] = ()
    try:
        found = backbone(normalise_windows(windows, backbone.normalise))
        measured = {name: statistics(found[name]) for name in (tap, "logits") if name in found}
        findings.append(against_golden(measured, entry))
        findings += [spread(found[tap], tap), extremes(backbone), alone(backbone, windows, found[tap], tap)]
        findings += ways_to_run(
            whole if frontend or inputs else path, whole, normalise_windows(windows, backbone.normalise)
        )
        moved = sensitivity.measure(backbone, heard, tap) if len(heard) > 1 else ()
    except InputError as error:
        findings.append(Finding(FAILED, "numbers", str(error)))
    return Conformance(path, entry.name if entry else None, tuple(f for f in findings if f), moved, measured)


def identify(backbone: Backbone) -> tuple[registry.Entry | None, str]:
    """(The known model that this is, how it is known): the file, its place, or its contract."""
    known = registry.entries()
    for entry in known.values():
        if entry.kind == "download" and entry.sha256 == backbone.sha256:
            return entry, "the published file (sha256)"
    if (entry := registry.of_file(backbone.path)) is not None:
        return entry, "the file of this name"
    if (entry := known.get(backbone.preset or "")) is None:
        return None, "neither a known file nor a known contract"
    scores = backbone.dims.get("logits", (entry.classes,))[-1]
    if entry.classes and scores != entry.classes:
        return None, f"fed like {entry.name}, but with {scores:,} scores instead of {entry.classes:,}"
    return entry, f"its contract; another file than the published one ({backbone.sha256[:12]})"


def identity(backbone: Backbone, entry: registry.Entry | None, how: str) -> Finding:
    if entry is None:
        return Finding(NOTE, "identity", f"sha256 {backbone.sha256[:12]}: {how}")
    return Finding(OK, "identity", f"{entry.name} by {how}; {entry.licence}")


def preprocessing(backbone: Backbone, entry: registry.Entry | None, said: Said) -> Finding:
    fed = f"{backbone.sample_rate} Hz, {backbone.window_s:g} s, normalise {backbone.normalise}"
    if entry is None:
        by = said.by if said.sample_rate else "the flags"
        row = "x".join(map(str, backbone._row)) or "?"
        return Finding(NOTE, "preprocessing", f"assumed: {fed} ({by}), rows of {row}, samples between -1 and 1")
    wanted = f"{entry.sample_rate} Hz, {entry.window_s:g} s, normalise {entry.normalise}"
    if fed == wanted:
        return Finding(OK, "preprocessing", f"{fed}: as published")
    return Finding(FAILED, "preprocessing", f"{fed}; published is {wanted}")


def statistics(rows: np.ndarray) -> list[list[float]]:
    """[mean, standard deviation, largest] of each row."""
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    return [[float(f"{value:.6g}") for value in (row.mean(), row.std(), row.max())] for row in flat]


def against_golden(measured: dict[str, list[list[float]]], entry: registry.Entry | None) -> Finding:
    shared = {tap: rows for tap, rows in (entry.golden if entry else {}).items() if tap in measured}
    if not shared:
        return Finding(NOTE, "golden", f"no published numbers for {entry.name if entry else 'an unknown model'} here")
    worst, where = 0.0, ""
    for tap, rows in shared.items():
        for name, wanted, found in zip(golden.NAMES, rows, measured[tap], strict=True):
            off = max(abs(a - b) for a, b in zip(found, wanted)) / max(wanted[1], 1e-6)
            if not off <= worst:
                worst, where = off, f"{tap} of the {name}"
    text = f"{', '.join(shared)} of {len(golden.NAMES)} windows within {worst:.1e} standard deviations"
    if worst <= GOLDEN_TOLERANCE:
        return Finding(OK, "golden", text)
    return Finding(
        FAILED, "golden", f"{where} is off by {worst:.1e} standard deviations. Fed otherwise, or other weights?"
    )


def spread(rows: np.ndarray, tap: str) -> Finding:
    """Do different windows have different embeddings?"""
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    apart = min(float(np.linalg.norm(a - b)) for i, a in enumerate(flat) for b in flat[:i])
    length = float(np.linalg.norm(flat, axis=1).mean()) or 1.0
    if apart / length > CONSTANT:
        return Finding(OK, "spread", f"{tap}: windows are at least {apart / length:.2g} of its length apart")
    return Finding(
        FAILED, "spread", f"{tap} hardly depends on the audio ({apart / length:.1e}). Wrong scale, or a dead graph?"
    )


def extremes(backbone: Backbone) -> Finding:
    """Numbers on silence, on whispers and at full scale: half precision gives NaN there first."""
    shape = (1, backbone.window_samples)
    loud = np.sign(np.sin(np.arange(shape[1]) * 0.05))[None]
    cases = {"silence": np.zeros(shape), "1e-6 of full scale": 1e-6 * loud, "full scale": loud}
    for name, x in cases.items():
        try:
            backbone(normalise_windows(x.astype(np.float32), backbone.normalise))
        except InputError as error:
            return Finding(FAILED, "extremes", f"{name}: {error}")
    return Finding(OK, "extremes", f"finite on {', '.join(cases)}")


def alone(backbone: Backbone, windows: np.ndarray, together: np.ndarray, tap: str) -> Finding:
    """Does a window's row depend on its neighbours in the batch?"""
    one = backbone(normalise_windows(windows[:1], backbone.normalise))[tap]
    off = Difference.between(one, together[:1]).rel_l2
    verdict = OK if off <= RUN_TOLERANCE else FAILED
    return Finding(verdict, "batch", f"a window alone against four at once: {off:.1e} (relative)")


def ways_to_run(source: Path | onnx.ModelProto, model: onnx.ModelProto, windows: np.ndarray) -> list[Finding]:
    """ONNX Runtime's optimised graph, and each other provider of this machine, against the plain graph on the CPU.

    source: the file, or `model` where that takes the waveform and the file does not.
    """
    names = [value.name for value in tensor_outputs(model)]

    def run(provider: str, optimised: bool) -> list[np.ndarray]:
        session = start(source, quiet_options(optimised), [provider])
        fed = session.get_inputs()[0]
        lead = [n if isinstance(n, int) else 1 for n in fed.shape[:-1]]
        x = windows[:1].reshape(*lead, -1) if all(n == 1 for n in lead) else None
        if x is None:
            return []
        return session.run(names, {fed.name: x.astype(np.float16 if "float16" in fed.type else np.float32)})

    try:
        wanted = run("CPUExecutionProvider", optimised=False)
    except ORT_ERRORS as error:
        return [Finding(NOTE, "provider", f"not compared: {reason(error)}")]
    findings = []
    for provider in ("CPUExecutionProvider", *(p for p in ort.get_available_providers() if p not in NOT_PROVIDERS)):
        try:
            found = run(provider, optimised=True)
        except ORT_ERRORS as error:
            findings.append(Finding(NOTE, "provider", f"{provider} cannot run it: {reason(error)}"))
            continue
        off = max((Difference.between(a, b).rel_l2 for a, b in zip(found, wanted)), default=0.0)
        verdict = OK if off <= RUN_TOLERANCE else FAILED
        findings.append(
            Finding(verdict, "provider", f"{provider}, optimised against plain graph: {off:.1e} (relative)")
        )
    return findings
