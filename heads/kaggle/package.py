"""write(): the folder that goes to Kaggle: the fused model, its settings, the notebook, Kaggle's two JSON files."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ...analysis.postprocess.site_hour import Prior, SiteHour
from ...analysis.postprocess.taxonomic import Taxonomic
from ...features import InputError
from ...features.files import write_json, write_text
from ...features.output_folder import Kind, OutputFolder
from ...features.windows import NORMALISATIONS
from ...probe.runtime.backbone import sha256
from ...probe.runtime.sessions import open_session
from . import metadata, notebook
from .wheel import NEEDED, build_wheel

COMPETITION = "birdclef-2026"
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
    """What write() made: the folder, its notebook, the packed folder (its size in bytes), the settings."""

    folder: Path
    notebook: Path
    package: Path
    size: int
    config: dict

    def __str__(self) -> str:
        return (
            f"{self.notebook}: {len(self.config['labels'])} classes, rows of {self.config['row_s']:g} s, "
            f"{self.config['budget_minutes']:g} minutes at most; {self.package} ({self.size / 1e6:.1f} MB) is the "
            f"dataset to attach. Next: fill {self.package}/wheels (line in wheels.txt), then in this folder\n"
            f"  kaggle datasets create -p package --dir-mode zip\n  kaggle kernels push -p ."
        )


def write(
    run_or_fused: Path,
    out: Path,
    *,
    model: Path | None = None,
    head: str | None = None,
    fold: int | None = None,
    competition: str = COMPETITION,
    taxonomy: Path | None = None,
    genus: float = 0.15,
    group: float = 0.05,
    prior: Path | None = None,
    prior_weight: float | None = None,
    gaussian: float | None = None,
    power: float | None = None,
    shifts: Sequence[float] = (0.0,),
    row_s: float = 5.0,
    budget_minutes: float = 90.0,
    batch_size: int = 8,
    user: str = metadata.USER,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Kernel:
    """The notebook, its metadata and the packed folder in `out`.

    run_or_fused: a training's run, whose heads are fused with `model` (default: the file its store was made with), or
    a file that `birdprobe fuse` wrote. head, fold: as in fuse, of a run alone. row_s: seconds of a row. shifts: of TTA,
    seconds. budget_minutes: of which 5, or a tenth, are kept back. user: the Kaggle name for kernel and dataset.
    Post-processing, None for not done: taxonomy, a taxonomy.csv for taxonomic smoothing with the weights `genus` and
    `group` (class_name); prior, a JSON file of a site/hour prior (`Prior.write`), and the weight of its log-odds
    (default: its family's own); gaussian, sigma in rows; power, the exponent of a file's confidence.
    InputError: `out` holds a kernel already, no such model, a file without birdprobe's metadata, what `fuse` refuses,
    settings out of range.
    """
    source, out = Path(run_or_fused), Path(out)
    check_settings(shifts, row_s, budget_minutes, batch_size, gaussian, power, genus, group)
    OutputFolder(out, KIND).check(overwrite)
    steps = {"genus": genus, "group": group, "prior_weight": prior_weight, "gaussian": gaussian, "power": power}
    if not source.exists():
        raise InputError(f"{source}: no such file or folder, a run of birdprobe train or a fused file wanted.")
    if source.is_file() and not (model is head is fold is None):
        raise InputError(f"{source}: a fused file found, to which model, head and fold cannot be added.")
    if source.is_file():
        fused_metadata(source)
    if prior is not None:  # read before the model is fused, which takes a while
        Prior.read(prior)
    if taxonomy is not None:
        Taxonomic.read(taxonomy, genus, group)
    with OutputFolder(out, KIND).replacing() as draft:
        package = draft / "package"
        (package / "wheels").mkdir(parents=True)
        place = pack_model(source, package, model, head, fold, say)
        about = fused_metadata(place)
        config = {
            "birdprobe": version("birdprobe"),
            "model": place.name,
            "model_sha256": sha256(place),
            **{name: about[name] for name in ("labels", "sample_rate", "window_s", "normalise")},
            "competition": competition,
            "row_s": row_s,
            "shifts": list(dict.fromkeys(shifts)),
            "budget_minutes": budget_minutes,
            "margin_minutes": min(5.0, budget_minutes / 10),
            "batch_size": batch_size,
            "workers": 0,
            "dry_run_files": 4,
            "needed": list(NEEDED),
            "wheel": build_wheel(package / "wheels").name,
            "postprocess": pack_postprocess(package, about["labels"], taxonomy, prior, steps),
        }
        write_json(package / "config.json", config)
        write_text(package / "wheels.txt", metadata.wheels())
        write_json(package / "dataset-metadata.json", metadata.dataset(user, competition))
        write_json(draft / "kernel-metadata.json", metadata.kernel(user, competition, notebook.NAME))
        notebook.save(notebook.notebook(config), draft / notebook.NAME)
    size = sum(path.stat().st_size for path in (out / "package").rglob("*") if path.is_file())
    return Kernel(out, out / notebook.NAME, out / "package", size, config)


def check_settings(shifts, row_s, budget_minutes, batch_size, gaussian, power, genus, group) -> None:
    """InputError for the first that makes no sense."""
    for name, value, fine, wanted in (
        (
            "shifts",
            list(shifts),
            len(shifts) > 0 and all(abs(shift) < 60 for shift in shifts),
            "seconds, such as 0,1,-1",
        ),
        ("row length", row_s, 0 < row_s < float("inf"), "seconds above 0"),
        ("budget", budget_minutes, 0 < budget_minutes < float("inf"), "minutes above 0"),
        ("batch size", batch_size, batch_size >= 1, "1 or more"),
        ("Gaussian sigma", gaussian, gaussian is None or 0 < gaussian < float("inf"), "rows above 0"),
        ("power", power, power is None or 0 < power < float("inf"), "an exponent above 0"),
        ("genus weight", genus, 0 <= genus <= 1, "0..1"),
        ("class weight", group, 0 <= group <= 1, "0..1"),
    ):
        if not fine:
            raise InputError(f"kernel: {name} {value} found, {wanted} wanted.")


def pack_model(source: Path, package: Path, model, head, fold, say) -> Path:
    """Fuse a run into the package, or copy a fused file there, with its weights where they stand beside it."""
    if source.is_file():
        shutil.copyfile(source, package / "model.onnx")
        beside = source.with_name(source.name + ".data")  # named inside the file, so it keeps its name
        if beside.is_file():
            shutil.copyfile(beside, package / beside.name)
        return package / "model.onnx"
    # torch: seconds to import, and not needed for a fused file
    from ..ensemble import load_members
    from ..fuse import fuse

    folds = "all" if fold is None else fold
    if model is None:
        from ..head_predictor import find_model

        model = find_model(source, load_members(source, head, folds).description.store_key)
    elif not Path(model).is_file():
        raise InputError(f"{model}: no such file, the backbone of {source} wanted.")
    return fuse(source, Path(model), package / "model.onnx", head, folds, say=say).path


def fused_metadata(path: Path) -> dict:
    """What a fused file says of itself. InputError: not written by birdprobe fuse."""
    said = open_session(path).get_modelmeta().custom_metadata_map
    try:
        about = {name: json.loads(said[name]) for name in ("labels", "sample_rate", "window_s")}
        about["normalise"] = said["normalise"]
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: no {error} in its metadata, a file that `birdprobe fuse` wrote wanted. A backbone alone?"
        ) from error
    if "speed" in said:
        raise InputError(
            f"{path}: trained at speed {said['speed']}, bandpass {said['bandpass']}; a kernel plays as recorded."
        )
    if about["normalise"] not in NORMALISATIONS:
        raise InputError(f"{path}: normalisation {about['normalise']!r} found, one of {NORMALISATIONS} wanted.")
    return about


def pack_postprocess(
    package: Path, labels: Sequence[str], taxonomy: Path | None, prior: Path | None, settings: dict
) -> dict:
    """The `postprocess` of config.json: the settings of the steps that are wanted, their files copied into the package.

    InputError: a file that is none, or that knows none of the labels.
    """
    wanted = {name: settings[name] for name in ("gaussian", "power") if settings[name] is not None}
    if taxonomy is not None:
        known = set(Taxonomic.read(taxonomy, settings["genus"], settings["group"]).genus)
        check_overlap(labels, known, taxonomy)
        shutil.copyfile(taxonomy, package / "taxonomy.csv")
        wanted |= {"taxonomy": "taxonomy.csv", "genus": settings["genus"], "group": settings["group"]}
    if prior is not None:
        step = SiteHour(Prior.read(prior), settings["prior_weight"])
        check_overlap(labels, set(step.prior.counts.classes), prior)
        step.prior.write(package / "prior.json")
        wanted |= {"prior": "prior.json", "prior_weight": step.strength}
    return wanted


def check_overlap(labels: Sequence[str], known: set[str], place: Path) -> None:
    """InputError where a file knows none of the model's labels."""
    if not set(labels) & known:
        raise InputError(f"{place}: none of the model's {len(labels)} classes in it. Another competition's?")
