"""Learning from a teacher: which rows belong to which window, its loss, and that a student comes nearer to it."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from accelerate import Accelerator

from birdprobe.analysis import metrics
from birdprobe.features import InputError
from birdprobe.features.recordings import Clip
from birdprobe.features.store import FeatureStore, StoreKey
from birdprobe.features.store.table import ROW_COLUMNS
from birdprobe.finetune import checkpoint, losses
from birdprobe.finetune.data.augment import Augment
from birdprobe.finetune.data.clips import Clips
from birdprobe.finetune.data.teacher import read_teacher
from birdprobe.finetune.models import members
from birdprobe.finetune.training import fold_training
from birdprobe.finetune.training.loop import Loop
from birdprobe.finetune.training.recipe import Settings
from birdprobe.finetune.training.train import train
from tests import pebble, textures

CLASSES = ("ash", "birch", "cedar", "elm")
THEIRS = ("cedar", "oak", "ash", "birch")


def write_store(path, files, starts, logits, window_s=5.0, tap="logits", **changes):
    key = StoreKey("0" * 64, (tap,), "mean", 32000, window_s, "all", 0, "none", **changes)
    rows = pd.DataFrame(
        {
            **{"clip": np.arange(len(files)), "file": files, "start_s": starts, "end_s": np.array(starts) + window_s},
            **{"label": "", "labels": "", "group": None, "fold": None, "size": 0, "sha256": ""},
        }
    )[list(ROW_COLUMNS)]
    with FeatureStore.create(path, key, {tap: (logits.shape[1],)}, {}) as store:
        store.append(rows, {tap: logits.astype(np.float32)})
        store.finish()
    return path


def names(path, labels):
    path.write_text("\n".join(labels))
    return path


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.fixture
def store(tmp_path):
    logits = np.random.default_rng(0).normal(0, 3, (4, 4))
    files = ["ash/a.wav", "ash/a.wav", "elm/b.wav", "elm/c.wav"]
    path = write_store(tmp_path / "t.h5", files, [5.0, 0.0, 0.0, 0.0], logits)
    return path, logits, names(tmp_path / "labels.txt", THEIRS)


def test_a_stores_logits_become_shares_of_the_common_classes(store):
    path, logits, labels = store
    teacher = read_teacher(path, CLASSES, 5.0, labels=labels, temperature=3.0)
    assert teacher.columns.tolist() == [0, 1, 2] and teacher.missing == ("elm",)
    np.testing.assert_allclose(teacher.shares, softmax(logits[:, [2, 3, 0]] / 3), atol=1e-6)
    starts, rows = teacher.of_clip(Clip("x", "ash/a.wav", ("ash",)))
    assert starts.tolist() == [0.0, 5.0] and rows.tolist() == [1, 0]
    starts, rows = teacher.of_clip(Clip("x", "ash/a.wav", ("ash",), start_s=5.0, end_s=10.0))
    assert starts.tolist() == [0.0] and rows.tolist() == [0]
    assert teacher.of_clip(Clip("x", "other/place/b.ogg", ("elm",)))[1].tolist() == [2]  # alone under its bare name
    clips = [Clip("x", "ash/a.wav", ("ash",)), Clip("x", "no.wav", ("ash",)), Clip("x", "elm/c.wav", ("elm",))]
    owner = np.array([0, 0, 0, 1, 2])
    assert teacher.rows_at(clips, owner, 5.0).tolist() == [1, 0, -1, -1, 3]
    assert teacher.require(clips) == "--teacher: no rows for 1 of 3 clips: 'no.wav'."


def test_a_table_of_predictions_is_a_teacher_too(store, tmp_path):
    p = np.array([[0.9, 0.2, 1.0], [0.3, 0.0, 0.5]])
    table = pd.DataFrame(p, index=["a_5", "a_10"], columns=["ash", "oak", "birch"])
    table.to_csv(tmp_path / "t.csv", index_label="row_id")
    teacher = read_teacher(tmp_path / "t.csv", CLASSES, 5.0, temperature=2.0)
    clipped = p[:, [0, 2]].clip(1e-6, 1 - 1e-6)
    np.testing.assert_allclose(teacher.shares, softmax(np.log(clipped / (1 - clipped)) / 2), atol=1e-6)
    starts, rows = teacher.of_clip(Clip("x", "ash/a.wav", ("ash",)))
    assert starts.tolist() == [0.0, 5.0] and rows.tolist() == [0, 1]


def test_its_classes_are_found_by_names_renames_and_a_table_never_by_genus(tmp_path):
    rng = np.random.default_rng(1)
    p = rng.uniform(0.1, 0.9, (3, 6))
    theirs = ["Turdus merula_Common Blackbird", "Accipiter gentilis", "bowwar1", "Parus major", "gurgle", "hiss"]
    pd.DataFrame(p, index=["a_5", "a_10", "a_15"], columns=theirs).to_csv(tmp_path / "t.csv", index_label="row_id")
    (tmp_path / "taxonomy.csv").write_text(
        "primary_label,scientific_name,common_name\neurbla,Turdus merula,Common Blackbird\n"
        "norgos,Astur gentilis,Eurasian Goshawk\nbowwar1,,\nsoup,,\nparat,Parus ater,Coal Tit\n"
    )
    (tmp_path / "own.csv").write_text("class,output\nsoup,gurgle\nsoup,hiss\n")
    classes = ("eurbla", "norgos", "bowwar1", "soup", "parat")
    given = {"taxonomy": tmp_path / "taxonomy.csv", "renames": tmp_path / "own.csv"}
    teacher = read_teacher(tmp_path / "t.csv", classes, 5.0, **given)
    assert teacher.columns.tolist() == [0, 1, 2, 3] and teacher.missing == ("parat",)
    assert "4 of 5 classes" in teacher.how and "without an output: parat" in teacher.how
    assert "(1 by label, 1 by scientific name, 1 by rename, 1 by own table)" in teacher.how
    logits = np.log(p) - np.log1p(-p)
    wanted = np.stack([logits[:, 0], logits[:, 1], logits[:, 2], logits[:, 4:].max(axis=1)], axis=1)
    np.testing.assert_allclose(teacher.shares, softmax(wanted / 2), atol=1e-6)
    with pytest.raises(InputError, match=r"at least two of the 5 classes .* got 1\. .* with --renames"):
        read_teacher(tmp_path / "t.csv", classes, 5.0)  # labels alone are no names of species


def test_what_cannot_teach_is_told(store, tmp_path):
    path, logits, labels = store
    for classes, given, match in (
        (CLASSES, {}, r"0 names for the 4 logits of --teacher .*Give one label a line with --teacher-labels"),
        (("pine", "fir"), {"labels": labels}, r"expected at least two of the 2 classes \('pine', 'fir'\) .*got 0"),
        (CLASSES, {"labels": labels, "temperature": 0.0}, r"`--temperature` must be more than 0, got 0.0"),
        (CLASSES, {"labels": labels, "weight": -1.0}, r"`--distill-weight` must be more than 0, got -1.0"),
    ):
        with pytest.raises(InputError, match=match):
            read_teacher(path, classes, 5.0, **given)
    with pytest.raises(InputError, match="windows of 5 s found, 3 s as the student hears wanted"):
        read_teacher(path, CLASSES, 3.0, labels=labels)
    other = write_store(tmp_path / "other.h5", ["a"], [0.0], logits[:1], tap="embedding")
    with pytest.raises(InputError, match="expected the tap logits, got embedding"):
        read_teacher(other, CLASSES, 5.0, labels=labels)
    with pytest.raises(InputError, match=r"expected rows for the 1 clips, such as z.wav, got none \(it has 'ash/a'"):
        read_teacher(path, CLASSES, 5.0, labels=labels).require([Clip("x", "z.wav", ("ash",))])
    for text, match in (
        ("row_id,ash,birch\na_5,0.1,\n", r"values: 1 missing \(NaN\), the first in row 'a_5', column 'birch'"),
        ("row_id,ash,birch\na,0.1,0.2\n", "expected row ids such as NAME_5, got 'a'"),
        ("row_id,ash,birch\na_3,0.1,0.2\n", "rows of 3 s, but windows have 5 s"),
    ):
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(InputError, match=match):
            read_teacher(tmp_path / "t.csv", CLASSES, 5.0)


def test_its_loss_is_the_divergence_at_a_temperature():
    rng = np.random.default_rng(0)
    logits, teacher = rng.normal(0, 3, (2, 5, 3)), softmax(rng.normal(0, 2, (5, 3)))
    q, p = teacher, softmax(logits / 2.0)
    each = 4 * (q * (np.log(q) - np.log(p))).sum(-1)
    given = torch.from_numpy(teacher).float()
    found = losses.distillation(torch.from_numpy(logits), 3 * given, 2.0)
    np.testing.assert_allclose(found.numpy(), each.mean(-1), rtol=1e-5)
    given[1:3] = 0.0  # not heard by the teacher
    found = losses.distillation(torch.from_numpy(logits), given, 2.0)
    np.testing.assert_allclose(found.numpy(), each[:, [0, 3, 4]].sum(-1) / 5, rtol=1e-5)


# --- in training, by Pebble ---


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """(recordings of 36 clips of 0.5 s, a folder of 3 unlabelled ones, the store of what a teacher says of both)."""
    folder = tmp_path_factory.mktemp("taught")
    recordings = pebble.read_audio(pebble.write_audio(folder / "tones"))
    (folder / "more").mkdir()
    rng = np.random.default_rng(1)
    for k in range(3):
        soundfile.write(folder / "more" / f"u{k}.wav", 0.1 * rng.standard_normal(16_000), 32_000)
    files = [(clip.name, int(clip.label[-1])) for clip in recordings.clips] + [(f"u{k}.wav", k) for k in range(3)]
    at = [(name, start, k) for name, k in files for start in (0.0, 0.2, 0.4)]
    logits = 4.0 * np.eye(3)[[k for *_, k in at]] + rng.normal(0, 0.5, (len(at), 3))
    window_s = {"window_s": pebble.WINDOW_S}
    store = write_store(folder / "t.h5", [a for a, *_ in at], [s for _, s, _ in at], logits, **window_s)
    return recordings, folder / "more", store, names(folder / "labels.txt", ("tone0", "tone1", "tone2"))


def test_examples_are_the_windows_that_the_teacher_heard(taught):
    recordings, _, store, labels = taught
    teacher = read_teacher(store, ("tone0", "tone1", "tone2"), 0.2, labels=labels)
    clips = Clips(recordings.clips[:3], ("tone0", "tone1", "tone2"), window_s=0.2, teacher=teacher)
    grid = {windows.numpy().tobytes() for batch, _ in clips.held_out(1) for windows in batch}
    waveform, targets = next(clips.batches(0, 3, 0))
    assert targets.shape == (3, 7) and {window.numpy().tobytes() for window in waveform} <= grid
    assert any((targets[0, 3:6].numpy() == teacher.shares[row]).all() for row in range(9)) and targets[0, 6] == 0


def test_a_student_comes_nearer_and_resumes(taught, tmp_path, monkeypatch):
    recordings, more, store, labels = taught
    given = {"teacher": store, "teacher_labels": labels, "unlabelled": more}
    whole = train("pebble", recordings, tmp_path / "whole", pebble.settings(epochs=8, augment=Augment.none()), **given)
    assert whole.log["kl"].iloc[-1] < 0.5 * whole.log["kl"].iloc[0]
    log = pd.read_csv(tmp_path / "whole" / "fold0" / "log.csv")
    assert log.columns[-1] == "kl" and log["kl"].iloc[-1] == pytest.approx(whole.log["kl"].iloc[-1])
    assert checkpoint.describe(whole.best, checkpoint.Description).settings["teacher"]["temperature"] == 2.0
    real = Loop.train_step

    def stops(self, *args):
        if self.step == 5:
            raise KeyboardInterrupt
        return real(self, *args)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(fold_training.Loop, "train_step", stops)
        train("pebble", recordings, tmp_path / "killed", pebble.settings(epochs=8, augment=Augment.none()), **given)
    again = train("pebble", recordings, tmp_path / "killed", pebble.settings(epochs=8, augment=Augment.none()), **given)
    pd.testing.assert_series_equal(whole.log["kl"], again.log["kl"])
    with pytest.raises(InputError, match=r"teacher.temperature: expected 2.0, as the run has, got 4.0"):
        train(
            "pebble",
            recordings,
            tmp_path / "whole",
            pebble.settings(epochs=8, augment=Augment.none()),
            fold=1,
            temperature=4.0,
            **given,
        )


def test_unlabelled_recordings_teach_no_labels(taught):
    """Their targets' labels are zeros that cost nothing: only what the teacher says of them moves the weights."""
    _, _, store, labels = taught
    teacher = read_teacher(store, ("tone0", "tone1", "tone2"), 0.2, labels=labels)
    model = members.assemble(pebble.PEBBLE, 3)
    loop = Loop(model, pebble.settings(), 0, 1, Accelerator(cpu=True), teacher)
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    shares = torch.from_numpy(teacher.shares[:4])
    unknown = torch.cat([torch.zeros(4, 3), shares, torch.ones(4, 1)], dim=1)
    assert loop.loss(logits, unknown) == losses.distillation(logits, shares, 2.0)
    half = unknown.clone()
    half[:2, -1], half[0, 1] = 0, 1
    wanted = losses.distillation(logits, shares, 2.0) + 0.5 * losses.bce(logits[:2], half[:2, :3])
    torch.testing.assert_close(loop.loss(logits, half), wanted)


def test_options_without_a_teacher_are_told(taught, tmp_path):
    recordings, more, store, labels = taught
    with pytest.raises(
        InputError, match="--unlabelled, --teacher-labels and --renames: expected a --teacher, got none"
    ):
        train("pebble", recordings, tmp_path / "run", pebble.settings(), unlabelled=more)
    (tmp_path / "quiet").mkdir()
    soundfile.write(tmp_path / "quiet" / "z.wav", np.zeros(16_000), 32_000)
    with pytest.raises(InputError, match=r"--unlabelled .*quiet: expected recordings with rows in .*got 1 without"):
        given = {"teacher": store, "teacher_labels": labels, "unlabelled": tmp_path / "quiet"}
        train("pebble", recordings, tmp_path / "run", pebble.settings(), **given)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_detector_comes_nearer_to_its_teacher_on_clips_it_never_heard(tmp_path):
    """Its divergence falls, and its predictions rank clips as the teacher's first choices do."""
    audio = textures.write(tmp_path / "audio", 8)
    recordings = textures.read(audio)
    rng = np.random.default_rng(0)
    at = [(clip.name, textures.KINDS.index(clip.label)) for clip in recordings.clips]
    logits = 5.0 * np.eye(3)[[k for _, k in at]] + rng.normal(0, 0.5, (len(at), 3))
    store = write_store(tmp_path / "t.h5", [name for name, _ in at], [0.0] * len(at), logits)
    name = "sed:test_efficientnet"
    recipe = {"epochs": 12, "batch_size": 4, "learning_rate": 3e-3, "augment": Augment.none()}
    settings = Settings(members.get(name).recipe, folds=3, device="cpu", threads=1).with_recipe(**recipe)
    labels = names(tmp_path / "labels.txt", textures.KINDS)
    trained = train(name, recordings, tmp_path / "run", settings, teacher=store, teacher_labels=labels)
    assert trained.log["kl"].iloc[-1] < 0.5 * trained.log["kl"].iloc[0] and trained.metrics["macro_auc"] > 0.9
    table = pd.read_csv(tmp_path / "run" / "oof" / "fold0.csv").set_index("row_id")
    held = [row.rsplit("_", 1)[0] for row in table.index]
    theirs = {clip.name.split("/")[1].removesuffix(".wav"): row for clip, row in zip(recordings.clips, logits)}
    teacher_says = np.array([theirs[name] for name in held]) == np.array([theirs[n].max() for n in held])[:, None]
    assert metrics.macro_auc(teacher_says, table[list(textures.KINDS)].to_numpy()) > 0.9
