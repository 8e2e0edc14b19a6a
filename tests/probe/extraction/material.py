"""Recordings of noise in several formats, and what makes two stores the same."""

import numpy as np
import pandas as pd
import soundfile

from birdprobe.features.recordings import Clip, Recordings
from birdprobe.features.store import FeatureStore
from birdprobe.features.windows import Selection

ALL = Selection("all")
LENGTHS_S = (0.4, 1.0, 1.3, 2.0, 3.7, 6.2)


def make(folder, n):
    """n clips of noise: several formats, rates, channel counts and lengths, two labels, groups of two."""
    rng, clips = np.random.default_rng(0), []
    for i in range(n):
        rate, suffix = (8000, "wav") if i % 3 else (16000, "flac")
        samples = 0.3 * rng.standard_normal((int(LENGTHS_S[i % 6] * rate), 1 + i % 2)).astype(np.float32)
        path = folder / f"{'ab'[i % 2]}/{i:03d}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.clip(samples, -1, 1), rate)
        clips.append(
            Clip(path, f"{path.parent.name}/{path.name}", ("ab"[i % 2], "x"), group=f"g{i // 2}", fold=str(i % 4))
        )
    return Recordings(folder, tuple(clips), "two by two", ("a warning",))


def assert_same(one, other):
    with FeatureStore.open(one) as a, FeatureStore.open(other) as b:
        assert a.complete and b.complete and a.check() == b.check() == []
        pd.testing.assert_frame_equal(a.rows(), b.rows())
        pd.testing.assert_frame_equal(a.skipped(), b.skipped())
        for tap in a.taps:
            np.testing.assert_array_equal(a.read(tap), b.read(tap))
