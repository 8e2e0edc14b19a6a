import errno
import hashlib
import json
import os
import stat
import subprocess
import sys

import pytest

from birdprobe.features import InputError, drafts, files, locks
from birdprobe.features.files import check_new, replacing, write_json, write_text
from birdprobe.features.locks import Lock, Locked


def test_hashes_are_those_of_hashlib(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(os.urandom(2 * files.CHUNK + 7))
    assert files.sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match="cannot be read"):
        files.sha256(tmp_path / "nothing")


def test_text_and_json_come_back_and_leave_nothing_beside(tmp_path):
    write_text(tmp_path / "deep" / "a.txt", "é\r\n")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == "é\r\n".encode()
    write_json(tmp_path / "deep" / "a.json", {"b": ["é"]})
    assert json.loads((tmp_path / "deep" / "a.json").read_text()) == {"b": ["é"]}
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["a.json", "a.txt"]


def test_the_temporary_file_keeps_the_suffix_and_its_name_cannot_be_foreseen(tmp_path):
    with replacing(tmp_path / "a.npz") as one, replacing(tmp_path / "a.npz") as other:
        assert one != other and one.suffix == other.suffix == ".npz" and one.parent == tmp_path


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as fresh:
        fresh.write_text("half")
        raise RuntimeError
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a.csv", "old")]


def test_modes_are_kept_and_new_files_get_the_usual_one(tmp_path):
    path, plain = tmp_path / "a", tmp_path / "plain"
    plain.write_text("")
    write_text(path, "")
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    write_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "ours").symlink_to(tmp_path / "theirs")
    write_text(tmp_path / "ours", "ours")
    assert (tmp_path / "theirs").read_text() == "theirs" and not (tmp_path / "ours").is_symlink()


def test_a_link_under_the_temporary_name_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "theirs").write_text("theirs")
    monkeypatch.setattr(drafts.secrets, "token_hex", lambda n: "known")
    link = tmp_path / f".a.{drafts.machine()}-{os.getpid()}-known.txt"
    link.symlink_to(tmp_path / "theirs")
    with pytest.raises(InputError):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "theirs").read_text() == "theirs" and link.is_symlink()


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    digits = "0123456789abcdef"
    names = {
        "dead": f".a.{drafts.machine()}-{gone.pid}-{digits}.txt",
        "alive": f".a.{drafts.machine()}-{os.getpid()}-{digits}.txt",
        "elsewhere": f".a.00000000-{gone.pid}-{digits}.txt",
        "theirs": f".a.{drafts.machine()}-{gone.pid}-notes.txt",
    }
    for name in names.values():
        (tmp_path / name).write_text("")
    (tmp_path / names["dead"].replace(digits, digits[::-1])).mkdir()  # a draft folder
    write_text(tmp_path / "a.txt", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", *names.values()} - {names["dead"]}


@pytest.mark.parametrize(
    ("name", "words"),
    [("folder", "got a folder"), ("file/a", "parent folder"), ("n" * 300, "too long")],
)
def test_names_that_cannot_be_written_are_one_line(tmp_path, name, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    for attempt in (lambda path: check_new(path, True), lambda path: write_text(path, "x")):
        with pytest.raises(InputError, match="is lost") as told:
            attempt(tmp_path / name)
        assert words in str(told.value) or "folder must be" in str(told.value)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with (
        pytest.raises(InputError, match=r"no space left on the disk\. Nothing that was there is lost"),
        replacing(path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [one.name for one in tmp_path.iterdir()] == ["a"] and path.read_text() == "old"


def test_an_error_about_another_file_keeps_its_traceback(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a"):
        (tmp_path / "another").read_text()


def test_existing_files_and_links_are_refused_unless_told_otherwise(tmp_path):
    (tmp_path / "a").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("a", "dangling"):
        with pytest.raises(InputError, match="--overwrite"):
            check_new(tmp_path / name, False)
        check_new(tmp_path / name, True)
    check_new(tmp_path / "new" / "deep", False)
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(locks.fcntl is None, reason="no advisory locks on this system")
def test_a_lock_names_its_holder_and_outlives_nobody(tmp_path):
    code = (
        "import sys, time\nfrom birdprobe.features.locks import Lock\n"
        f"with Lock({str(tmp_path / 'a')!r}):\n print('held', flush=True)\n sys.stdin.read()\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Locked, match=f"process {holder.pid} on .*, since 20"), Lock(tmp_path / "a"):
        pass
    holder.kill()
    holder.communicate()
    with Lock(tmp_path / "a"):
        with pytest.raises(Locked, match=f"process {os.getpid()} "), Lock(tmp_path / "a"):
            pass
        with Lock(tmp_path / "b"):
            pass
    assert not list(tmp_path.iterdir())
