"""The post-processing of a kernel: its settings, and the files that go with them."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...analysis.postprocess.site_hour import Prior, SiteHour
from ...analysis.postprocess.taxonomic import Taxonomic
from ...features import InputError


@dataclass(frozen=True)
class Steps:
    """As `write_kernel` is told them; None for a step that is not wanted. InputError: a file that is none."""

    taxonomy: Path | None
    genus: float
    group: float
    prior: Path | None
    prior_weight: float | None
    gaussian: float | None
    power: float | None

    def __post_init__(self):
        if self.prior is not None:
            Prior.read(self.prior)
        if self.taxonomy is not None:
            Taxonomic.read(self.taxonomy, self.genus, self.group)

    def pack(self, package: Path, labels: Sequence[str]) -> dict:
        """The `postprocess` of config.json: the steps that are wanted, their files copied into the package.

        InputError: a file that knows none of the labels.
        """
        numbers = {"gaussian": self.gaussian, "power": self.power}
        wanted: dict = {name: value for name, value in numbers.items() if value is not None}
        if self.taxonomy is not None:
            known = set(Taxonomic.read(self.taxonomy, self.genus, self.group).genus)
            check_overlap(labels, known, self.taxonomy)
            shutil.copyfile(self.taxonomy, package / "taxonomy.csv")
            wanted |= {"taxonomy": "taxonomy.csv", "genus": self.genus, "group": self.group}
        if self.prior is not None:
            step = SiteHour(Prior.read(self.prior), self.prior_weight)
            check_overlap(labels, set(step.prior.counts.classes), self.prior)
            step.prior.write(package / "prior.json")
            wanted |= {"prior": "prior.json", "prior_weight": step.strength}
        return wanted


def check_overlap(labels: Sequence[str], known: set[str], place: Path) -> None:
    """InputError where a file knows none of the model's labels."""
    if not set(labels) & known:
        raise InputError(f"{place}: none of the model's {len(labels)} classes in it. Another competition's?")
