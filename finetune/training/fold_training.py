"""A fold under way: epochs of steps, held-out scores, checkpoints, and the state that a killed run goes on from."""

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ...features import InputError
from ...features.progress import Progress
from .. import checkpoint
from ..background import Background
from ..checkpoint import Description
from ..data.clips import Clips
from ..data.energy_peaks import peaks_file
from ..models.members import Model
from . import results, resume, throughput
from .job import Job
from .loop import Loop
from .validation import HeldOut

SHOW_EVERY_S = 0.5  # reading the loss waits for the GPU, so it is not done at every step
POOL = 64  # windows of background in memory, drawn anew each epoch


class Training:
    """The loop, its data, and what is known so far. history: rows of log.csv; best: the row of the epoch kept.

    writer: of checkpoints and states. freezable: whether the recipe's frozen epochs make sense, which they do not for
    random weights.
    """

    def __init__(self, job: Job, model: Model, own: Path, init: dict, writer: Background, freezable: bool):
        self.job, self.own, self.init, self.main = job, own, init, job.accelerator.is_main_process
        self.writer, self.saved = writer, time.perf_counter()
        recipe = job.settings.recipe
        peaks = peaks_file(job.root, job.member.sample_rate, job.member.window_samples)
        self.clips = Clips(
            *(job.seen, job.labels), selection=recipe.selection, peaks=peaks, teacher=job.teacher, **job.reading
        )
        self.quiet = Clips(job.background, job.labels, **job.reading) if job.background else None
        self.held = HeldOut(job.folds.held(job.fold), job.labels, job.share, **job.reading)
        self.per_epoch = self.clips.steps(recipe.batch_size)
        self.loop = Loop(model, job.settings, job.fold, recipe.epochs * self.per_epoch, job.accelerator, job.teacher)
        self.frozen_epochs = min(recipe.frozen_epochs, recipe.epochs) if freezable else 0
        self.notes = (
            (f"{recipe.frozen_epochs} frozen epochs left out: the weights are random, so all of them learn.",)
            if recipe.frozen_epochs and not freezable
            else ()
        )
        self.history: list[dict] = []
        self.best: dict = {}
        self.epoch, self.in_epoch, self.seconds = 0, 0, 0.0
        self.total = torch.zeros((), dtype=torch.float64, device=self.loop.device)  # of the epoch's losses

    def epochs(self, bar: Progress) -> Iterator[dict]:
        """Train to the end; yields each epoch's row of the log."""
        while self.epoch < self.job.settings.recipe.epochs:
            frozen = self.epoch < self.frozen_epochs
            self.loop.stage(frozen)
            bar.describe(f"epoch {self.epoch + 1}{' (frozen)' if frozen else ''}")
            self._train_epoch(bar)
            yield self._close_epoch()

    def _train_epoch(self, bar: Progress) -> None:
        settings = self.job.settings
        pools = self._pools()
        at = self.epoch, settings.recipe.batch_size, settings.seed, self.in_epoch
        shown = started = time.perf_counter()
        before = self.seconds
        note, clips = "", 0
        for waveform, targets in self.clips.batches(*at, share=self.job.share):
            loss = self.loop.train_step(waveform, targets, self.epoch, self.in_epoch, pools)
            self.total += loss
            self.in_epoch += 1
            bar.advance(note=note)
            clips += len(waveform) * self.job.share[1]
            if not bar.quiet and (now := time.perf_counter()) - shown > SHOW_EVERY_S:
                note = f"loss {float(loss):.4f}, {clips / (now - shown):.1f} clips/s"
                shown, clips = now, 0
            self.seconds = before + time.perf_counter() - started
            if self._due() and self.in_epoch < self.per_epoch:
                self.save_state()

    def _close_epoch(self) -> dict:
        """Score, log, and write what changed. Killed in between, all of it is done again to the same effect."""
        with self.loop.average.applied():
            row = self._score()
            self.history.append(row)
            better, due = self._better(row), self._due()
            if better:
                self.best = row
            names = [name for name, wanted in (("best", better), ("last", due or self._is_last)) if wanted]
            weights = resume.snapshot(self.loop.network.state_dict()) if names and self.main else {}
        self.epoch, self.in_epoch, self.seconds = self.epoch + 1, 0, 0.0
        self.total.zero_()
        if self.main:
            results.write_log(self.own, self.history)
        self._write(dict.fromkeys(names, weights), row, due)
        return row

    @property
    def _is_last(self) -> bool:
        return self.epoch + 1 == self.job.settings.recipe.epochs

    def _score(self) -> dict:
        """The epoch's row of the log, with the held-out scores of the present weights."""
        total = self.job.accelerator.reduce(self.total, "mean")  # over processes; each had its part of every batch
        if not math.isfinite(loss := float(total) / self.per_epoch):
            raise InputError(f"epoch {self.epoch + 1}: expected a finite loss, got {loss}. A lower --lr?")
        batch_size = self.job.settings.recipe.batch_size
        windows = self.held.predict(self.loop, batch_size)
        scores = self.held.scores(windows) | self.held.distance(windows, self.job.teacher)
        clips = self.per_epoch * min(batch_size, len(self.clips))
        return {
            "epoch": self.epoch + 1,
            "step": self.loop.step,
            "lr": self.loop.lr,
            "loss": loss,
            **{name: None if math.isnan(value) else value for name, value in scores.items()},
            "seconds": round(self.seconds, 3),
            "clips_per_s": round(clips / max(self.seconds, 1e-9), 3),
        }

    def finish(self, run: Path, log: Callable[[str], None]) -> None:
        """Predict the held-out fold with the best weights, write the tables, and let go of the state."""
        job = self.job
        self.writer.wait()
        job.accelerator.wait_for_everyone()
        weights, _ = checkpoint.files(self.own / "best")
        self.loop.network.load_state_dict(load_file(weights))
        windows = self.held.predict(self.loop, job.settings.recipe.batch_size)
        if self.main:
            if self.loop.device.type == "cuda" and self.frozen_epochs < job.settings.recipe.epochs:
                (self.own / "throughput.json").write_text(json.dumps(self._throughput(log), indent=2) + "\n")
            index, values, truth = self.held.table(windows, job.settings.activation)
            results.write_oof(run, job.member.name, job.fold, index, values, truth, job.labels)
            resume.clear(self.own / "state")
        job.accelerator.wait_for_everyone()

    def save_state(self) -> None:
        """Beside the training; what it depends on is copied first."""
        self._write({}, {}, state=True)

    def _due(self) -> bool:
        return time.perf_counter() - self.saved >= self.job.settings.state_every_s

    def _write(self, checkpoints: dict[str, dict[str, Tensor]], row: dict, state: bool) -> None:
        """Checkpoints first: a state that is there has seen all that it knows of on the disk."""
        if not self.main or not (checkpoints or state):
            return
        described = self._describe(row) if checkpoints else None
        step, kept, facts = self.loop.step, {}, {}
        if state:
            self.saved = time.perf_counter()
            names = ("epoch", "in_epoch", "seconds", "history", "best", "init")
            facts = copy.deepcopy({name: getattr(self, name) for name in names}) | {"step": step}
            kept = resume.snapshot(self.loop.tensors() | {"total": self.total})

        def job() -> None:
            for name, weights in checkpoints.items():
                assert described is not None
                checkpoint.save(self.own / name, weights, described, overwrite=True)
            if state:
                resume.save(self.own / "state", step, kept, facts)

        self.writer.submit(job)
        if not self.job.settings.state_every_s:
            self.writer.wait()

    def restore(self, saved: resume.State) -> None:
        facts = saved.facts
        self.loop.restore(saved.tensors, facts["step"])
        self.total.copy_(saved.tensors["total"])
        self.epoch, self.in_epoch, self.seconds = facts["epoch"], facts["in_epoch"], facts["seconds"]
        self.history, self.best = facts["history"], facts["best"]

    def skipped(self) -> dict[str, str]:
        """Name -> reason of the clips that could not be read."""
        found = (self.clips, self.quiet, self.held.clips)
        return {name: why for clips in found if clips for name, why in clips.skipped.items()}

    def _pools(self) -> dict[str, Tensor | None]:
        if self.quiet is None:
            return {"pool": None, "nocall": None}
        drawn = self.quiet.windows(POOL, self.epoch, self.job.settings.seed).to(self.loop.device)
        return {"pool": drawn, "nocall": drawn}

    def _better(self, row: dict) -> bool:
        """An undefined score (no class with positives and negatives) is beaten by any, and by a later undefined one."""
        old, new = (one.get(self.job.settings.best) for one in (self.best, row))
        return old is None or (new is not None and new > old)

    def _describe(self, row: dict) -> Description:
        job = self.job
        return Description(
            member=job.member.name,
            labels=job.labels,
            activation=job.settings.activation,
            sample_rate=job.member.sample_rate,
            window_s=job.member.window_s,
            options=job.options,
            fold=job.fold,
            epoch=row["epoch"],
            step=row["step"],
            settings=job.settings.to_json() | ({"teacher": job.teacher.to_json()} if job.teacher else {}),
            init=self.init,
            metrics={name: row[name] for name in ("loss", "macro_auc", "cmap", "accuracy")},
            versions=checkpoint.versions(),
        )

    def _throughput(self, log: Callable[[str], None]) -> dict:
        loop = self.loop
        loop.stage(False)
        waveform = torch.zeros(2, round(self.job.member.window_s * self.job.member.sample_rate), device=loop.device)
        with torch.no_grad():
            x = loop.frontend(waveform)
        wanted = torch.zeros(2, len(self.job.labels), device=loop.device)
        operations = throughput.operations_per_clip(loop.network, x, lambda logits: loop.label_loss(logits, wanted))
        full = [row["clips_per_s"] for row in self.history if row["epoch"] > self.frozen_epochs]
        speed = max(full) / self.job.share[1]  # of one GPU, all layers learning
        found = throughput.report(loop.device, speed, operations, loop.mixed.dtype or torch.float32)
        log(
            f"{found['device']}: {speed:.1f} clips/s, {found['peak_memory_gb']:.1f} GB at most, "
            f"{100 * found['share']:.0f} % of its measured {found['matmul_tflops']:.0f} TFLOP/s in {found['dtype']}"
        )
        return found
