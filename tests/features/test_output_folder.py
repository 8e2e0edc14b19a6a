import json

import pytest

from birdprobe.features import InputError, output_folder
from birdprobe.features.files import write_json
from birdprobe.features.locks import Lock
from birdprobe.features.output_folder import Kind, OutputFolder, adding

KIND = Kind("sweep", "a finished run", ("table.csv", "figures/*.png"), ("answer",), kept=("features.h5",))


def write(folder, text="new", names=("table.csv", "figures/depth.png")):
    with OutputFolder(folder, KIND).replacing() as draft:
        for name in names:
            (draft / name).parent.mkdir(exist_ok=True)
            (draft / name).write_text(text)
        write_json(draft / "config.json", {"answer": text})


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(tmp_path):
    write(tmp_path / "run", "old")
    return tmp_path / "run"


def test_results_say_whose_they_are_and_list_their_files(run):
    index = json.loads((run / "config.json").read_text())
    assert index == {"format": "birdprobe/sweep", "answer": "old", "files": ["figures/depth.png", "table.csv"]}
    assert sorted(tree(run)) == ["config.json", "figures/depth.png", "table.csv"]


def test_finished_results_are_replaced_only_when_told(run):
    with pytest.raises(InputError, match="--overwrite"):
        OutputFolder(run, KIND).check(overwrite=False)
    OutputFolder(run, KIND).check(overwrite=True)
    (run / "figures" / "thesis.png").write_text("theirs")
    write(run, names=("table.csv",))
    assert tree(run).keys() == {"config.json", "table.csv", "figures/thesis.png"}
    assert (run / "table.csv").read_text() == "new" and (run / "figures" / "thesis.png").read_text() == "theirs"


@pytest.mark.parametrize("name", ["table.csv", "figures/thesis.png"])
def test_files_of_others_in_our_places_are_never_replaced(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("theirs")
    with pytest.raises(InputError, match="never replaced"):
        OutputFolder(tmp_path, KIND).check(overwrite=True, planned=["figures/thesis.png"])
    with pytest.raises(InputError, match="never replaced"):
        write(tmp_path, names=(name,))
    assert tree(tmp_path) == {name: b"theirs"}


def test_other_files_are_left_alone_and_asked_about(tmp_path):
    (tmp_path / "notes.txt").write_text("theirs")
    with pytest.raises(InputError, match=r"notes\.txt"):
        OutputFolder(tmp_path, KIND).check(overwrite=False)
    OutputFolder(tmp_path, KIND).check(overwrite=True)
    write(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "theirs"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "content", ["[]", "{", '{"other": 1}', '{"format": "birdprobe/heads"}', "[" * 9000, '{"format": 3}']
)
def test_an_index_that_is_not_ours_is_refused(tmp_path, overwrite, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match="is lost"):
        OutputFolder(tmp_path, KIND).check(overwrite)
    with pytest.raises(InputError):
        write(tmp_path)
    assert tree(tmp_path) == {"config.json": content.encode()}


def test_runs_of_the_first_edition_stay_replaceable(tmp_path):
    (tmp_path / "config.json").write_text('{"answer": 1}')
    for name in ("table.csv", "notes.csv"):
        (tmp_path / name).write_text("old")
    OutputFolder(tmp_path, KIND).check(overwrite=True)
    write(tmp_path, names=())
    assert tree(tmp_path).keys() == {"config.json", "notes.csv"}


def test_nothing_is_written_or_removed_through_links(run, tmp_path):
    theirs = tmp_path / "theirs"
    (run / "figures").rename(theirs)
    (run / "figures").symlink_to(theirs)
    with pytest.raises(InputError, match="symbolic link"):
        OutputFolder(run, KIND).check(overwrite=True, planned=["figures/depth.png"])
    with pytest.raises(InputError, match="symbolic link"):
        write(run)
    with pytest.raises(InputError, match="symbolic link"), adding(run) as draft:
        (draft / "figures").mkdir()
        (draft / "figures" / "depth.png").write_text("new")
    assert (theirs / "depth.png").read_text() == "old" and (run / "table.csv").read_text() == "old"


def test_a_list_that_leads_out_of_the_folder_is_not_followed(run, tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    index = json.loads((run / "config.json").read_text())
    write_json(run / "config.json", index | {"files": ["../theirs", str(tmp_path / "theirs"), 3, "", "table.csv"]})
    write(run, names=("table.csv",))
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_a_failure_before_the_end_leaves_everything(run):
    before = tree(run)
    with pytest.raises(RuntimeError), OutputFolder(run, KIND).replacing() as draft:
        (draft / "table.csv").write_text("half")
        raise RuntimeError
    assert tree(run) == before


@pytest.mark.parametrize("fails_at", range(5))
def test_a_failure_while_files_change_places_leaves_everything(run, monkeypatch, fails_at):
    before, calls = tree(run), iter(range(99))
    plain = output_folder.Path.replace

    def replace(self, target):
        if "config.json" not in (self.name, target.name) and not self.name.startswith(".") and next(calls) == fails_at:
            raise OSError(28, "No space left on device", str(self))
        return plain(self, target)

    monkeypatch.setattr(output_folder.Path, "replace", replace)
    if fails_at < 4:
        with pytest.raises(InputError, match="no space left"):
            write(run)
        assert tree(run) == before
    else:
        write(run)  # two files moved away, two moved in
        assert (run / "table.csv").read_text() == "new"


def test_a_folder_that_was_not_there_is_gone_after_a_failure(tmp_path):
    with pytest.raises(RuntimeError), OutputFolder(tmp_path / "run", KIND).replacing():
        raise RuntimeError
    assert not (tmp_path / "run").exists()


def test_an_interrupted_move_leaves_no_empty_folders(tmp_path, monkeypatch):
    (tmp_path / "draft" / "deep").mkdir(parents=True)
    (tmp_path / "draft" / "deep" / "a").write_text("new")
    (tmp_path / "draft" / "b").write_text("new")
    plain = output_folder.Path.replace

    def replace(self, target):
        plain(self, target)
        if target.parent.name == "run" and self.name == "b":
            raise KeyboardInterrupt  # after the move, before it is noted anywhere

    before = tree(tmp_path)
    monkeypatch.setattr(output_folder.Path, "replace", replace)
    moves = [(tmp_path / "draft" / name, tmp_path / "run" / name) for name in ("deep/a", "b")]
    with pytest.raises(KeyboardInterrupt):
        output_folder._move(moves)
    assert tree(tmp_path) == before and not (tmp_path / "run").exists()


def test_what_a_killed_run_left_is_ours(run):
    index = json.loads((run / "config.json").read_text())
    write_json(run / "config.json", {"format": index["format"], "unfinished": True, "files": index["files"]})
    (run / ".unfinished-abc").mkdir()
    OutputFolder(run, KIND).check(overwrite=False)
    write(run)
    assert sorted(path.name for path in run.iterdir()) == ["config.json", "figures", "table.csv"]


def test_what_a_run_killed_behind_its_results_left_is_removed(run):
    before = tree(run)
    (run / ".unfinished-abc").mkdir()
    (run / ".results.lock").touch()
    with pytest.raises(InputError, match="--overwrite"):
        OutputFolder(run, KIND).check(overwrite=False)
    assert tree(run) == before and not (run / ".unfinished-abc").exists()
    with Lock(run / "results"):  # of one at work: it stays, and so does the refusal
        with pytest.raises(InputError, match="--overwrite"):
            OutputFolder(run, KIND).check(overwrite=False)
        assert (run / ".results.lock").exists()


def test_added_files_are_listed_and_others_are_not_replaced(run):
    for _ in range(2):
        with adding(run) as draft:
            (draft / "report.html").write_text("report")
    assert json.loads((run / "config.json").read_text())["files"] == ["figures/depth.png", "report.html", "table.csv"]
    (run / "mine.html").write_text("theirs")
    with pytest.raises(InputError, match="never replaced"), adding(run) as draft:
        (draft / "mine.html").write_text("ours")
    assert (run / "mine.html").read_text() == "theirs"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "a").write_text("theirs")
    for name in ("a", "a/b"):
        with pytest.raises(InputError, match=r"got a file|a file stands where"):
            OutputFolder(tmp_path / name, KIND).check(overwrite=True)
