"""write(): the folder that goes to Kaggle: the fused model, its settings, the notebook, Kaggle's two JSON files."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ...analysis.postprocess.site_hour import Prior, SiteHour
from ...analysis.postprocess.taxonomic import Taxonomic
from ...features import InputError
from ...features.files import write_json, write_text
from ...features.output_folder import Kind, OutputFolder
from ...features.windows import NORMALISATIONS
from ...probe.runtime.backbone import sha256
from ...probe.runtime.sessions import open_session
from . import metadata, notebook

COMPETITION = "birdclef-2026"
KIND = Kind(
    "kernel",
    "a kernel",
    (
        *("birdprobe-kernel.ipynb", "kernel-metadata.json", "package/dataset-metadata.json", "package/wheels.txt"),
        *("package/model.onnx", "package/prior.npz", "package/*.data"),
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
    if not source.exists():
        raise InputError(f"{source}: no such file or folder, a run of birdprobe train or a fused file wanted.")
    if source.is_file() and not (model is head is fold is None):
        raise InputError(f"{source}: a fused file found, to which model, head and fold cannot be added.")
    if source.is_file():
        fused_metadata(source)
    # read before the model is fused, which takes a while
    relatives = None if taxonomy is None else Taxonomic.read(taxonomy, genus, group)
    shift = None if prior is None else SiteHour(Prior.read(prior), prior_weight)
    with OutputFolder(out, KIND).replacing() as draft:
        package = draft / "package"
        package.mkdir()
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
            "taxonomic": relatives and kinds(relatives, about["labels"], f"{taxonomy}"),
            "prior": shift and pack_prior(shift, about["labels"], package, f"{prior}"),
            "gaussian_sigma": gaussian,
            "power": power,
            "power_top": 2,
        }
        write_json(package / "config.json", config)
        write_text(package / "wheels.txt", metadata.wheels())
        write_json(package / "dataset-metadata.json", metadata.dataset(user, competition))
        write_json(draft / "kernel-metadata.json", metadata.kernel(user, competition, notebook.NAME))
        notebook.save(notebook.notebook(config), draft / notebook.NAME)
    (out / "package" / "wheels").mkdir(exist_ok=True)  # those that were filled in before are there still
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
    if about["normalise"] not in NORMALISATIONS:
        raise InputError(f"{path}: normalisation {about['normalise']!r} found, one of {NORMALISATIONS} wanted.")
    return about


def kinds(step: Taxonomic, labels: Sequence[str], place: str) -> dict:
    """Each label's genus and class_name, "" where the taxonomy lacks it, and the two weights."""
    if not set(labels) & set(step.genus):
        raise InputError(f"{place}: none of the model's {len(labels)} classes in it. Another competition's?")
    return {
        "a": step.a,
        "b": step.b,
        "genus": [step.genus.get(label, "") for label in labels],
        "group": [step.group.get(label, "") for label in labels],
    }


def pack_prior(step: SiteHour, labels: Sequence[str], package: Path, place: str) -> str:
    """PACKAGE/prior.npz: the sites, and what is added to log-odds, [sites + 1, 25, labels]; 0 for unknown labels."""
    counts = step.prior.counts
    if not set(labels) & set(counts.classes):
        raise InputError(f"{place}: none of the model's {len(labels)} classes in it. Another competition's?")
    shifts, _ = step.prior.family.shifts(counts)
    packed = np.zeros((*shifts.shape[:2], len(labels)), np.float32)
    number = {name: at for at, name in enumerate(counts.classes)}
    for at, label in enumerate(labels):
        if label in number:
            packed[:, :, at] = step.strength * shifts[:, :, number[label]]
    np.savez_compressed(
        package / "prior.npz", allow_pickle=False, sites=np.array(counts.sites, dtype=str), shifts=packed
    )
    return "prior.npz"
