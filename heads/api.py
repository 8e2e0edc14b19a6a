"""What `birdprobe train` calls, and notebooks as `birdprobe.train`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..features.csv_files import write_csv
from ..features.output_folder import adding
from ..features.progress import Log, listener, working
from ..features.recordings.taxonomy import read_classes
from ..features.schema import Words, checked, comma_text

if TYPE_CHECKING:
    from .agreement import Agreed
    from .training.train import Trained

AGREEING = 6  # taps from which on a head's weights are compared with the probe; the three published ones show nothing


@checked
def train(
    stores: Sequence[Path],
    output: Path | str,
    *,
    taps: Words = "all",
    head: Words = "attention",
    folds: int = 5,
    fold_by: str | None = None,
    loss: str = "bce",
    epochs: int = 50,
    patience: int = 10,
    batch_size: int | None = None,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    mixup: float = 0.2,
    fractions: Sequence[float] = (0.75, 0.15, 0.10),
    unit: str = "clip",
    sequence_length: int = 12,
    first_pass: str | None = None,
    backbone_labels: Path | None = None,
    renames: Path | None = None,
    taxonomy: Path | None = None,
    sweep: Path | None = None,
    pseudo_from: Path | None = None,
    pseudo_head: str | None = None,
    pseudo_keep: float = 0.5,
    pseudo_power: float = 1.0,
    pseudo_mask: str = "none",
    seed: int = 0,
    overwrite: bool = False,
    command: str = "",
    log: Log | None = None,
    progress: bool = True,
) -> "Trained":
    """Train heads on cached features over folds; score, compare and draw them.

    Args:
        stores: focal clips; then labelled soundscapes, which early stopping watches; then windows to pseudo-label.
        output: the run's folder, see `heads.training.results` for its files.
        taps: as in `extract`, a list too; differences as 24-23; auto:N chooses N taps by forward selection.
        head: kinds of `heads.training.specs.KINDS`, comma-separated, own taps after a colon:
            `attention,linear:embedding`; `sequence` is the two plain heads over time.
        folds, fold_by: see `heads.training.folds.make_folds`.
        loss, epochs, batch_size, lr, weight_decay, mixup, fractions, unit: see `heads.training.loop.Settings`.
        sequence_length: windows of a recording that heads over time read at once, at most.
        first_pass: what heads over time take other predictions from, see `heads.sequences.first_pass`.
        backbone_labels: the backbone's list of labels, for `logits`; None: of its metadata, or beside its file.
        renames: a table (class, output) of which outputs are a class's, before all names.
        patience: epochs without a better held-out score; 0 trains all.
        taxonomy: a taxonomy.csv whose primary_label column is the classes, in its order.
        sweep: a sweep's folder, to compare the heads' weights with its k-NN; None computes the k-NN here.
        pseudo_from, pseudo_head: a run, and which of its heads labels the third store.
        pseudo_keep, pseudo_power, pseudo_mask: see `heads.training.pseudo_labels.Gate`.
        seed: of folds, weights and batches.
        overwrite: replace a finished run.
        command: for the record in config.json.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.

    Returns: the tables of the run, and what was chosen and compared on the way.
    Raises: InputError for anything wrong with what the user gave.
    """
    log = listener(log, progress)
    with working("loading torch", log):
        from .sequences.first_pass import Naming
        from .training import results
        from .training.loop import Settings
        from .training.pseudo_labels import Gate
        from .training.tap_selection import choose_taps, wanted
        from .training.train import train

    taps, head = comma_text("taps", taps), comma_text("head", head)
    settings = Settings(
        loss=loss,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=lr,
        weight_decay=weight_decay,
        mixup=mixup,
        patience=patience or None,
        fractions=tuple(fractions),
        folds=folds,
        fold_by=fold_by,
        unit=unit,
        sequence_length=sequence_length,
        seed=seed,
    )
    results.check(Path(output), overwrite)
    gate = Gate(pseudo_keep, pseudo_power, pseudo_mask)
    labels = read_classes(taxonomy) if taxonomy else None
    chosen = choose_taps(stores, n, settings, labels) if (n := wanted(taps)) else None
    if chosen:
        taps = ",".join(chosen.taps)
        log(f"taps chosen: {taps}")
    trained = train(
        stores,
        Path(output),
        settings,
        taps=taps,
        heads=head,
        labels=labels,
        naming=Naming(taxonomy, backbone_labels, renames),
        first_pass=first_pass,
        pseudo_from=pseudo_from,
        pseudo_head=pseudo_head,
        pseudo_gate=gate,
        overwrite=overwrite,
        command=command,
        log=log,
        progress=progress,
    )
    if chosen:
        with adding(trained.run) as draft:
            write_csv(chosen.table, draft / "selection.csv", index=False, float_format="%.6g")
    return replace(trained, selection=chosen, agreement=_agreement(trained, sweep, log))


def _agreement(trained: "Trained", sweep: Path | None, log: Callable[[str], None]) -> "Agreed | None":
    """What heads and probe make of the taps, written and drawn; None where the heads read too few."""
    if trained.tap_weights["tap"].nunique() < AGREEING:
        return None
    from ..figures.gallery import save
    from .agreement import agree

    log("probe against head")
    agreed = agree(trained.run, sweep)
    save(trained.run, ["agreement"])
    return agreed
