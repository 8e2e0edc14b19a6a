"""Soundscapes in, `submission.csv` out: no internet, CPU only, nothing imported but onnxruntime, numpy, pandas,
soundfile, soxr and the standard library.

The model and `config.json` are in the attached dataset, the soundscapes in the competition's `test_soundscapes`.
Where that folder is empty, as it is until a submission is scored, the first few train soundscapes are predicted instead
and their rows written: a dry run that shows that everything works and how fast it is. The run stops in time before its
budget of minutes; rows that were not reached, or whose file cannot be decoded, get the mean probability of each class.
What is written is read back and checked.
"""

# %% Packages: what is missing is installed from the wheels in the attached dataset
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

STARTED = time.monotonic()
NO_TIME = "no time left for it"
NEEDED = ("onnxruntime", "numpy", "pandas", "soundfile", "soxr")
INPUT = Path(os.environ.get("BIRDPROBE_INPUT", "/kaggle/input"))


def find_package(root: Path = INPUT) -> Path:
    """The folder with the model and its config.json: $BIRDPROBE_PACKAGE, or a dataset in either of Kaggle's mounts."""
    if told := os.environ.get("BIRDPROBE_PACKAGE"):
        return Path(told)
    places = [place for pattern in ("*", "*/package", "datasets/*/*") for place in sorted(root.glob(pattern))]
    for place in places:
        config = place / "config.json"  # other people's models have such a file too
        if config.is_file() and b'"birdprobe"' in config.read_bytes():
            return place
    raise FileNotFoundError(f"{root}: no dataset with birdprobe's config.json in it. Was the packed folder attached?")


def provide(names: tuple[str, ...] = NEEDED) -> list[str]:
    """Install those that cannot be imported from PACKAGE/wheels, never from an index; those that were missing."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        wheels = find_package() / "wheels"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(wheels), *missing]
        subprocess.run(pip, check=True)
    return missing


provide()

import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
import pandas as pd  # noqa: E402
import soundfile  # noqa: E402
import soxr  # noqa: E402

# %% Audio: one file to float32 mono at the model's rate, cut into windows


def decode(path: Path, rate: int) -> np.ndarray:
    """float32 [samples] at `rate` Hz, channels averaged. ValueError: empty, cut short, NaN or infinite, silent."""
    with soundfile.SoundFile(path) as file:
        own_rate, promised = file.samplerate, file.frames
        samples = file.read(dtype="float32", always_2d=True).mean(axis=1)
    if not len(samples) or len(samples) < promised:
        raise ValueError(f"{promised:,} samples promised, {len(samples):,} decode")
    if not np.isfinite(samples).all():
        raise ValueError("NaN or infinite samples")
    if samples.min() == samples.max():
        raise ValueError("silent, all samples are equal")
    return samples if own_rate == rate else soxr.resample(samples, own_rate, rate, quality="HQ")


def count_rows(n_samples: int, row: int) -> int:
    """Rows of `row` samples in a recording; a tail under 1 % of a row is dropped unless it is all there is."""
    full, tail = divmod(n_samples, row)
    return full + (tail >= 0.01 * row or (full == 0 and tail > 0))


def window_starts(n_rows: int, n_samples: int, row: int, window: int) -> np.ndarray:
    """int64 [rows, windows a row], in samples.

    Windows shorter than the row are spread evenly inside it, as few as cover it; a longer one is centred on the row and
    moved into the file.
    """
    rows = np.arange(n_rows)[:, None] * row
    if window > row:
        return np.clip(rows + (row - window) // 2, 0, max(0, n_samples - window))
    per_row = -(-row // window)
    return rows + np.round(np.linspace(0, row - window, per_row)).astype(np.int64)


def cut(waveform: np.ndarray, starts: np.ndarray, window: int) -> np.ndarray:
    """float32 [len(starts), window], zeros outside the recording; starts may be negative."""
    windows = np.zeros((len(starts), window), dtype=np.float32)
    for out, start in zip(windows, starts):
        piece = waveform[max(0, start) : max(0, start + window)]
        out[max(0, -start) :][: len(piece)] = piece
    return windows


def normalise(windows: np.ndarray, rule: str) -> np.ndarray:
    """ "peak": each window less its mean, at a peak of 0.25; a constant one becomes 0. Else unchanged."""
    if rule != "peak":
        return windows
    centred = windows - windows.mean(axis=1, keepdims=True)
    peak = np.abs(centred).max(axis=1, keepdims=True, initial=0.0)
    rounding = 1e-6 * np.abs(windows).max(axis=1, keepdims=True, initial=0.0)
    return np.where(peak > rounding, centred * (0.25 / np.maximum(peak, 1e-30)), 0).astype(np.float32)


# %% Model: windows to probabilities, file by file


class Model:
    """float32 [n, samples] -> float32 [n, classes], in batches of at most `batch`; any number of threads may call."""

    def __init__(self, path: Path, batch: int):
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # the files run side by side
        options.log_severity_level = 4
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (self.input,) = self.session.get_inputs()
        self.batch = self.input.shape[0] if isinstance(self.input.shape[0], int) else batch
        self.row = [size for size in self.input.shape[1:-1] if isinstance(size, int)]  # a channel axis of 1, if any

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        if len(self.input.shape) == 1:  # no batch axis
            return np.concatenate([self.run(window).reshape(1, -1) for window in windows])
        if short := -len(windows) % self.batch if isinstance(self.input.shape[0], int) else 0:
            windows = np.concatenate([windows, np.repeat(windows[-1:], short, axis=0)])
        found = self.run(windows.reshape(len(windows), *self.row, windows.shape[1]))
        return found[: len(found) - short]

    def run(self, x: np.ndarray) -> np.ndarray:
        return self.session.run(None, {self.input.name: np.ascontiguousarray(x)})[0]


def predict(model: Model, waveform: np.ndarray, config: dict, deadline: float = np.inf) -> np.ndarray:
    """Probabilities, float64 [rows, classes] of one recording: the mean over a row's windows and the TTA shifts.

    A window that its shift moves out of the recording altogether has no say, unless the row has no other.
    TimeoutError: past the deadline (of time.monotonic) before the last batch.
    """
    rate = config["sample_rate"]
    row, window = round(config["row_s"] * rate), round(config["window_s"] * rate)
    if config["normalise"] == "file-peak":
        waveform = waveform / max(np.abs(waveform).max(), 1e-30)
    starts = window_starts(count_rows(len(waveform), row), len(waveform), row, window)
    shifts = [round(shift * rate) for shift in config["shifts"]]
    starts = np.concatenate([starts + shift for shift in shifts], axis=1)  # [rows, windows of a row x shifts]
    heard = (starts < len(waveform)) & (starts + window > 0)
    heard[~heard.any(axis=1)] = True
    flat = starts.reshape(-1)
    found = []
    for at in range(0, len(flat), model.batch):
        if time.monotonic() > deadline:
            raise TimeoutError
        found.append(model(normalise(cut(waveform, flat[at : at + model.batch], window), config["normalise"])))
    each = np.concatenate(found).reshape(*starts.shape, -1).astype(np.float64)
    mean = (each * (heard / heard.sum(axis=1, keepdims=True))[:, :, None]).sum(axis=1)
    if not (np.isfinite(mean).all() and mean.min() > -1e-6 and mean.max() < 1 + 1e-6):
        raise ValueError("the model gave values that are no probabilities")
    return np.clip(mean, 0, 1)


# %% Post-processing: inside one file, in this order; steps that config.json leaves out do nothing


def mix(p: np.ndarray, kinds: list[str], weight: float) -> np.ndarray:
    """(1 - weight) p + weight x the mean over the classes of the same kind, for kinds with two classes or more."""
    mixed = p.copy()
    for kind, count in Counter(kinds).items():
        if count > 1 and kind:
            same = np.array([other == kind for other in kinds])
            mixed[:, same] = (1 - weight) * p[:, same] + weight * p[:, same].mean(axis=1, keepdims=True)
    return mixed


SOUNDSCAPE = re.compile(r"BC\d{4}_(?:Train|Test)_\d+_(S\d+)_(\d{8}_\d{6})")


@dataclass(frozen=True)
class Prior:
    """What is added to a row's log-odds: float [sites + 1, 25, classes], the last site and hour being unknown ones."""

    sites: tuple[str, ...]
    shifts: np.ndarray

    @classmethod
    def read(cls, path: Path) -> "Prior":
        with np.load(path, allow_pickle=False) as file:
            return cls(tuple(file["sites"].tolist()), file["shifts"].astype(np.float64))

    def of(self, stem: str, n_rows: int, row_s: float) -> np.ndarray:
        """[rows, classes] by the site and the hour (UTC) in which each row ends, both from the file's name."""
        site, hours = len(self.sites), [24] * n_rows
        if match := SOUNDSCAPE.fullmatch(stem):
            try:
                begun = datetime.strptime(match[2], "%Y%m%d_%H%M%S")
                hours = [(begun + timedelta(seconds=(index + 1) * row_s)).hour for index in range(n_rows)]
                site = self.sites.index(match[1]) if match[1] in self.sites else site
            except ValueError:  # a 32nd day or a 25th hour: neither is known
                pass
        return self.shifts[site, hours]


def postprocess(p: np.ndarray, config: dict, shift: np.ndarray | None = None) -> np.ndarray:
    """Taxonomic smoothing, site/hour prior, Gaussian smoothing over the file's rows, file-level power.

    p: [rows, classes] of one file, as is `shift`, the prior's log-odds.
    """
    if smoothing := config.get("taxonomic"):
        p = mix(mix(p, smoothing["genus"], smoothing["a"]), smoothing["group"], smoothing["b"])
    if shift is not None:
        odds = np.exp(shift)
        p = p * odds / (1 - p + p * odds)
    if sigma := config.get("gaussian_sigma"):
        distance = np.abs(np.subtract.outer(np.arange(len(p)), np.arange(len(p))))
        weights = np.where(distance <= 4 * sigma, np.exp(-0.5 * (distance / sigma) ** 2), 0)
        p = weights / weights.sum(axis=1, keepdims=True) @ p  # renormalised at the file's edges
    if exponent := config.get("power"):
        p = p * np.sort(p, axis=0)[-config["power_top"] :].mean(axis=0) ** exponent
    return np.clip(p, 0, 1)


# %% Soundscapes: which files, which rows, which columns


@dataclass(frozen=True)
class Plan:
    """The files with their number of rows, and the submission's rows and columns. dry_run: not the test soundscapes."""

    files: tuple[tuple[Path, int], ...]
    row_ids: tuple[str, ...]
    classes: tuple[str, ...]
    dry_run: bool


def find_competition(slug: str, root: Path = INPUT) -> Path:
    """$BIRDPROBE_COMPETITION, or the competition's folder in either of Kaggle's mounts."""
    told = os.environ.get("BIRDPROBE_COMPETITION")
    places = [Path(told)] if told else [root / slug, root / "competitions" / slug]
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(f"{' and '.join(map(str, places))}: no such folder. Was the competition's data attached?")


def row_id(stem: str, index: int, row_s: float) -> str:
    """The file's stem, `_`, the row's last second."""
    end = (index + 1) * row_s
    return f"{stem}_{int(end) if float(end).is_integer() else end}"


def recording(name: str) -> str:
    return name.rpartition("_")[0]


def rows_of(path: Path, row_s: float) -> int | None:
    """Rows that the file's header promises; None for a header that cannot be read."""
    try:
        about = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError):
        return None
    return count_rows(about.frames, round(row_s * about.samplerate)) or None


def plan(competition: Path, config: dict) -> Plan:
    """The files' own rows, sorted by file; those of sample_submission.csv where it lists every file.

    The sample lists every file only while a submission is scored. Its columns are the submission's in any case.
    """
    audio, row_s = sorted((competition / "test_soundscapes").glob("*.ogg")), config["row_s"]
    dry_run = not audio
    if dry_run:
        audio = sorted((competition / "train_soundscapes").glob("*.ogg"))[: config["dry_run_files"]]
    counts = [rows_of(path, row_s) for path in audio]
    usual = Counter(filter(None, counts)).most_common(1)
    usual = usual[0][0] if usual else round(60 / row_s)
    files = tuple((path, count or usual) for path, count in zip(audio, counts))
    ids = tuple(row_id(path.stem, index, row_s) for path, count in files for index in range(count))
    sample, classes = competition / "sample_submission.csv", tuple(config["labels"])
    if sample.is_file():
        table = pd.read_csv(sample, dtype={"row_id": str})
        classes, listed = tuple(table.columns[1:]), tuple(table["row_id"])
        if {path.stem for path, _ in files} <= {recording(name) for name in listed}:
            ids = listed
    return Plan(files, ids, classes, dry_run)


# %% Run: several files at a time, stop in time, fill what is missing


@dataclass(frozen=True)
class Report:
    """fallback: rows that hold the classes' means. skipped: (file, reason). lacking: classes unknown to the model."""

    path: Path
    rows: int
    files_done: int
    fallback: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    lacking: tuple[str, ...]
    dry_run: bool
    seconds: float
    prior_rows: int | None  # to which the prior applied; None without one


def run(
    todo: Plan, model: Model, config: dict, deadline: float, prior: Prior | None = None
) -> tuple[dict[str, np.ndarray], list, int]:
    """Row id -> probabilities [classes] of what was reached before `deadline`; (file, reason) skipped; files done.

    Each file goes through one thread from end to end, so no more files are in memory than there are threads. A file is
    begun only while there is time for one half as slow again as the slowest so far. RuntimeError: every file failed,
    which is the model's fault or the settings', and must not end in a submission of zeros.
    """
    workers = config["workers"] or os.cpu_count() or 1
    pool, waiting, left = ThreadPoolExecutor(workers), deque(), deque(path for path, _ in todo.files)
    found: dict[str, np.ndarray] = {}
    skipped, done, slowest, began = [], 0, 0.0, time.monotonic()

    def one(path: Path) -> tuple[np.ndarray, float]:
        at = time.monotonic()
        if at + 1.5 * slowest >= deadline:
            raise TimeoutError
        p = predict(model, decode(path, config["sample_rate"]), config, deadline)
        shift = None if prior is None else prior.of(path.stem, len(p), config["row_s"])
        return postprocess(p, config, shift), time.monotonic() - at

    while left or waiting:
        while left and len(waiting) < 2 * workers:
            waiting.append((left[0], pool.submit(one, left.popleft())))
        path, future = waiting.popleft()
        try:
            p, seconds = future.result(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            skipped.append((path.name, NO_TIME))
        except Exception as error:  # one bad file must not cost the submission
            skipped.append((path.name, f"{type(error).__name__}: {error}"))
        else:
            found |= {row_id(path.stem, index, config["row_s"]): row for index, row in enumerate(p)}
            done, slowest = done + 1, max(slowest, seconds)
            if done % 50 == 0:
                pace, more = (time.monotonic() - began) / done, len(todo.files) - done - len(skipped)
                minutes = (deadline - time.monotonic()) / 60
                print(f"{done}/{len(todo.files)} files, {pace * more / 60:.1f} min to go, {minutes:.1f} min left")
    pool.shutdown(wait=False, cancel_futures=True)
    if skipped and not done and skipped[-1][1] != NO_TIME:
        raise RuntimeError(f"no file could be predicted; {skipped[0][0]}: {skipped[0][1]}")
    return found, skipped, done


def fill(found: dict[str, np.ndarray], todo: Plan, labels: list[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The submission's table and its fallback rows: those not found get each class's mean, or 0 if there are none.

    Classes that the model does not know are 0 throughout, which costs nothing and gains nothing in a macro AUC.
    """
    table = pd.DataFrame.from_dict(found, orient="index", columns=labels).reindex(list(todo.row_ids))
    fallback = tuple(table.index[table.isna().all(axis=1)])
    table = table.fillna(table.mean()).fillna(0.0)
    return table.reindex(columns=list(todo.classes), fill_value=0.0), fallback


def moved_by(prior: Prior, todo: Plan, row_s: float) -> int:
    """Rows whose log-odds the prior changes: that it changes none must not go unseen."""
    return sum(int(prior.of(path.stem, count, row_s).any(axis=1).sum()) for path, count in todo.files)


def faults(path: Path, todo: Plan) -> list[str]:
    """Everything that is wrong with the file that was written."""
    table = pd.read_csv(path, dtype={"row_id": str}).set_index("row_id")
    values = table.to_numpy(dtype=np.float64)
    counts = Counter(map(recording, table.index))
    wanted = Counter(map(recording, todo.row_ids))
    checks = {
        "row ids differ from those wanted": tuple(table.index) != todo.row_ids,
        "row ids occur twice": table.index.has_duplicates,
        "columns differ from those wanted": tuple(table.columns) != todo.classes,
        "values are missing or infinite": not np.isfinite(values).all(),
        "values are outside 0..1": bool(((values < 0) | (values > 1)).any()),
        "files with a wrong number of rows": counts != wanted,
    }
    return [what for what, wrong in checks.items() if wrong]


def main(started: float = STARTED) -> Report:
    """Predict, write submission.csv into the working folder (or $BIRDPROBE_OUTPUT), check it."""
    package = find_package()
    config = json.loads((package / "config.json").read_text(encoding="utf-8"))
    todo = plan(find_competition(config["competition"]), config)
    print(
        f"{'DRY RUN, no test soundscapes: ' if todo.dry_run else ''}{len(todo.files)} files, {len(todo.row_ids)} rows"
    )
    lacking = tuple(name for name in todo.classes if name not in set(config["labels"]))
    if len(lacking) == len(todo.classes):
        raise ValueError(f"the model knows none of the {len(lacking)} classes wanted, the first {lacking[0]}")
    model = Model(package / config["model"], config["batch_size"])
    deadline = started + 60 * (config["budget_minutes"] - config["margin_minutes"])
    prior = Prior.read(package / config["prior"]) if config.get("prior") else None
    found, skipped, done = run(todo, model, config, deadline, prior)
    prior_rows = None if prior is None else moved_by(prior, todo, config["row_s"])
    table, fallback = fill(found, todo, config["labels"])
    path = Path(os.environ.get("BIRDPROBE_OUTPUT", ".")) / "submission.csv"
    table.to_csv(path, index_label="row_id", float_format="%.9g")
    if wrong := faults(path, todo):
        raise ValueError(f"{path}: {'; '.join(wrong)}")
    seconds = time.monotonic() - started
    report = Report(path, len(table), done, fallback, tuple(skipped), lacking, todo.dry_run, seconds, prior_rows)
    print(f"{path}: {report.rows} rows, {done} files, {report.seconds:.0f} s; {len(fallback)} fallback rows")
    for reason in dict.fromkeys(reason for _, reason in skipped):
        names = [name for name, why in skipped if why == reason]
        print(f"skipped {len(names)} files, the first {names[0]}: {reason}")
    if prior is not None:
        print(f"site/hour prior: moves {prior_rows} of {sum(count for _, count in todo.files)} rows")
    if todo.dry_run and done:
        print(f"600 such files at this pace: {600 * report.seconds / done / 60:.0f} min")
    if lacking:
        print(f"{len(lacking)} classes that the model does not know, the first {lacking[0]}: 0 throughout")
    return report


# %% Go
if __name__ == "__main__":
    report = main()
