"""`birdprobe demo --competition`: what it says it wrote is there, and the commands it names go on from it."""

import csv
import shlex

import pytest

from birdprobe.features.store import FeatureStore
from tests.probe.test_cli import birdprobe, one_line

SIZE = ("--species", 6, "--clips", 5, "--soundscapes", 1)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "a competition"
    done = birdprobe("demo", "--competition", folder, *SIZE)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_it_tells_what_it_wrote(written):
    folder, told = written
    focal, soundscapes = list(folder.glob("train_audio/*/*.ogg")), list(folder.glob("train_soundscapes/*.ogg"))
    with (folder / "train_soundscapes_labels.csv").open() as file:
        windows = {tuple(row.values()) for row in csv.DictReader(file)}
    species = len({path.parent for path in focal})
    assert len(focal) == 5 * species and len(soundscapes) == 2 and len(list(folder.glob("test_soundscapes/*"))) == 1
    assert f"{len(focal)} focal clips of {species} of the 6 species" in told
    assert f"1 labelled ({len(windows)} windows), 1 unlabelled" in told
    assert (folder / "truth" / "truth.csv").is_file() and str(folder / "truth" / "truth.csv") in told


def test_the_next_commands_go_on_from_it(written, tmp_path):
    _, told = written
    commands = [shlex.split(line) for line in told.splitlines() if line.startswith("  birdprobe ")]
    assert [command[1] for command in commands] == [
        "sweep",
        "extract",
        "extract",
        "train",
        "predict",
        "blend",
    ]  # the last three: test_last_mile
    for name, command in zip(("focal", "soundscapes"), commands[1:]):
        store = tmp_path / f"{name}.h5"
        command[command.index("-o") + 1] = store
        done = birdprobe(*command[1:], "--taps", "embedding")
        assert done.returncode == 0, done.stderr
    with FeatureStore.open(tmp_path / "soundscapes.h5") as store:
        rows = store.rows()
    assert list(rows["group"].unique()) == ["S01"] and rows["labels"].str.contains(";").any()
    assert (rows["end_s"] - rows["start_s"] == 5).all()


def test_nothing_is_replaced_unasked(written, tmp_path):
    folder, _ = written
    assert "--overwrite" in one_line(birdprobe("demo", "--competition", folder, *SIZE))
    (tmp_path / "thesis.txt").write_text("mine")
    line = one_line(birdprobe("demo", "--competition", tmp_path, *SIZE))
    assert "got other files (thesis.txt). With --overwrite they stay where they are." in line
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_soundscapes_belong_to_a_competition(tmp_path):
    line = one_line(birdprobe("demo", "-o", tmp_path / "run", "--soundscapes", 3))
    assert "--soundscapes 3: wanted together with --competition" in line
    assert not (tmp_path / "run").exists()
