"""The post-processing of a kernel: its settings, and the files that go with them."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from ...analysis.postprocess.chain import Wanted
from ...analysis.postprocess.site_hour import Prior, SiteHour
from ...analysis.postprocess.taxonomic import Taxonomic
from ...features import InputError


def check_files(wanted: Wanted) -> None:
    """InputError: a taxonomy or a prior that is none."""
    if wanted.prior is not None:
        Prior.read(wanted.prior)
    if wanted.taxonomy is not None:
        Taxonomic.read(wanted.taxonomy, wanted.genus, wanted.group)


def pack(wanted: Wanted, package: Path, labels: Sequence[str]) -> dict:
    """The `postprocess` of config.json: the steps that are wanted, their files copied into the package.

    InputError: a file that knows none of the labels.
    """
    numbers = {"gaussian": wanted.gaussian, "power": wanted.power}
    steps: dict = {name: value for name, value in numbers.items() if value is not None}
    if wanted.taxonomy is not None:
        check_overlap(labels, set(Taxonomic.read(wanted.taxonomy).genus), wanted.taxonomy)
        shutil.copyfile(wanted.taxonomy, package / "taxonomy.csv")
        steps |= {"taxonomy": "taxonomy.csv", "genus": wanted.genus, "group": wanted.group}
    if wanted.prior is not None:
        step = SiteHour(Prior.read(wanted.prior), wanted.prior_weight)
        check_overlap(labels, set(step.prior.counts.classes), wanted.prior)
        step.prior.write(package / "prior.json")
        steps |= {"prior": "prior.json", "prior_weight": step.strength}
    return steps


def check_overlap(labels: Sequence[str], known: set[str], place: Path) -> None:
    """InputError where a file knows none of the model's labels."""
    if not set(labels) & known:
        raise InputError(f"{place}: none of the model's {len(labels)} classes in it. Another competition's?")
