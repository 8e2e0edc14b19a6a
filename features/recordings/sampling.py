"""Which clips of a table are used: a seeded draw."""

import math
import zlib
from collections import defaultdict
from dataclasses import replace

import numpy as np

from .. import InputError
from .clips import Recordings, some


def choose(
    recordings: Recordings, classes: int | None = None, per_class: int | None = None, seed: int = 0
) -> Recordings:
    """At most `classes` classes with at most `per_class` clips each, drawn by the seed; None takes all.

    Classes that have per_class clips are drawn from first; the largest others fill up. The draw depends on the labels
    and clip names alone, never on their order, and a class's clips do not depend on which other classes there are.
    """
    for option, number in (("--classes", classes), ("--per-class", per_class)):
        if number is not None and number < 1:
            raise InputError(f"{option}: found {number}, wanted at least 1.")
    members = defaultdict(list)
    for index, clip in enumerate(recordings.clips):
        members[clip.label].append((clip.name, clip.start_s or 0.0, clip.end_s or math.inf, index))
    labels = np.random.default_rng(seed).permutation(sorted(members)).tolist()
    labels.sort(key=lambda label: -min(len(members[label]), per_class or 0))  # stable: the draw decides among equals
    labels = labels[:classes]
    kept = []
    for label in labels:
        rng = np.random.default_rng([seed, zlib.crc32(label.encode())])
        order = rng.permutation(len(members[label]))[:per_class]
        kept += [sorted(members[label])[i][-1] for i in order]
    warnings = list(recordings.warnings)
    small = sorted(label for label in labels if per_class and len(members[label]) < per_class)
    if (classes and len(labels) < classes) or small:
        asked = f"{classes or 'all'} classes x {per_class or 'all'} clips"
        few = f", {len(small)} of them with fewer than {per_class} clips ({some(small)})" if small else ""
        warnings.append(f"asked for {asked}, found {len(labels)} classes{few}: {len(kept)} clips are used.")
    return replace(recordings, clips=tuple(recordings.clips[i] for i in sorted(kept)), warnings=tuple(warnings))
