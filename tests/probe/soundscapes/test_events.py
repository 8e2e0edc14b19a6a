"""Events: what two thresholds, gaps and lengths make of probabilities, and tables that others open."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from birdprobe.features import InputError
from birdprobe.features.recordings import read_recordings
from birdprobe.finetune import checkpoint
from birdprobe.finetune.data.augment import Augment
from birdprobe.finetune.models import members
from birdprobe.finetune.training.recipe import Settings
from birdprobe.finetune.training.train import train
from birdprobe.heads.soundscapes import find_events
from birdprobe.probe.assets import WREN
from birdprobe.probe.cli.app import app
from birdprobe.probe.soundscapes.events import Event, Rule, events_of, write
from tests import textures

SED = "sed:test_efficientnet"
LABELS = ("ash", "birch")


def column(*values):
    return np.array(values, np.float32)[:, None]


# --- from probabilities to events ---


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (Rule(0.6), [(0.5, 1.5, 0.9), (2.5, 3.0, 0.7)]),  # 0.3 keeps the first alive, 0.2 ends it, 0.5 begins none
        (Rule(0.6, 0.6), [(0.5, 1.0, 0.9), (2.5, 3.0, 0.7)]),
        (Rule(0.6, gap_s=1.0), [(0.5, 3.0, 0.9)]),
        (Rule(0.6, gap_s=0.9), [(0.5, 1.5, 0.9), (2.5, 3.0, 0.7)]),
        (Rule(0.6, shortest_s=0.6), [(0.5, 1.5, 0.9)]),
        (Rule(0.6, gap_s=1.0, shortest_s=2.5), [(0.5, 3.0, 0.9)]),  # gaps are closed first
        (Rule(0.95), []),
        (Rule(0.45), [(0.5, 1.5, 0.9), (2.5, 3.0, 0.7), (3.5, 4.0, 0.5)]),
    ],
)
def test_two_thresholds_gaps_and_lengths(rule, wanted):
    p = column(0.1, 0.9, 0.3, 0.2, 0.1, 0.7, 0.0, 0.5)
    found = [(onset, offset, pytest.approx(score)) for _, onset, offset, score in events_of(p, 0.5, rule)]
    assert wanted == found


def test_classes_are_apart_and_in_the_order_of_onsets():
    p = np.array([[0.0, 0.9], [0.8, 0.9], [0.8, 0.0]], np.float32)
    assert [event[:3] for event in events_of(p, 1.0, Rule())] == [(1, 0.0, 2.0), (0, 1.0, 3.0)]
    assert events_of(np.ones((2, 1), np.float32), 1.0, Rule(1.0)) == [(0, 0.0, 2.0, 1.0)]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"threshold": 0.0}, "`--threshold` must be above 0 and at most 1, got 0"),
        ({"threshold": float("nan")}, "`--threshold` must be above 0 and at most 1, got nan"),
        ({"release": 0.7}, "`--release` must be above 0 and at most the threshold, 0.5, got 0.7"),
        ({"gap_s": -1.0}, "`--gap` must be 0 seconds or more, got -1"),
        ({"shortest_s": float("inf")}, "`--shortest` must be 0 seconds or more, got inf"),
    ],
)
def test_rules_that_make_no_sense_are_told(given, match):
    with pytest.raises(InputError, match=match):
        Rule(**given)


# --- tables ---


@pytest.fixture
def events(tmp_path):
    """Of two recordings of 4 s and 6 s, and where each begins when they are played one after another."""
    for name, seconds in (("dawn", 4), ("dusk", 6)):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(seconds * 32_000), 32_000)
    dawn, dusk = tmp_path / "dawn.wav", tmp_path / "dusk.wav"
    found = [
        Event(dawn, "ash", 0.5, 1.25, 0.9),
        Event(dawn, "=birch", 1.0, 4.0, 0.6),
        Event(dusk, "ash", 2.0, 3.0, 0.7),
    ]
    return found, [0.0, 0.0, 4.0]


@pytest.mark.parametrize("name", ["events.txt", "events.csv"])
def test_a_table_is_read_back_as_labelled_clips(events, tmp_path, name):
    write(tmp_path / name, *events, 16_000.0)
    clips = read_recordings(tmp_path / name).clips
    found = [(c.path.name, c.label.lstrip("'"), c.start_s, c.end_s) for c in clips]
    assert found == [(e.file.name, e.label, e.onset_s, e.offset_s) for e in events[0]]


def test_raven_gets_its_columns(events, tmp_path):
    write(tmp_path / "events.txt", *events, 16_000.0)
    table = pd.read_csv(tmp_path / "events.txt", sep="\t")
    assert list(table.columns[:7]) == [
        *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)")
    ]
    assert table["Selection"].tolist() == [1, 2, 3] and set(table["View"]) == {"Spectrogram 1"}
    assert table["Begin Time (s)"].tolist() == [0.5, 1.0, 6.0]  # the second recording begins at 4 s
    assert table["File Offset (s)"].tolist() == [0.5, 1.0, 2.0]
    assert (table["High Freq (Hz)"] == 16_000).all() and table["Score"].tolist() == [0.9, 0.6, 0.7]


def test_crowsetta_opens_it(events, tmp_path):
    crowsetta = pytest.importorskip("crowsetta")
    write(tmp_path / "events.txt", *events, 16_000.0)
    boxes = crowsetta.formats.by_name("raven").from_file(tmp_path / "events.txt", annot_col="Annotation").to_bbox()
    assert [(b.onset, b.offset, b.label) for b in boxes] == [
        (0.5, 1.25, "ash"),
        (1.0, 4.0, "=birch"),
        (6.0, 7.0, "ash"),
    ]


# --- from recordings ---


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """(a run of one fold, two recordings)."""
    folder = tmp_path_factory.mktemp("detector")
    torch.manual_seed(0)
    model = members.assemble(members.get(SED), 2)
    with torch.no_grad():
        for _ in range(4):
            model.train()(torch.tensor([0.5, 0.1, 0.01, 0.0])[:, None] * torch.randn(4, 160_000))
        torch.nn.init.normal_(model.network.detector.classes.weight, std=0.3)
    checkpoint.save(
        folder / "run" / "fold0" / "best", model.network, checkpoint.Description(SED, LABELS, "sigmoid", fold=0)
    )
    (folder / "audio").mkdir()
    for i, seconds in enumerate((7.0, 3.1)):
        sounds = [("clicks", 0.5, 2.0), ("tones", 1.5, 3.0)]
        soundfile.write(folder / "audio" / f"r{i}.wav", textures.recording(sounds, seconds, i), 32_000)
    return folder / "run", folder / "audio"


def test_events_lie_in_their_recording(detector, tmp_path):
    found = find_events(*detector, tmp_path / "a.csv", threshold=0.05)
    assert found.frame_s == 5.0 / 16 and len(found.table) > 1
    table = pd.read_csv(tmp_path / "a.csv")
    assert list(table.columns) == ["label", "onset_s", "offset_s", "score", "notated_path"]
    ends = table.groupby("notated_path")["offset_s"].max().to_list()
    assert ends[0] <= 7.0 and ends[1] <= 3.1 and (table["onset_s"] < table["offset_s"]).all()


def test_scores_that_never_fall_are_told(detector, tmp_path):
    lines: list[str] = []
    soundfile.write(tmp_path / "long.wav", np.random.default_rng(0).normal(0, 0.1, 20 * 32_000), 32_000)
    found = find_events(detector[0], tmp_path / "long.wav", tmp_path / "a.csv", threshold=1e-6, log=lines.append)
    assert (found.table["offset_s"] - found.table["onset_s"]).tolist() == [20.0, 20.0]
    (said,) = [line for line in lines if line.startswith("warning: ")]
    assert said.startswith("warning: 2 of 2 events last as long as the recording (") and "--loss ce" in said


def test_the_command_writes_a_raven_table(detector, tmp_path):
    run, audio = detector
    done = CliRunner().invoke(app, ["events", str(run), str(audio), "-o", str(tmp_path / "e.txt"), "--gap", "0.5"])
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'e.txt'}: " in done.output and "in 2 soundscapes, to 0.312 s" in done.output
    assert "Begin Time (s)" in (tmp_path / "e.txt").read_text()


def test_a_model_without_frames_says_it_a_window_at_a_time(detector, tmp_path):
    labels = tmp_path / "labels.txt"
    import onnxruntime

    width = next(n.shape[1] for n in onnxruntime.InferenceSession(WREN).get_outputs() if n.name == "label")
    labels.write_text("\n".join(f"species {i}" for i in range(width)))
    said = []
    found = find_events(
        WREN, detector[1], tmp_path / "w.csv", labels=labels, activation="softmax", threshold=0.02, log=said.append
    )
    assert said == ["the model has no frames: events begin and end with its windows of 5 s"] and len(found.table)
    assert set(found.table["onset_s"]) <= {0.0, 5.0} and set(found.table["offset_s"]) <= {3.1, 5.0, 7.0}


def test_faults_are_one_line_and_lose_nothing(detector, tmp_path):
    run, audio = detector
    with pytest.raises(InputError, match=r"e.xlsx: expected a name that ends in .txt or .tsv \(a Raven"):
        find_events(run, audio, tmp_path / "e.xlsx")
    (tmp_path / "e.txt").write_text("mine")
    with pytest.raises(InputError, match=r"e.txt: exists"):
        find_events(run, audio, tmp_path / "e.txt")
    assert (tmp_path / "e.txt").read_text() == "mine"
    with pytest.raises(InputError, match="no such file or folder, expected a folder of soundscapes or a file"):
        find_events(run, tmp_path / "no", tmp_path / "f.txt")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.wav").write_text("no audio")
    with pytest.raises(InputError, match="none of the 1 soundscapes can be used"):
        find_events(run, tmp_path / "bad", tmp_path / "f.txt")
    soundfile.write(tmp_path / "bad" / "b.wav", textures.recording([], 1.0, 0), 32_000)
    said = []
    found = find_events(run, tmp_path / "bad", tmp_path / "f.txt", threshold=0.99, log=said.append)
    assert [one.file for one in found.skipped] == ["a.wav"] and len(said) == 1 and "1 file left out" in str(found)
    assert len(pd.read_csv(tmp_path / "f.txt", sep="\t")) == len(found.table)


@pytest.mark.slow
def test_a_trained_detector_finds_events_where_they_are(tmp_path):
    recordings = textures.read(textures.write(tmp_path / "audio", 12))
    recipe = {"epochs": 12, "batch_size": 4, "learning_rate": 3e-3, "augment": Augment.none()}
    settings = Settings(members.get(SED).recipe, folds=3, device="cpu", threads=1).with_recipe(**recipe)
    train(SED, recordings, tmp_path / "run", settings)
    truth = [("clicks", 1.0, 3.5), ("sweeps", 11.0, 13.5)]  # as small a network is less sure of steady tones
    (tmp_path / "new").mkdir()
    soundfile.write(tmp_path / "new" / "r.wav", textures.recording(truth, 15.0, 77), 32_000)
    # on another number of cores the same training ends elsewhere: single clicks, up to a second apart, are one event
    table = find_events(tmp_path / "run", tmp_path / "new", tmp_path / "e.csv", gap_s=1.2).table
    for kind, onset, offset in truth:
        own = table[table["label"] == kind].sort_values("score").iloc[-1]
        overlap = min(own["offset_s"], offset) - max(own["onset_s"], onset)
        union = max(own["offset_s"], offset) - min(own["onset_s"], onset)
        assert overlap / union > 0.4, (kind, table.to_string())
