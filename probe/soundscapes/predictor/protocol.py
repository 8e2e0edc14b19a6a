"""What a predictor offers, and what follows from it where the user says nothing."""

from typing import Protocol

import numpy as np

from ....features import InputError
from ....features.playback import AS_RECORDED, Playback
from ...runtime.cores import threads_beside
from ...runtime.device_session import BATCH


class Predictor(Protocol):
    """labels: names of the K outputs. sample_rate in Hz. normalise: one of features.windows.NORMALISATIONS, what the
    caller does to the audio. identity: changes whenever the numbers could. Calls may come from several threads.

    Optional: `threads`, how many a call uses; `at_work()`, a context manager around all calls of a prediction;
    `playback`, how recordings were played to what it learned from (None: it does not say);
    `predict_recording(windows, stem)`, which is called instead with all windows of one recording, in their order, and
    the recording's name: float32 [T, window_samples] -> float32 [T, K];
    where `has_frames` is true, `frames(windows)`, float32 [n, T, K], probabilities over T frames of equal length.
    """

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def window_samples(self) -> int: ...
    @property
    def normalise(self) -> str: ...
    @property
    def identity(self) -> str: ...

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """float32 [n, window_samples] -> float32 [n, K], values in 0..1."""
        ...


def usual_batch(predictor: Predictor) -> int:
    """Windows a call where none were asked for; the same in every run, since a resumed one has to go on alike."""
    check = getattr(predictor, "device_check", None)
    return BATCH if check is None else check.batch or BATCH


def usual_workers(predictor: Predictor) -> int:
    """Files at a time where none were asked for."""
    return threads_beside(getattr(predictor, "threads", 1))


def played_as(predictor: Predictor, playback: Playback | None) -> Playback:
    """How recordings are played to a predictor: as it was trained, else as asked. InputError: the two differ."""
    trained: Playback | None = getattr(predictor, "playback", None)
    if trained is not None and playback not in (None, trained):
        raise InputError(
            f"`--speed {playback.speed:g} --bandpass {playback.bandpass}`, but it was trained at speed "
            f"{trained.speed:g}, bandpass {trained.bandpass}. Leave both out."
        )
    return trained or playback or AS_RECORDED
