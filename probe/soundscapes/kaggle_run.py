"""What a Kaggle notebook does with a packed folder: predict, post-process, check, write submission.csv.

    package/config.json, model.onnx, taxonomy.csv, prior.json + the competition's test_soundscapes -> submission.csv

Imports nothing but onnxruntime, numpy, pandas, soundfile, soxr and the standard library. Where test_soundscapes is
empty, as it is until a submission is scored, the first few train soundscapes are predicted instead: a dry run that
shows that everything works and how fast it is.
"""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...analysis import predictions
from ...analysis.postprocess.chain import Wanted, chain
from ...analysis.postprocess.step import Step
from ...features import InputError
from ...features.csv_files import write_csv
from ...features.files import replacing
from ...features.spelling import counted
from .predict import Predicted, predict
from .predictor import open_fused
from .submission import FLOAT

STEPS = ("taxonomy", "genus", "group", "prior", "prior_weight", "gaussian", "power")  # config.json's "postprocess"


@dataclass(frozen=True)
class KaggleRun:
    """predicted: of `predict`, before the steps. steps: in the order in which they were applied. dry_run: train
    soundscapes instead of the test ones."""

    path: Path
    predicted: Predicted
    steps: tuple[Step, ...]
    dry_run: bool


def submit(
    package: Path,
    competition: Path,
    output: Path,
    started: float | None = None,
    say: Callable[[str], None] = print,
) -> KaggleRun:
    """Write OUTPUT/submission.csv: `package` is what `birdprobe kernel` packed, `competition` has test_soundscapes/.

    started: the time.monotonic() from which the budget counts; None: now. InputError: nothing can be predicted, or the
    model knows none of the classes.
    """
    config = json.loads((package / "config.json").read_text(encoding="utf-8"))
    audio = sorted((competition / "test_soundscapes").glob("*.ogg"))
    dry_run = not audio
    if dry_run:
        audio = sorted((competition / "train_soundscapes").glob("*.ogg"))[: config["dry_run_files"]]
        say("DRY RUN, no test soundscapes")
    say(counted(len(audio), "soundscape"))
    classes, sample = _form(competition / "sample_submission.csv", [path.stem for path in audio])
    path = output / "submission.csv"
    done = predict(
        open_fused(package / config["model"], identity=config["model_sha256"]),
        audio,
        path,
        row_s=config["row_s"],
        shifts=config["shifts"],
        budget_minutes=max(0.0, config["budget_minutes"] - config["margin_minutes"]),
        classes=classes,
        sample_submission=sample,
        batch_size=config["batch_size"],
        workers=config["workers"] or None,
        overwrite=True,
        command="birdprobe kernel",
        started=started,
        say=say,
    )
    steps = _postprocess(path, package, config["postprocess"], say)
    say(str(done))
    if dry_run:
        say(f"600 such files at this pace: {600 * done.seconds / done.files / 60:.0f} min")
    return KaggleRun(path, done, steps, dry_run)


def _form(sample: Path, stems: Sequence[str]) -> tuple[tuple[str, ...] | None, Path | None]:
    """(the submission's columns, the sample if its rows are wanted too).

    The sample lists every file only while a submission is scored; its columns are the submission's in any case.
    """
    if not sample.is_file():
        return None, None
    with sample.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        columns = tuple(next(rows, ()))[1:]
        listed = [row[0] for row in rows if row]
    if not listed or not set(stems) <= set(predictions.files(listed).tolist()):
        return columns, None
    return columns, sample


def _postprocess(path: Path, package: Path, settings: dict, say: Callable[[str], None]) -> tuple[Step, ...]:
    """The steps of config.json on the table at `path`, written back and checked."""
    if unknown := set(settings) - set(STEPS):
        raise InputError(f"{package}/config.json: step {min(unknown)!r} found, one of {', '.join(STEPS)} wanted.")
    files = {name: package / settings[name] for name in ("taxonomy", "prior") if settings.get(name)}
    table = predictions.read(path)
    steps = chain(Wanted(**settings | files), table.index, table.columns, say)
    if not steps:
        return ()
    row_ids, classes = table.index, table.columns
    for step in steps:
        reach = step.reach(table)
        say(f"{step}: applies to {reach.rows} of {len(table)} rows{reach.reason and f' ({reach.reason})'}")
        table = step(table)
    table.index.name = predictions.ROW_ID
    with replacing(path) as fresh:
        write_csv(table, fresh, float_format=FLOAT)
        predictions.require(predictions.read(fresh), str(path), row_ids=row_ids, classes=classes)
    return steps
