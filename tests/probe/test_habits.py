"""What a person expects of any command: help, version, quiet, JSON, narrow tables, a word after Ctrl-C."""

import io
import json
import shlex
import sys
import threading

import pandas as pd
import pytest
import soundfile
import typer

import birdprobe as bp
from birdprobe.analysis.postprocess import effects
from birdprobe.features import InputError, progress
from birdprobe.features.recordings import read_recordings
from birdprobe.probe.cli.app import app
from birdprobe.probe.cli.command import command
from birdprobe.probe.cli.examples import EXAMPLES
from birdprobe.probe.cli.terminal import print_table
from birdprobe.probe.sweep.data import read_data
from birdprobe.probe.sweep.published_answer import Answer
from birdprobe.probe.sweep.run_folder import short_ranking
from birdprobe.probe.sweep.settings import Settings
from tests.probe.test_cli import GROUPS, OPTIONS, birdprobe, one_line
from tests.test_readme import commands
from tests.tiny import tiny_backbone, tiny_dataset


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("habits")
    tiny_backbone(folder / "tiny.onnx")
    tiny_dataset(folder / "audio")
    return folder


@pytest.fixture(scope="module")
def swept(place):
    settings = (*OPTIONS, *GROUPS, "--no-timing", "--json", "--quiet")
    return birdprobe("sweep", place / "tiny.onnx", place / "audio", "-o", place / "run", *settings)


def test_version_and_short_help():
    assert birdprobe("--version").stdout.startswith("birdprobe 0.")
    assert "Usage" in birdprobe("-h").stdout and "--show-completion" in birdprobe("-h").stdout
    assert "Examples:" in birdprobe("sweep", "-h").stdout


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_ends_its_help_with_examples_that_can_be_typed(name):
    root = typer.main.get_command(app)
    for line in EXAMPLES[name]:
        words = shlex.split(line)
        found = root
        for word in name.split():
            found = found.commands[word]
        with found.make_context(name, words) as context:  # a usage error would be raised here
            assert context.params["quiet"] is False
    assert "Examples:" in found.epilog


@pytest.mark.parametrize("name", ["sweep", "extract", "train", "finetune", "predict", "blend"])
def test_many_options_stand_in_panels(name):
    found = dict(commands())[name]
    panels = {getattr(parameter, "rich_help_panel", None) for parameter in found.params}
    assert len(panels) >= 3, panels


def test_a_quiet_sweep_says_nothing_on_the_way_and_json_is_all_it_prints(swept, place):
    assert swept.returncode == 0
    assert all(line.startswith("warning: ") for line in swept.stderr.splitlines()), swept.stderr
    found = json.loads(swept.stdout)
    assert [row["tap"] for row in found["ranking"]] == list(pd.read_csv(place / "run" / "ranking.csv")["tap"])
    assert found["ranking"][0]["ms_per_window"] is None
    assert found["answer"] == json.loads((place / "run" / "answer.json").read_text())


def test_store_info_as_json(swept, place):
    found = json.loads(birdprobe("store", "info", place / "run" / "features.h5", "--json").stdout)
    assert (found["clips"], found["labels"], found["complete"]) == (18, 3, True)
    assert found["taps"]["embedding"] == [16] and found["key"]["sample_rate"] == 8000


def test_the_ranking_fits_80_columns(swept, place, capsys):
    ranking = pd.read_csv(place / "run" / "ranking.csv").assign(ms_per_window=123.4)
    ranking["tap"] = ["block_00/mean", *ranking["tap"].iloc[1:]]
    print_table(short_ranking(ranking, 5))
    lines = capsys.readouterr().out.splitlines()
    assert lines[6].startswith("logits") and max(map(len, lines)) <= 80
    told = " ".join(lines[7:])
    assert (
        "Euclidean 5-NN is one read-out of several, ridge (`linear`) another" in told and "p is each row's own" in told
    )


def test_long_names_of_taps_are_cut_in_the_middle_and_rows_stay_whole(swept, place, capsys):
    ranking = pd.read_csv(place / "run" / "ranking.csv").assign(ms_per_window=123.4)
    for name in ("block_{:02d}/grid:4x2", "a_model_of_somebody_else/block_{:02d}", "{:02d}-of-a-model-with-a-name"):
        ranking["tap"] = [name.format(i) for i in range(len(ranking))]
        print_table(short_ranking(ranking, 5), cut="tap")
        lines = capsys.readouterr().out.splitlines()[1 : 1 + len(ranking)]
        assert max(map(len, lines)) <= 80
        assert all(f"{i:02d}" in line.split()[0] and line.rstrip().endswith("123.4") for i, line in enumerate(lines))


def test_ctrl_c_says_what_is_kept(capsys):
    def stop(output: str = "x.csv") -> None:
        raise KeyboardInterrupt

    for name, words in (("sweep", "goes on from there"), ("score", "x.csv is as it was before")):
        small = typer.Typer()
        small.command()(command(name, stop))
        with pytest.raises(SystemExit) as ended:
            small([])
        assert ended.value.code == 130
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and said[0].startswith("birdprobe: stopped. ") and words in said[0]


def test_mistakes_are_told_before_the_model_is_opened(place, tmp_path):
    """The model is not even there."""
    sweep = ("sweep", place / "none.onnx", place / "audio", "-o", tmp_path / "run", *GROUPS)
    assert "k = 13, but only 12 training rows are left" in one_line(birdprobe(*sweep, "--k", "13", "--folds", "3"))
    assert "`--pool` must be one of mean" in one_line(birdprobe(*sweep, "--pool", "middle"))
    predict = ("predict", place / "none.onnx", tmp_path / "sounds", "-o", tmp_path / "out.csv")
    assert "sounds: no such file or folder, expected a folder of soundscapes" in one_line(birdprobe(*predict))
    (tmp_path / "sounds").mkdir()
    assert "taxonomy.csv: " in one_line(birdprobe(*predict, "--taxonomy", tmp_path / "taxonomy.csv"))
    with pytest.raises(InputError, match="only 12 training rows"):
        read_data(place / "audio", None, Settings(k=13, folds=3, group_regex=GROUPS[1]))


def test_a_log_gets_lines_where_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    with progress.Progress("training", 1200, "steps") as bar:
        bar.advance(1100)
    with progress.Progress("training", 5, "steps", wanted=False) as bar:
        bar.advance()
    assert capsys.readouterr().err == "training: 1,100 of 1,200 steps, 0 s\n"


def test_a_notebook_gets_one_line_that_is_written_over(monkeypatch):
    Stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})  # as a notebook's stderr is
    monkeypatch.setattr(progress, "REDRAW_S", 0.0)
    monkeypatch.setattr(sys, "stderr", Stream())
    with progress.Progress("ranking", 10, "taps") as bar:
        bar.advance(9)
        bar.advance()
    states = sys.stderr.getvalue().split("\r")
    assert states[1:3] == ["ranking: 9 of 10 taps, 0 s", "ranking: 10 of 10 taps, 0 s"]
    assert "\n" not in sys.stderr.getvalue() and not states[-2].strip() and len(states[-2]) == len(states[2])


def test_a_call_from_python_tells_what_its_command_does(place, tmp_path, capsys):
    heard, given = [], (place / "tiny.onnx", tmp_path / "random.onnx")
    bp.randomise(*given)
    assert capsys.readouterr().err == f"opening {given[0]}\n"
    bp.randomise(*given, overwrite=True, progress=False)
    bp.randomise(*given, overwrite=True, log=heard.append)
    assert capsys.readouterr().err == "" and heard == [f"opening {given[0]}"]
    progress.listener(None, progress=False)("warning: 3 recordings are left out")
    assert capsys.readouterr().err == "warning: 3 recordings are left out\n"


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [
        ((1.0, 1.0, 1.0), "A linear probe reads block_01 and the final embedding equally well: 1.000, and no tap better."),
        ((1.0, 0.9, 1.0), "A linear probe puts the final embedding first, level with others: 1.000, against 0.900 at block_01."),
        ((1.0, 0.9, 0.8), "A linear probe puts block_03 first: 1.000, against 0.900 at block_01 and 0.800 at the final embedding."),
    ],
)  # fmt: skip
def test_ties_are_called_ties(scores, wanted):
    best, at_best, reference = scores
    numbers = dict.fromkeys(
        ("knn", "knn_lo", "knn_hi", "reference_knn", "difference", "lo", "hi", "p", "p_adjusted"), 0.5
    )
    answer = Answer(
        best="block_01", reference="embedding", cost_share=1.0, tied=(), chance=0.1, linear_best="block_03",
        linear_best_score=best, linear_at_best=at_best, linear_reference=reference, **numbers,
    )  # fmt: skip
    assert answer.remark == wanted


def competition(folder, tmp_path):
    """The tiny clips as a competition whose taxonomy knows a class more, in an order of its own."""
    rows = []
    for clip in sorted(folder.rglob("*.wav")):
        place = tmp_path / "train_audio" / clip.parent.name
        place.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / clip.name, *soundfile.read(clip))
        rows.append((clip.parent.name, f"{clip.parent.name}/{clip.name}", clip.name.split("-")[0]))
    pd.DataFrame(rows, columns=["primary_label", "filename", "author"]).to_csv(tmp_path / "train.csv", index=False)
    classes = ["species 2", "never heard", "species 0", "species 1"]
    pd.DataFrame({"primary_label": classes}).to_csv(tmp_path / "taxonomy.csv", index=False)
    return classes


def test_a_taxonomy_travels_with_its_store_to_the_heads(place, tmp_path):
    pytest.importorskip("torch")
    classes = competition(place / "audio", tmp_path)
    assert list(read_recordings(tmp_path).classes) == classes
    rate = ("--sample-rate", "8000", "--window", "1")
    for args in (
        ("extract", place / "tiny.onnx", tmp_path, "-o", tmp_path / "f.h5", *rate, "--taps", "embedding"),
        ("train", tmp_path / "f.h5", "-o", tmp_path / "heads", "--head", "linear:embedding", "--folds", 3, "--epochs", 2),
        ("predict", tmp_path / "heads", tmp_path / "train_audio" / "species 0", "-o", tmp_path / "out.csv"),
    ):  # fmt: skip
        done = birdprobe(*args)
        assert done.returncode == 0, done.stderr
    assert list(pd.read_csv(tmp_path / "out.csv").columns) == ["row_id", *classes]


def test_a_taxonomy_that_lacks_a_label_is_left_behind(place, tmp_path):
    competition(place / "audio", tmp_path)
    (tmp_path / "taxonomy.csv").write_text("primary_label\nspecies 1\n")
    found = read_recordings(tmp_path)
    assert found.classes is None and any("taxonomy.csv does not have" in line for line in found.warnings)


def test_no_word_of_the_table_of_steps_is_broken_at_80_columns(capsys):
    names = ["taxonomic 0.15/0.05", "site/hour prior, laplace 0.5", "no-call window < 0.05: x 0.5"]
    numbers = {"rows_changed": 7200, "values": 1_684_800, "values_changed": 1_684_800, "ranks_changed": 1_084_800}
    gain = {"auc_before": 0.7, "auc_after": 0.8, "gain": 0.0429, "gain_lo": -0.1154, "gain_hi": 0.1169}
    table = effects.table([effects.Effect(name, 7200, 7200, **numbers, **gain) for name in names])
    print_table(table)
    lines = capsys.readouterr().out.splitlines()
    rows = ([column.title for column in table.columns], *table.cells())
    assert max(map(len, lines)) <= 80
    assert sorted(" ".join(lines).split()) == sorted(word for row in rows for cell in row for word in cell.split())


def test_work_without_steps_says_that_it_goes_on(monkeypatch):
    monkeypatch.setattr(progress, "BEAT_S", 0.01)
    heard, twice = [], threading.Event()

    def say(line):
        heard.append(line)
        if len(heard) == 2:
            twice.set()

    with progress.working("exporting", say):
        assert twice.wait(60)
    said = len(heard)
    assert all(line.startswith("exporting: ") and line.endswith(" s") for line in heard)
    assert not [thread for thread in threading.enumerate() if thread.name == "working"] and len(heard) == said
