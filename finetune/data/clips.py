"""Training and validation examples out of recordings: windows of clips with their targets, read by threads ahead.

Everything random is drawn from (seed, epoch, the clip's name), never from a generator that lives on: epoch 7 from step
12 on is the same after a restart as without one, with one thread or eight, with memory or without. libsndfile, soxr
and numpy release the GIL, so threads decode beside the training.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...features import InputError
from ...features.recordings import Clip
from ...features.schema import check_choice
from ...probe.runtime.cores import cores
from .energy_peaks import Peaks
from .folds import UNKNOWN, clip_targets
from .teacher import Teacher
from .waveforms import CACHE_BYTES, Waveforms

SAMPLE_RATE, WINDOW_S = 32_000, 5.0
SELECTIONS = ("random", "energy")
AHEAD = 2  # batches that threads work on while one trains


class Clips:
    """Windows of clips. labels: the K columns of the targets. selection: how a training window is chosen. peaks: the
    file in which selection "energy" keeps what it finds; folds and restarts share it. teacher: whose windows are drawn,
    evenly, of the clips that it knows; targets then are [B, K + C + 1]: the labels, its shares (zeros without any), and
    1 where the labels are unknown.

    skipped: name -> reason of clips that could not be read so far. In training the next clip of the list takes their
    place, so that one damaged file among thousands does not end a run; in validation they are left out.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        labels: Sequence[str],
        *,
        sample_rate: int = SAMPLE_RATE,
        window_s: float = WINDOW_S,
        selection: str = "random",
        cache_bytes: int = CACHE_BYTES,
        workers: int | None = None,
        peaks: Path | None = None,
        teacher: Teacher | None = None,
    ):
        if not clips:
            raise InputError("clips: expected at least one, got none. Does the fold leave any?")
        check_choice("--selection", selection, SELECTIONS)
        self.clips, self.labels = tuple(clips), tuple(labels)
        self.targets = clip_targets(self.clips, self.labels)  # float32 [n, K]
        self.teacher = teacher
        self.sample_rate, self.window_samples = sample_rate, round(window_s * sample_rate)
        self.window_s, self.selection = window_s, selection
        self.waveforms = Waveforms(self.clips, sample_rate, cache_bytes)
        self.workers = workers or min(16, cores())
        self._peaks = Peaks(sample_rate, self.window_samples, peaks if selection == "energy" else None)
        self.skipped: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.clips)

    def steps(self, batch_size: int) -> int:
        """Batches an epoch. What does not fill one waits for another epoch's order, unless it is all there is."""
        return max(1, len(self.clips) // batch_size)

    def order(self, epoch: int, seed: int) -> np.ndarray:
        """Clip numbers, int64 [n], as this epoch takes them."""
        return np.random.default_rng([seed, epoch]).permutation(len(self.clips))

    def batches(
        self, epoch: int, batch_size: int, seed: int, start_step: int = 0, *, share: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """(waveform float32 [B, S], targets float32 [B, K]) of steps start_step .. steps - 1 of an epoch.

        share: (this process, of how many): each takes every so-manieth row of a batch. Close the iterator, or run it
        to its end: threads stop then. InputError: no clip can be read.
        """
        process, processes = share
        order = self.order(epoch, seed)
        rows = []
        for step in range(start_step, self.steps(batch_size)):
            batch = order[step * batch_size : (step + 1) * batch_size]
            whole = len(batch) // processes * processes
            if not whole:
                raise InputError(f"batch: expected a row for each of {processes} processes, got {len(batch)}.")
            rows.append(batch[:whole][process::processes].tolist())
        jobs = (i for batch in rows for i in batch)
        size = len(rows[0]) if rows else 1
        read = self._in_order(lambda i: self._example(i, epoch, seed), jobs, ahead=(AHEAD + 1) * size)
        try:
            for batch in rows:
                windows, targets = zip(*(next(read) for _ in batch))
                yield torch.from_numpy(np.stack(windows)), torch.from_numpy(np.stack(targets))
        finally:
            read.close()
            self._peaks.save()

    def windows(self, count: int, epoch: int, seed: int) -> Tensor:
        """count training windows without targets, float32 [count, S]: a pool of backgrounds. Clips come again, at
        other places, when there are fewer."""
        rounds = -(-count // len(self.clips))
        jobs = [(i, r) for r in range(rounds) for i in self.order(epoch, seed + r).tolist()][:count]
        read = self._in_order(lambda job: self._example(job[0], epoch, seed + job[1])[0], jobs, ahead=4 * self.workers)
        return torch.from_numpy(np.stack(list(read)))

    def held_out(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(waveform float32 [B, S], clip number int64 [B]) of all windows of every clip, in order.

        The last batch may be smaller; `clip_means` makes clip scores of the logits. InputError: no clip can be read.
        """
        read = self._in_order(self._grid, range(len(self.clips)), ahead=4 * self.workers)
        waiting, owners, found = [], [], False
        try:
            for i, cuts in enumerate(read):
                waiting += list(cuts)
                owners += [i] * len(cuts)
                found |= len(cuts) > 0
                while len(waiting) >= batch_size:
                    yield torch.from_numpy(np.stack(waiting[:batch_size])), torch.tensor(owners[:batch_size])
                    waiting, owners = waiting[batch_size:], owners[batch_size:]
            if waiting:
                yield torch.from_numpy(np.stack(waiting)), torch.tensor(owners)
        finally:
            read.close()
        if not found:
            raise self._nothing_readable()

    def _example(self, i: int, epoch: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Window float32 [S] and targets [K] of clip i, or of the next one that can be read."""
        for j in (*range(i, len(self.clips)), *range(i)):
            clip = self.clips[j]
            rng = np.random.default_rng(seed_of(clip, seed, epoch))
            try:
                return self._drawn(j, rng)
            except InputError as error:
                self._skip(clip, error)
        raise self._nothing_readable()

    def _drawn(self, i: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Window float32 [S] and targets of clip i: one of the teacher's windows where it has any."""
        targets, size, teacher = self.targets[i], self.window_samples, self.teacher
        if teacher is not None:
            starts, rows = teacher.of_clip(self.clips[i])
            unknown = np.array([self.clips[i].labels == (UNKNOWN,)], np.float32)
            if len(starts):
                which = int(rng.integers(len(starts)))
                window = self.waveforms.window(i, round(float(starts[which]) * self.sample_rate), size)
                return window, np.concatenate([targets, teacher.shares[rows[which]], unknown])
            targets = np.concatenate([targets, np.zeros(len(teacher.columns), np.float32), unknown])
        if self.selection == "energy":
            return self.waveforms.energy_window(i, size, rng, self._peaks), targets
        return self.waveforms.random_window(i, size, rng), targets

    def _grid(self, i: int) -> np.ndarray:
        """Windows float32 [w, S] of clip i; none where it cannot be read."""
        try:
            return self.waveforms.windows(i, self.window_samples)
        except InputError as error:
            self._skip(self.clips[i], error)
            return np.zeros((0, self.window_samples), dtype=np.float32)

    def _skip(self, clip: Clip, error: InputError) -> None:
        """For the report alone: what is skipped never decides what is read, or a restart would read other clips."""
        piece = "" if clip.start_s is None and clip.end_s is None else f" [{clip.start_s or 0:g} s to {clip.end_s} s]"
        self.skipped[clip.name + piece] = str(error)

    def _nothing_readable(self) -> InputError:
        first = next(iter(self.skipped.values()))
        return InputError(f"clips: none of {len(self.clips)} can be read; the first: {first}")

    def _in_order(self, work: Callable, jobs: Iterable, ahead: int) -> Generator:
        """work(job) for each job, in their order, computed by threads at most `ahead` jobs early."""
        waiting: deque[Future] = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="clips")
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def seed_of(clip: Clip, seed: int, epoch: int) -> int:
    """The seed of a clip's window in an epoch: it depends on which clip it is, not on its place in the table."""
    identity = f"{seed}|{epoch}|{clip.name}|{clip.start_s}|{clip.end_s}"
    return int.from_bytes(hashlib.sha256(identity.encode("utf-8", "surrogateescape")).digest()[:8], "big")


def clip_means(values: Tensor, owners: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(means float32 [m, K], clip numbers int64 [m]): the mean of each clip's window logits [w, K], of n clips.

    Clips without a window (unreadable ones) have no row.
    """
    owners = owners.to(values.device)
    sums = torch.zeros(n, values.shape[1], device=values.device).index_add_(0, owners, values.float())
    counts = torch.bincount(owners, minlength=n)
    there = counts.nonzero()[:, 0]
    return sums[there] / counts[there, None], there
