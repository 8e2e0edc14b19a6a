"""A fused file whose heads read a whole recording: its windows go in together, with its site and hour."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ....features import InputError
from ....features.recordings.names import place_of
from ...runtime import sessions
from ...runtime.sessions import ORT_ERRORS, reason
from .onnx_file import OnnxPredictor

SEQUENCE = "sequence"  # the metadatum that tells such a file


@dataclass(frozen=True, eq=False)
class RecordingFile(OnnxPredictor):
    """length: windows that go in together, at most. sites: names, numbered from 1; None: neither site nor hour."""

    length: int = 1
    sites: tuple[str, ...] | None = None

    def predict_recording(self, windows: np.ndarray, stem: str) -> np.ndarray:
        """Windows float32 [T, window_samples] of one recording in their order, and its name -> float32 [T, K].

        A longer recording is read in pieces of `length`, as when the heads were trained.
        """
        spec = sessions.data_input(self._session)
        row = (1,) * (len(spec.shape) - 2) + (self.window_samples,)
        x = np.ascontiguousarray(windows, np.dtype(spec.dtype)).reshape(len(windows), *row)
        place: dict[str, np.ndarray] = {}
        if self.sites is not None:
            site, hour = place_of(stem, self.sites)
            place = {"site": np.array([site], np.int64), "hour": np.array([hour], np.int64)}
        pieces = [x[i : i + self.length] for i in range(0, len(x), self.length)]
        try:
            found = [self._session.run([self._output], {spec.name: piece, **place})[0] for piece in pieces]
        except ORT_ERRORS as error:
            raise InputError(f"{self.path.name}: ONNX Runtime fails on {len(x)} windows: {reason(error)}") from error
        return np.concatenate(found).astype(np.float32, copy=False)

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """The windows as one recording of which nothing else is known."""
        return self.predict_recording(windows, "")


def over_recordings(predictor: OnnxPredictor, about: Mapping[str, str]) -> OnnxPredictor:
    """The predictor of a fused file, as one of recordings where its metadata say so. InputError: they are damaged."""
    if SEQUENCE not in about:
        return predictor
    try:
        said = json.loads(about[SEQUENCE])
        length, sites = int(said["length"]), said["sites"]
        sites = None if sites is None else tuple(map(str, sites))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{predictor.path}: damaged metadata ({error}). Fused by another program?") from None
    wanted = set() if sites is None else {"site", "hour"}
    if not 0 < length < math.inf or {node.name for node in predictor._session.get_inputs()[1:]} != wanted:
        raise InputError(
            f"{predictor.path}: {SEQUENCE} says length {length} and {'no ' * (sites is None)}sites, which its inputs "
            "do not fit. Changed after it was fused?"
        )
    return RecordingFile(**vars(predictor), length=length, sites=sites)
