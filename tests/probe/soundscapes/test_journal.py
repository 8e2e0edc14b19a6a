"""Predictions that survive a kill: bit for bit, without half lines, refused when they are of something else."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdprobe.features import InputError
from birdprobe.probe.soundscapes.journal import Entry, Journal, read

HEADER = {"identity": "abc", "labels": ["x", "y", "Épervier"], "row_s": 5.0, "shifts": [0.0], "files": {"a": 1, "b": 2}}


def entry(seed: int, n_rows: int = 4) -> Entry:
    return Entry(np.random.default_rng(seed).random((n_rows, 3)).astype(np.float32), 60.0)


def same(found, wanted) -> bool:
    return found.keys() == wanted.keys() and all(
        np.array_equal(found[k].probabilities, wanted[k].probabilities) and found[k].audio_s == wanted[k].audio_s
        for k in found
    )


def test_what_was_added_is_there_again(tmp_path):
    path = tmp_path / "deep" / "out.csv.part"
    with Journal.open(path, HEADER) as journal:
        journal.add("a", entry(1))
    with Journal.open(path, HEADER) as journal:
        assert same(journal.entries, {"a": entry(1)})
        journal.add("b", entry(2, 0))
        journal.writes("feed")
        kept = dict(journal.entries)
    header, entries, written, size = read(path)
    assert header["identity"] == "abc" and same(entries, kept) and written == {"feed"} and size == path.stat().st_size
    with Journal.open(path, HEADER) as journal:
        journal.remove()
    assert not path.exists()


@settings(deadline=None, max_examples=60)
@given(cut=st.floats(0, 1))
def test_cut_anywhere_it_goes_on_with_whole_files(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "out.csv.part"
    wanted = {"a": entry(1), "b": entry(2)}
    with Journal.open(path, HEADER) as journal:
        for stem, one in wanted.items():
            journal.add(stem, one)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut * len(whole))])
    with Journal.open(path, HEADER) as journal:
        there = dict(journal.entries)
        assert same(there, {stem: wanted[stem] for stem in there})
        for stem in wanted.keys() - there.keys():
            journal.add(stem, wanted[stem])
    assert same(read(path)[1], wanted)
    assert sorted(path.read_bytes()) == sorted(whole)  # the same lines, perhaps in another order


def test_a_flipped_bit_costs_the_file_and_those_behind(tmp_path):
    path = tmp_path / "p"
    with Journal.open(path, HEADER) as journal:
        journal.add("a", entry(1))
        journal.add("b", entry(2))
    lines = path.read_bytes().splitlines(keepends=True)
    record = json.loads(lines[2])
    record["values"] = ("A" if record["values"][0] != "A" else "B") + record["values"][1:]
    path.write_bytes(lines[0] + lines[1] + json.dumps(record).encode() + b"\n")
    with Journal.open(path, HEADER) as journal:
        assert set(journal.entries) == {"a"}
    assert path.read_bytes() == lines[0] + lines[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"identity": "def"}, 'identity "abc", "def" wanted'),
        ({"row_s": 2.5}, "row_s 5.0, 2.5 wanted"),
        ({"shifts": [0.0, 1.0]}, r"shifts \[0.0\], \[0.0, 1.0\] wanted"),
        ({"files": {"a": 1, "b": 3}}, "other files .1 came, went or changed, the first b"),
        ({"files": {"a": 1, "b": 2, "c": 3}}, "the first c"),
        ({"labels": ["x"]}, "labels .* wanted"),
    ],
)
def test_another_command_is_refused_by_its_field(tmp_path, change, words):
    path = tmp_path / "p"
    with Journal.open(path, HEADER) as journal:
        journal.add("a", entry(1))
    before = path.read_bytes()
    with pytest.raises(InputError, match=words):
        Journal.open(path, HEADER | change)
    assert path.read_bytes() == before
    with Journal.open(path, HEADER | change, overwrite=True) as journal:
        assert not journal.entries


@pytest.mark.parametrize("content", [b"mine\n", b'{"format": "another"}\n', b"\x00\x01"])
def test_somebody_elses_file_is_never_touched(tmp_path, content):
    path = tmp_path / "p"
    path.write_bytes(content)
    for overwrite in (False, True):
        with pytest.raises(InputError, match="something else found"):
            Journal.open(path, HEADER, overwrite)
    assert path.read_bytes() == content
