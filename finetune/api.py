"""The function behind `birdprobe finetune`, which notebooks call as `birdprobe.fine_tune`."""

from pathlib import Path

from ..features import InputError
from ..features.progress import Log, listener
from ..features.recordings import choose, read_recordings
from ..features.recordings.taxonomy import read_classes
from ..features.schema import checked
from .data.augment import Augment
from .models import members
from .training.recipe import Settings
from .training.train import Trained, train


@checked
def fine_tune(
    member: str,
    audio: Path | None = None,
    output: Path | None = None,
    *,
    fold: int = 0,
    folds: int = 5,
    init: Path | None = None,
    pretrained: bool = False,
    head: str | None = None,
    taxonomy: Path | None = None,
    background: Path | None = None,
    teacher: Path | None = None,
    teacher_labels: Path | None = None,
    renames: Path | None = None,
    unlabelled: Path | None = None,
    distill_weight: float = 1.0,
    temperature: float = 2.0,
    classes: int | None = None,
    per_class: int | None = None,
    group_regex: str | None = None,
    groups: str | None = None,
    fold_regex: str | None = None,
    column: str | None = None,
    loss: str | None = None,
    epochs: int | None = None,
    frozen_epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    layer_decay: float | None = None,
    ema: float | None = None,
    selection: str | None = None,
    augment: bool = True,
    accumulate: int = 1,
    precision: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    cache: str = "auto",
    compiled: bool = False,
    state_every: float = 300.0,
    smoke: bool = False,
    resume: bool | None = None,
    track: str | None = None,
    push_to_hub: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    log: Log | None = None,
    progress: bool = True,
) -> Trained:
    """Train a member through on all folds but one; goes on where a killed call of the same arguments stopped.

    Args:
        member: one of `finetune.models.members`, timm:NAME or sed:NAME.
        audio, classes, per_class, group_regex, groups, fold_regex, column: the recordings, as in `sweep`; None with
            `smoke`.
        output: the run's folder, one for all folds; see `finetune.training.results` for its files.
        fold, folds: which of how many is held out.
        init, pretrained: weights to begin with, see `finetune.initial_weights.begin`.
        head: a Bird-MAE's: plain, attentive or prototype.
        taxonomy: a taxonomy.csv whose primary_label column is the classes, in its order; its names find a teacher's.
        background: a folder of recordings without birds, beside those labelled "nocall".
        teacher: a store with the tap `logits`, or a CSV of predictions, whose soft labels of windows are learned beside
            the labels; the clips are cut at its windows.
        teacher_labels: a file that names the store's logits, one a line; None: as the model that made them says.
        renames: a table (class, output) of which of the teacher's outputs are a class's, before all names.
        unlabelled: a folder of further recordings, learned from by what the teacher says of them alone.
        distill_weight, temperature: of the teacher's loss, T^2 KL of the softmax at temperature T over common classes.
        loss, epochs, frozen_epochs, batch_size, lr, weight_decay, layer_decay, ema, selection: in place of the numbers
            of the member's published recipe, see `finetune.models.members.Recipe`.
        augment: whether to use the recipe's augmentations.
        accumulate, precision, device, threads, cache, compiled: of this machine, see `finetune.training.recipe`.
        state_every: seconds between two states to resume from, which is what a kill loses at most.
        smoke: every stage in about a minute on a CPU, very small.
        resume: None goes on with an unfinished fold of the same configuration, False refuses it, True wants one.
        track, push_to_hub: a trackio project; the OWNER/NAME of a model repository for the best checkpoint.
        seed: of folds and of everything drawn in training.
        overwrite: replace this fold, and no other.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.

    Returns: the fold's log and best epoch.
    Raises: InputError for anything wrong with what the user gave.
    """
    log = listener(log, progress)
    if output is None or (audio is None and not smoke):
        raise InputError("finetune: expected AUDIO and -o RUN, got one or none of them; --smoke needs no AUDIO.")
    wishes = {
        **{"loss": loss, "epochs": epochs, "frozen_epochs": frozen_epochs, "batch_size": batch_size},
        **{"learning_rate": lr, "weight_decay": weight_decay, "layer_decay": layer_decay, "ema": ema},
        **{"selection": selection, "augment": None if augment else Augment.none()},
    }
    settings = Settings(
        members.get(member).recipe,
        options={"head": head} if head else {},
        folds=folds,
        seed=seed,
        precision=precision,
        accumulate=accumulate,
        device=device,
        threads=threads,
        cache=cache,
        compile=compiled,
        state_every_s=state_every,
    ).with_recipe(**{name: wish for name, wish in wishes.items() if wish is not None})
    recordings = None
    if audio is not None:
        read = read_recordings(
            audio, group_regex=group_regex, groups_column=groups, fold_regex=fold_regex, column=column
        )
        if read.kind:
            log(f"{audio}: {read.kind}")
        recordings = choose(read, classes, per_class, seed)
    return train(
        member,
        recordings,
        output,
        settings,
        fold=fold,
        init=init,
        pretrained=pretrained,
        background=background,
        teacher=teacher,
        teacher_labels=teacher_labels,
        taxonomy=taxonomy,
        renames=renames,
        unlabelled=unlabelled,
        distill_weight=distill_weight,
        temperature=temperature,
        labels=read_classes(taxonomy) if taxonomy else None,
        resume=resume,
        overwrite=overwrite,
        log=log,
        progress=progress,
        smoke=smoke,
        track=track,
        push_to_hub=push_to_hub,
    )
