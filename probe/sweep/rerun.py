"""A sweep that is asked for again: what of the finished run is otherwise than asked for."""

from dataclasses import asdict
from pathlib import Path

from ...features.output_folder import first_difference
from ...features.recordings import Recordings
from ...features.store import FeatureStore
from ..extraction.clip_batches import ClipBatch
from ..extraction.writer import misfit, quick_look, readable_again
from ..models.frontends.opening import open_waveform
from ..models.registry import resolve
from ..runtime.backbone import sha256
from .data import read_data
from .run_folder import FEATURES, TEST, hash_of_audio
from .settings import Settings


def differing(
    run: Path, config: dict, model: Path, audio: Path | str, test: Path | str | None, settings: Settings
) -> str:
    """What a finished run has otherwise than asked for, in words: settings, model, clips, audio; "" if nothing.

    Nothing is computed: of the recordings those are read again that are not as they were listed.
    """
    there = config["settings"] | (config.get("asked") or {})
    if told := first_difference(there, asdict(settings)):
        return told
    if (config.get("test") is None) != (test is None):
        return f"made {'without' if test else 'with'} --test"
    if told := _other_model(config["model"], model, settings):
        return told
    data = read_data(audio, test, settings)
    made = config["model"]["sha256"]
    told = _other_audio(run / FEATURES, data.recordings, made, config["audio"]["sha256"])
    return told or ("" if data.held_out is None else _other_audio(run / TEST, data.held_out, made))


def _other_model(there: dict, model: Path, settings: Settings) -> str:
    path = resolve(model)
    if sha256(path) != there["sha256"]:
        return f"made with another model than {path}"
    _, fed, front = open_waveform(
        path, settings.frontend, settings.inputs, settings.sample_rate, settings.window_s, settings.normalise
    )
    now = {
        "sample_rate": fed.sample_rate,
        "window_s": fed.window_samples / fed.sample_rate,
        "normalise": fed.normalise,
        "frontend": front.text if front else None,
    }
    return first_difference(there, now)


def _other_audio(path: Path, recordings: Recordings, model: str, digest: str | None = None) -> str:
    """What a store of the run has otherwise; model, digest: what the run knows of its model and of all its audio."""
    clips = ClipBatch(0, recordings.clips)
    if not path.is_file():
        return f"{path.name} is missing"
    with FeatureStore.open(path) as store:
        key, rows, looked = store.key, store.rows(), store.meta.get("files_look")
    if key.model_sha256 != model:
        return f"{path.name} is of another model"
    if told := misfit(path, key, clips):
        return f"{path.name} {told.removeprefix(f'{path}: ').partition('. ')[0]}"
    if digest not in (None, hash_of_audio(rows)):
        return f"{path.name} is of other audio"
    if looked != quick_look(clips) and readable_again(path, key.sample_rate, clips):
        return "clips that could not be read then can be now"
    return ""
