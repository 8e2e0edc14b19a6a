"""One training of an experiment: the published protocol over the folds of the soundscapes, at the experiments' size."""

from dataclasses import dataclass
from pathlib import Path

from ...analysis.predictions.table import ROW_ID
from ...features.csv_files import write_csv
from ..sequences.first_pass import Naming
from ..training.loop import Settings
from ..training.pseudo_labels import Gate
from ..training.train import Trained, train
from .comparison import Arm, Truths
from .competition_stores import Material, labelled_truth, out_of_fold, predict


@dataclass(frozen=True, eq=False)
class Training:
    """Trains on a material with one seed, run after run into folders of `folder`, all equal but what an arm changes."""

    material: Material
    folder: Path
    settings: Settings

    def run(
        self,
        name: str,
        taps: str,
        heads: str,
        teacher: Trained | None = None,
        gate: Gate | None = None,
        first_pass: Path | None = None,
    ) -> Trained:
        """Train `heads` on focal clips and labelled soundscapes; with a teacher also on what it says of the unlabelled
        ones. first_pass: see `first_pass`, for heads over time. Folds are dealt with the seed of the settings, so they
        are the same in every run."""
        here = self.material
        stores = [here.focal(), here.soundscapes(), *([here.unlabelled()] if teacher else [])]
        here.log(f"training {name}")
        return train(
            stores,
            self.folder / name,
            self.settings,
            taps=taps,
            heads=heads,
            labels=here.labels,
            naming=Naming(here.competition / "taxonomy.csv"),
            first_pass=None if first_pass is None else str(first_pass),
            pseudo_from=teacher.run if teacher else None,
            pseudo_gate=gate,
            overwrite=True,  # of this folder only what a run wrote; the experiment was asked first
            log=here.log,
            progress=here.progress,
        )

    def first_pass(self, trained: Trained, head: str) -> Path:
        """A CSV of what a head said, out of fold, of all windows of its run: beside the run's folder."""
        path = self.folder / f"{trained.run.name}-{head}.csv"
        write_csv(out_of_fold(trained.run, head, None)[0], path, index_label=ROW_ID, float_format="%.9g")
        return path

    def arm(self, name: str, trained: Trained, head: str, against: str | None = None, role: str = "") -> Arm:
        """A trained head as an arm: out of fold on the labelled windows, all folds on the test soundscapes."""
        oof, _ = out_of_fold(trained.run, head)
        return Arm(name, oof, predict(trained.run, head, self.material.test()), against, role)

    def truths(self) -> Truths:
        return Truths(labelled_truth(self.material.soundscapes(), self.material.labels), self.material.truth)
