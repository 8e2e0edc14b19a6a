"""What is to be predicted: a predictor, the files, the rows, and the form of the table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...features import InputError
from ...features.playback import AS_RECORDED, Playback
from ...features.recordings.bandwidth import narrow_band
from ...features.spelling import agree, composed, counted
from .placement import Placement
from .predictor import Predictor
from .rows import Soundscape, expected, find
from .submission import Form

WRITING_S, WRITING_S_A_CELL = 2.0, 6e-6  # kept back from a budget: a few times what writing and checking take


@dataclass(frozen=True, eq=False)
class Task:
    """played: how recordings are played to the predictor; form: the rows and columns of the table."""

    predictor: Predictor
    files: tuple[Soundscape, ...]
    placement: Placement
    played: Playback
    form: Form

    @property
    def rate(self) -> float:
        """Samples of the predictor for a second of the recording."""
        return self.played.rate(self.predictor.sample_rate)

    @property
    def lacking(self) -> tuple[str, ...]:
        """Classes that the model does not know."""
        known = set(self.predictor.labels)
        return tuple(name for name in self.form.columns if name not in known)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Classes of the model that nobody asked for."""
        asked = set(self.form.columns)
        return tuple(name for name in self.predictor.labels if name not in asked)

    @property
    def writing_s(self) -> float:
        """Seconds that writing the table may take."""
        rows = len(self.form.row_ids or ())
        rows = rows or sum(expected(file, self.placement.row_s, self.rate) or 12 for file in self.files)
        return WRITING_S + WRITING_S_A_CELL * rows * len(self.form.columns)

    @property
    def settings(self) -> dict:
        """How windows become rows."""
        return {
            **({} if self.played == AS_RECORDED else {"speed": self.played.speed, "bandpass": self.played.bandpass}),
            "row_s": self.placement.row_s,
            "shifts": list(self.placement.shifts),
            "batch_size": self.placement.batch_size,
        }

    @property
    def header(self) -> dict:
        """Everything that the rows depend on."""
        return {
            **self.settings,
            "identity": self.predictor.identity,
            "labels": list(self.predictor.labels),
            "sample_rate": self.predictor.sample_rate,
            "window_samples": self.predictor.window_samples,
            "normalise": self.predictor.normalise,
            "files": {file.stem: [file.size, file.changed_ns] for file in self.files},
        }

    def warn(self, say: Callable[[str], None]) -> None:
        """Recordings that hold less than the model hears, classes on one side alone."""
        if narrow := narrow_band([file.path for file in self.files], self.predictor.sample_rate, self.played):
            say(f"warning: {narrow}")
        unknown = "classes are unknown to the model, 0 everywhere"
        for names, what in ((self.lacking, unknown), (self.dropped, "classes left out")):
            if names:
                say(f"warning: {len(names)} {what}: {', '.join(names[:5])}{', ...' * (len(names) > 5)}")


def files_of(
    soundscapes: Path | str | Sequence[Path | str], say: Callable[[str], None], form: Form | None = None
) -> tuple[Soundscape, ...]:
    """The soundscapes of a folder, a file or a list; where a sample submission names some, those. InputError: none."""
    files = find(soundscapes, say)
    if form is None or form.stems is None or form.row_ids is None:
        return files
    spelled = {composed(stem): stem for stem in form.stems}  # macOS writes accents otherwise than tables do
    asked = tuple(replace(file, stem=spelled[name]) for file in files if (name := composed(file.stem)) in spelled)
    if not asked:
        raise InputError(
            f"sample submission: row {form.row_ids[0]} and others found, none of the {len(files)} soundscapes among "
            f"them (such as {files[0].stem}). Those of another set?"
        )
    if len(asked) < len(files):
        n = len(files) - len(asked)
        beside = f"{counted(n, 'soundscape')} {agree(n, 'is', 'are')}"
        say(f"warning: {beside} not in the sample submission and left out")
    if missing := sorted(form.stems - {file.stem for file in asked}):
        lacking = f"{counted(len(missing), 'soundscape')} of the sample submission"
        say(f"warning: {lacking} {agree(len(missing), 'is', 'are')} missing (the first {missing[0]})")
    return asked
