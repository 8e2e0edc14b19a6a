"""The folder that goes to Kaggle: the fused model, its settings, the notebook, Kaggle's two JSON files."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ...analysis.postprocess.chain import Wanted
from ...features import InputError
from ...features.files import check_exists, write_json, write_text
from ...features.output_folder import Kind, OutputFolder
from ...features.progress import Log, listener, working
from ...features.schema import checked
from ...features.windows import NORMALISATIONS
from ...probe.runtime.backbone import sha256
from ...probe.runtime.sessions import open_session
from . import metadata, notebook
from .steps import check_files, pack
from .wheel import NEEDED, build_wheel

COMPETITION = "birdclef-2026"
BATCH_SIZE = 8  # windows a forward pass
KIND = Kind(
    "kernel",
    "a kernel",
    (
        *("birdprobe-kernel.ipynb", "kernel-metadata.json", "package/dataset-metadata.json", "package/wheels.txt"),
        *("package/model.onnx", "package/*.data", "package/taxonomy.csv", "package/prior.json"),
        *("package/wheels/birdprobe-*.whl", "package/prior.npz"),
    ),
    ("model_sha256", "competition", "budget_minutes"),
    index="package/config.json",
)


@dataclass(frozen=True)
class Kernel:
    """What write_kernel() made: the folder, its notebook, the packed folder (its size in bytes), the settings."""

    folder: Path
    notebook: Path
    package: Path
    size: int
    config: dict

    def __repr__(self) -> str:
        return (
            f"{self.notebook}: {len(self.config['labels'])} classes, rows of {self.config['row_s']:g} s, "
            f"{self.config['budget_minutes']:g} minutes at most; {self.package} ({self.size / 1e6:.1f} MB) is the "
            f"dataset to attach. Next: fill {self.package}/wheels (line in wheels.txt), then in this folder\n"
            f"  kaggle datasets create -p package --dir-mode zip\n  kaggle kernels push -p ."
        )


@checked
def write_kernel(
    run: Path,
    output: Path,
    *,
    model: Path | None = None,
    head: str | None = None,
    fold: int | None = None,
    competition: str = COMPETITION,
    user: str = metadata.USER,
    row_s: float = 5.0,
    tta_shifts: Sequence[float] = (0.0,),
    budget_minutes: float = 90.0,
    taxonomy: Path | None = None,
    genus: float = 0.15,
    group: float = 0.05,
    prior: Path | None = None,
    prior_weight: float | None = None,
    gaussian: float | None = None,
    power: float | None = None,
    overwrite: bool = False,
    progress: bool = True,
    log: Log | None = None,
) -> Kernel:
    """An offline Kaggle notebook that predicts with a run, its metadata, and the packed folder to attach.

    Args:
        run: a training's run, whose heads are fused, or a file that `birdprobe fuse` wrote.
        output: the folder to write.
        model: the run's backbone; None: the file that its store was made with.
        head, fold: as in `fuse`, of a run alone.
        competition, user: their names on Kaggle.
        row_s: seconds of a row.
        tta_shifts: test-time shifts in seconds, averaged.
        budget_minutes: what the competition allows; 5 of them, or a tenth, are kept back.
        taxonomy: a taxonomy.csv, for taxonomic smoothing with the weights `genus` and `group` (class_name).
        prior, prior_weight: a JSON file of a site/hour prior (`Prior.write`), the weight of its log-odds; None: its
            family's own.
        gaussian: smoothing over a file's rows, sigma in rows; None for none.
        power: the exponent of a file's confidence; None for none.
        overwrite: replace a kernel.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.

    Returns: where everything lies, and the settings.
    Raises: InputError for a kernel in `output`, no such model, a file without birdprobe's metadata, what `fuse`
        refuses, settings out of range.
    """
    log = listener(log, progress)
    source, out = Path(run), Path(output)
    check_settings(tta_shifts, row_s, budget_minutes, gaussian, power, genus, group)
    OutputFolder(out, KIND).check(overwrite)
    check_sources(source, model, head, fold)
    wanted = Wanted(
        taxonomy=taxonomy, genus=genus, group=group, prior=prior, prior_weight=prior_weight, gaussian=gaussian,
        power=power,
    )  # fmt: skip
    check_files(wanted)  # before a slow fusing
    with OutputFolder(out, KIND).replacing() as draft:
        package = draft / "package"
        (package / "wheels").mkdir(parents=True)
        place = pack_model(source, package, model, head, fold, log)
        about = fused_metadata(place)
        log("packing the wheel")
        config = {
            "birdprobe": version("birdprobe"),
            "model": place.name,
            "model_sha256": sha256(place),
            **{name: about[name] for name in ("labels", "sample_rate", "window_s", "normalise")},
            "competition": competition,
            "row_s": row_s,
            "shifts": list(dict.fromkeys(tta_shifts)),
            "budget_minutes": budget_minutes,
            "margin_minutes": min(5.0, budget_minutes / 10),
            "batch_size": BATCH_SIZE,
            "workers": 0,
            "dry_run_files": 4,
            "needed": list(NEEDED),
            "wheel": build_wheel(package / "wheels").name,
            "postprocess": pack(wanted, package, about["labels"]),
        }
        write_files(draft, config, user)
    size = sum(path.stat().st_size for path in (out / "package").rglob("*") if path.is_file())
    return Kernel(out, out / notebook.NAME, out / "package", size, config)


def write_files(draft: Path, config: dict, user: str) -> None:
    """The notebook, the packed settings and Kaggle's own files."""
    package, competition = draft / "package", config["competition"]
    write_json(package / "config.json", config)
    write_text(package / "wheels.txt", metadata.wheels())
    write_json(package / "dataset-metadata.json", metadata.dataset(user, competition))
    write_json(draft / "kernel-metadata.json", metadata.kernel(user, competition, notebook.NAME))
    notebook.save(notebook.notebook(config), draft / notebook.NAME)


def check_sources(source: Path, model: Path | None, head: str | None, fold: int | None) -> None:
    """InputError: neither a run nor a fused file, or a fused file with what only a run has."""
    check_exists(source, "a run of `birdprobe train` or a fused ONNX file")
    if source.is_file():
        if not (model is head is fold is None):
            raise InputError(f"{source}: a fused file, to which --model, --head and --fold cannot be added.")
        fused_metadata(source)


def check_settings(tta_shifts, row_s, budget_minutes, gaussian, power, genus, group) -> None:
    """InputError for the first that makes no sense."""
    above = float("inf")
    for name, value, fine, wanted in (
        (
            "tta-shifts",
            list(tta_shifts),
            tta_shifts and all(abs(shift) < 60 for shift in tta_shifts),
            "seconds below 60",
        ),
        ("row", row_s, 0 < row_s < above, "seconds above 0"),
        ("budget-minutes", budget_minutes, 0 < budget_minutes < above, "minutes above 0"),
        ("gaussian", gaussian, gaussian is None or 0 < gaussian < above, "rows above 0"),
        ("power", power, power is None or 0 < power < above, "an exponent above 0"),
        ("genus", genus, 0 <= genus <= 1, "a weight from 0 to 1"),
        ("class", group, 0 <= group <= 1, "a weight from 0 to 1"),
    ):
        if not fine:
            raise InputError(f"`--{name}` must be {wanted}, got {value}.")


def pack_model(source: Path, package: Path, model, head, fold, log) -> Path:
    """Fuse a run into the package, or copy a fused file there, with its weights where they stand beside it."""
    if source.is_file():
        shutil.copyfile(source, package / "model.onnx")
        beside = source.with_name(source.name + ".data")  # named inside the file, so it keeps its name
        if beside.is_file():
            shutil.copyfile(beside, package / beside.name)
        return package / "model.onnx"
    with working("loading torch", log):  # not needed for a fused file
        from ..ensemble import load_members
        from ..fuse import fuse
        from ..head_predictor import find_model
    model = model or find_model(source, load_members(source, head, fold).description.store_key)
    return fuse(source, Path(model), package / "model.onnx", head=head, fold=fold, log=log).path


def fused_metadata(path: Path) -> dict:
    """What a fused file says of itself. InputError: not written by birdprobe fuse."""
    said = open_session(path).get_modelmeta().custom_metadata_map
    try:
        about = {name: json.loads(said[name]) for name in ("labels", "sample_rate", "window_s")}
        about["normalise"] = said["normalise"]
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: expected a file of `birdprobe fuse`, got no {error} in its metadata. A backbone alone?"
        ) from error
    if "speed" in said:
        raise InputError(
            f"{path}: trained at speed {said['speed']}, bandpass {said['bandpass']}; a kernel plays as recorded."
        )
    if about["normalise"] not in NORMALISATIONS:
        raise InputError(f"{path}: normalise: expected one of {NORMALISATIONS}, got {about['normalise']!r}.")
    return about
