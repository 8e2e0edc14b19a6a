"""A training's run as a predictor: its backbone at the taps that the heads read, then the heads of all folds, averaged.

The same two steps that were trained, nothing exported; `birdprobe fuse` makes one file of them, which needs no torch.
"""

import hashlib
import json
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..features import InputError
from ..features.files import parse_json
from ..features.playback import AS_RECORDED, Playback
from ..features.store import FeatureStore, StoreKey
from ..finetune.torch_settings import torch_threads
from ..probe.assets import WREN
from ..probe.models.registry import resolve
from ..probe.runtime.backbone import Backbone, sha256
from ..probe.runtime.device_session import BATCH, DeviceCheck
from ..probe.runtime.providers import CPU, Device
from .ensemble import Members, load_members, predict_windows
from .inputs import taps_of
from .sequences.first_pass_origin import FirstPassSource


@dataclass(frozen=True, eq=False)
class HeadPredictor:
    """Backbone and heads. The backbone's file and settings are those that the heads were trained on."""

    backbone: Backbone
    ensemble: Any = field(repr=False)
    labels: tuple[str, ...]
    identity: str
    playback: Playback = AS_RECORDED

    @property
    def sample_rate(self) -> int:
        return self.backbone.sample_rate

    @property
    def window_samples(self) -> int:
        return self.backbone.window_samples

    @property
    def normalise(self) -> str:
        return self.backbone.normalise

    @property
    def device_check(self) -> DeviceCheck | None:
        return self.backbone.device_check

    @property
    def threads(self) -> int | None:
        return self.backbone.threads

    def at_work(self) -> AbstractContextManager[None]:
        """Meanwhile torch computes with as many threads as the backbone's session: with more, small heads would wait
        for cores that the backbones of other files keep busy."""
        return torch_threads(self.threads)

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        features = self.backbone(windows)
        with torch.inference_mode():
            return self.ensemble(*(torch.from_numpy(features[tap]) for tap in self.ensemble.taps)).numpy()


@dataclass(frozen=True, eq=False)
class RecordingPredictor(HeadPredictor):
    """Backbone and heads over time. first_pass: where the heads' first pass comes from."""

    first_pass: FirstPassSource = field(default_factory=FirstPassSource)

    def predict_recording(self, windows: np.ndarray, stem: str) -> np.ndarray:
        """Windows float32 [T, window_samples] of one recording in their order, and its name -> float32 [T, K]."""
        size = self.device_check.batch if self.device_check else None
        parts = [self.backbone(some) for some in np.array_split(windows, math.ceil(len(windows) / (size or BATCH)))]
        features = {tap: np.concatenate([part[tap] for part in parts]) for tap in parts[0]}
        rows = pd.DataFrame({"source": "", "file": stem, "start_s": np.arange(len(windows))})
        first = self.first_pass(features, stem, len(windows))
        xs = [torch.from_numpy(features[tap]) for tap in self.ensemble.taps]
        with torch.inference_mode():
            return predict_windows(self.ensemble, xs, rows, None if first is None else torch.from_numpy(first)).numpy()

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """The windows as one recording of which nothing else is known."""
        return self.predict_recording(windows, "")


def open_run(
    run: Path,
    model: Path | str | None,
    head: str | None,
    fold: int | None,
    threads: int | None = 1,
    device: Device = CPU,
    first_pass: Path | str | None = None,
) -> HeadPredictor:
    """first_pass: a CSV of predictions, for heads over time that were trained with one. InputError: no such head or
    fold, no backbone found, or another one than the heads were trained on; a first pass missing, or for no reason."""
    members = load_members(run, head, fold)
    members.require_one_model(run)
    key = members.description.store_key
    path = find_model(run, key) if model is None else resolve(model)
    if model is not None and path.is_file():
        members.require_model(path, run)
    source = FirstPassSource.of(members, run, first_pass)
    taps = taps_of(members.description.tokens)
    wanted = tuple(dict.fromkeys([*taps, *source.taps]))
    backbone = Backbone.open(
        *(path, ",".join(wanted), key.pooling, key.sample_rate, key.window_s, key.normalise),
        threads=threads,
        frontend=key.frontend or None,
        inputs=key.inputs,
        device=device,
    )
    identity = identity_of(members, key) + ("" if device.precision == "float32" else f"-{device.precision}")
    labels = members.description.labels
    if members.over_time:
        over = members.over_recordings(taps)
        return RecordingPredictor(*(backbone, over, labels, source.named(identity), key.playback, source))
    return HeadPredictor(*(backbone, members.over(taps), labels, identity), playback=key.playback)


def find_model(run: Path, key: StoreKey) -> Path:
    """The file of this hash: where the run's stores say that it was, else the bundled Wren. InputError: neither."""
    tried = [path for store in stores_of(run) for path in model_of(store, run)] + [WREN]
    for path in dict.fromkeys(tried):
        if path.is_file() and path.suffix == ".onnx" and sha256(path) == key.model_sha256:
            return path
    raise InputError(
        f"{run}: expected a backbone of sha256 {key.model_sha256[:12]}, got none (looked at "
        f"{', '.join(str(path) for path in dict.fromkeys(tried))}). Give it with --model."
    )


def stores_of(run: Path) -> list[Path]:
    """As config.json names them, relative to here or to the run's folder; those that are still there."""
    try:
        named = [Path(store["path"]) for store in parse_json((run / "config.json").read_text())["stores"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    places = [place for path in named for place in (path, run.parent / path, run.parent / path.name)]
    return [place for place in dict.fromkeys(places) if place.is_file()]


def model_of(store: Path, run: Path) -> list[Path]:
    """Where a store's features came from, as its meta say."""
    try:
        with FeatureStore.open(store) as opened:
            named = opened.meta.get("model")
    except InputError:
        return []
    return [Path(named), run.parent / named, store.parent / named] if named else []


def identity_of(members: Members, key: StoreKey) -> str:
    """A hash over the backbone's, the key's other fields and every weight of the heads."""
    digest = hashlib.sha256(key.to_json().encode())
    digest.update(json.dumps([members.name, members.folds, members.description.activation]).encode())
    if members.over_time:
        digest.update(json.dumps(members.description.options, sort_keys=True).encode())
    for module in members.modules:
        for name, tensor in module.state_dict().items():
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
