"""One training of an experiment: the published protocol over the folds of the soundscapes, at the experiments' size."""

from dataclasses import dataclass
from pathlib import Path

from ..training.loop import Settings
from ..training.pseudo_labels import Gate
from ..training.train import Trained, train
from .comparison import Arm, Truths
from .competition_stores import Material, labelled_truth, out_of_fold, predict

EPOCHS = 20  # at most 50 were published; on a made-up competition few of the epochs that are kept lie beyond


@dataclass(frozen=True, eq=False)
class Training:
    """Trains on a material with one seed, run after run into folders of `folder`, all equal but what an arm changes."""

    material: Material
    folder: Path
    settings: Settings

    def run(
        self, name: str, taps: str, heads: str, teacher: Trained | None = None, gate: Gate | None = None
    ) -> Trained:
        """Train `heads` on focal clips and labelled soundscapes; with a teacher also on what it says of the unlabelled
        ones. Folds are dealt by file, with the seed of the settings, so they are the same in every run."""
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
            pseudo_from=teacher.run if teacher else None,
            pseudo_gate=gate,
            overwrite=True,  # of this folder only what a run wrote; the experiment was asked first
            log=here.log,
            progress=here.progress,
        )

    def arm(self, name: str, trained: Trained, head: str, against: str | None = None, role: str = "") -> Arm:
        """A trained head as an arm: out of fold on the labelled windows, all folds on the test soundscapes."""
        oof, _ = out_of_fold(trained.run, head)
        return Arm(name, oof, predict(trained.run, head, self.material.test()), against, role)

    def truths(self) -> Truths:
        return Truths(labelled_truth(self.material.soundscapes(), self.material.labels), self.material.truth)


def settings(seed: int, epochs: int | None, folds: int) -> Settings:
    return Settings(epochs=epochs or EPOCHS, folds=folds, fold_by="file", seed=seed)
