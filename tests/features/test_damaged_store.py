"""Stores with one byte or field changed, or made by a stranger: one line, no memory, nothing of others' read."""

import zlib

import h5py
import numpy as np
import pytest

from birdprobe.features import InputError
from birdprobe.features.store import FeatureStore, join
from tests.features.stores import DIMS, KEY, fill, table, values


def changed(path, old: bytes, at: int, new: int):
    data = bytearray(path.read_bytes())
    data[data.find(old) + at] = new
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("new", [0xC5, ord("x"), ord("[")])
def test_a_changed_byte_in_the_row_text_is_one_line(tmp_path, new):
    path = changed(fill(tmp_path / "s.h5", range(3)), b"species 1", 2, new)
    with FeatureStore.open(path) as store:
        for ask in (store.rows, store.done_clips, lambda: store.export(tmp_path / "x.csv")):
            with pytest.raises(InputError, match=r"s\.h5: rows, bytes 0 to \d+: changed since .* --overwrite"):
                ask()
        assert any("changed since" in fault for fault in store.check())
        np.testing.assert_array_equal(store.read("embedding"), values(table(range(3)))["embedding"])  # still readable
    assert not (tmp_path / "x.csv").exists()
    with FeatureStore.open(fill(path, [4], overwrite=True)) as store:
        assert store.check() == []


def forged_counter(file):
    file["committed"][0] = 1 << 40
    file["commits"].resize(1 << 40, axis=0)


def forged_rows(file):
    file["commits"][0, :2] = 1 << 40
    for name in ("rows", "taps/embedding", "taps/block_00"):
        file[name].resize(1 << 40, axis=0)


def replaced(name, value):
    def change(file):
        del file[name]
        if value is not None:
            file[name] = value

    return change


@pytest.mark.parametrize(
    "change",
    [forged_counter, forged_rows]
    + [replaced(name, value) for name in ("key", "rows", "committed", "taps/embedding") for value in (None, 1.5)]
    + [replaced("taps", 3), replaced("committed", np.array([-1, 1])), replaced("committed", np.array([9, 1]))],
)
def test_forged_fields_are_one_line(tmp_path, change):
    path = fill(tmp_path / "s.h5", range(3))
    with h5py.File(path, "r+") as file:
        change(file)
    for mode in "ra":
        with pytest.raises(InputError, match=r"s\.h5: damaged \(.*--overwrite"):
            FeatureStore.open(path, mode)


@pytest.mark.parametrize("name", ["taps/embedding", "rows", "meta"])
@pytest.mark.parametrize("link", [h5py.ExternalLink("../secret.h5", "/x"), h5py.SoftLink("/skipped")])
def test_links_are_refused(tmp_path, name, link):
    path = fill(tmp_path / "s.h5", range(3))
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = link
    with pytest.raises(InputError, match=r"is a link to .* nothing but its own shards"):
        FeatureStore.open(path)


def view_of(name, tap, rows, dims=(2, 4)):
    layout = h5py.VirtualLayout((rows, *dims), "f4")
    layout[:] = h5py.VirtualSource(name, tap, (rows, *dims), "f4")
    return layout


def test_virtual_data_and_raw_files_from_elsewhere_are_refused(tmp_path):
    (tmp_path / "project").mkdir()
    secret = fill(tmp_path / "secret.h5", range(3))
    path = fill(tmp_path / "project" / "s.h5", range(3))
    for name in ("../secret.h5", str(secret)):
        with h5py.File(path, "r+") as file:
            del file["taps/embedding"]
            file.create_virtual_dataset("taps/embedding", view_of(name, "taps/embedding", 6))
        with pytest.raises(InputError, match=r"shows data of .*secret\.h5, outside its folder"):
            FeatureStore.open(path)
    with h5py.File(path, "r+") as file:
        del file["taps/embedding"]
        (tmp_path / "raw").write_bytes(bytes(6 * 8 * 4))
        file.create_dataset("taps/embedding", (6, 2, 4), "f4", external=[(str(tmp_path / "raw"), 0, 6 * 8 * 4)])
    with pytest.raises(InputError, match=r"embedding lies in .*raw"):
        FeatureStore.open(path)


def test_a_shard_that_reaches_out_is_refused(tmp_path):
    folder = tmp_path / "project" / "s.h5.shards"
    fill(tmp_path / "secret.h5", range(3))
    shard = fill(folder / "a.h5", range(3))
    path = join([shard], tmp_path / "project" / "s.h5")
    with h5py.File(shard, "r+") as file:
        del file["taps/embedding"]
        file["taps/embedding"] = h5py.ExternalLink("../../secret.h5", "/taps/embedding")
    with pytest.raises(InputError, match="embedding is a link to"):
        FeatureStore.open(path)
    shard.unlink()
    shard.symlink_to(tmp_path / "secret.h5")
    with pytest.raises(InputError, match="outside its folder"):
        FeatureStore.open(path)
    with pytest.raises(InputError, match="outside its folder"):
        join([tmp_path / "secret.h5"], tmp_path / "project" / "other.h5")


@pytest.mark.parametrize(("old", "new"), [(b'"species 0"', b'{"spec": 0}'), (b'"species 0"', b'[["s", 0]]')])
def test_a_forged_row_of_another_type_is_one_line(tmp_path, old, new):
    path = fill(tmp_path / "s.h5", [0])
    with h5py.File(path, "r+") as file:
        text = file["rows"][:].tobytes().replace(old, new.ljust(len(old)))
        file["rows"][:] = np.frombuffer(text, np.uint8)
        commits = file["commits"][:]
        commits[0, 3] = zlib.crc32(text)
        file["commits"][:] = commits
    with FeatureStore.open(path) as store, pytest.raises(InputError, match=r"rows: unreadable \(label"):
        store.export(tmp_path / "x.npz")
    assert not (tmp_path / "x.npz").exists()


def test_texts_have_their_lengths_and_those_of_the_first_stores_are_read(tmp_path):
    path = fill(tmp_path / "s.h5", range(3))
    assert b"GCOL" not in path.read_bytes()  # HDF5's heap of texts of free length: some damage to it never ends
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = "birdprobe store 1"
        for name in ("key", "meta"):
            text, crc = file[name].asstr()[()], file[name].attrs["crc"]
            del file[name]
            file.create_dataset(name, data=text, dtype=h5py.string_dtype()).attrs["crc"] = crc
    with FeatureStore.open(path) as store:
        assert store.check() == [] and store.meta["versions"]


@pytest.mark.parametrize("forged", [[1, 2], "text", np.zeros((2, 2))])
def test_a_checksum_of_another_kind_is_no_match(tmp_path, forged):
    path = fill(tmp_path / "s.h5", range(3))
    with h5py.File(path, "r+") as file:
        file["meta"].attrs["crc"] = forged
    with FeatureStore.open(path) as store:
        assert not store.provenance_intact()


def test_every_flipped_bit_in_the_data_is_found(tmp_path):
    path = fill(tmp_path / "s.h5", range(40))
    whole = path.read_bytes()
    with FeatureStore.open(path) as store:
        assert store.check() == []
        places = {tap: whole.find(store.read(tap)[5].tobytes()) for tap in store.taps}
    places["rows"] = whole.find(b"species 1/")
    places["meta"] = whole.find(b'"preset"')
    assert min(places.values()) > 0
    for name, at in places.items():
        bad = bytearray(whole)
        bad[at + 2] ^= 1
        path.write_bytes(bad)
        with FeatureStore.open(path) as store:
            faults = store.check()
        assert name in faults[0] and "changed since" in faults[0]
        assert len(faults) == 1 or name == "rows"  # a row may also contradict its clip now


def test_other_faults_are_found(tmp_path):
    path = tmp_path / "s.h5"
    with FeatureStore.create(path, KEY, DIMS, {}) as store:
        store.append(table([0]), values(table([0])))
    with FeatureStore.open(path) as store:
        assert [fault.split(":")[0] for fault in store.check()] == ["not complete"]
    fill(path, range(3), overwrite=True)
    with h5py.File(path, "r+") as file:
        text = file["rows"][:].tobytes()
        lines = text.splitlines(keepends=True)
        lines[1] = lines[1].replace(b"5.0, 10.0", b"0.0, 10.0")
        lines[2] = lines[2].replace(b"0.0, 5.0", b"9.0, 5.0")
        lines[3] = lines[3].replace(b"species 1;x", b"species 2;x").replace(b'"species 1"', b'"species 2"')
        assert len(b"".join(lines)) == len(text)
        file["rows"][:] = np.frombuffer(b"".join(lines), np.uint8)
        file["taps/embedding"][4, 0, 0] = np.nan
    with FeatureStore.open(path) as store:
        faults = "\n".join(store.check())
    for wanted in ("ü0.wav at 0.0 s is there twice", "row 2: ends at", "clip 1: its rows disagree", "infinite or NaN"):
        assert wanted in faults


def test_changed_features_are_never_handed_out(tmp_path):
    path = fill(tmp_path / "s.h5", range(4))
    with h5py.File(path, "r+") as file:
        file["taps/block_00"][3, 1] += 1e-3
    with FeatureStore.open(path) as store:
        for rows in (None, slice(0, 2)):  # wherever the change lies
            with pytest.raises(InputError, match=r"s\.h5: tap block_00, rows 0 to 7: changed since .* Restore a copy"):
                store.read("block_00", rows)
        assert len(store.read("embedding")) == 8
    with pytest.raises(InputError, match="closed"):
        store.read("embedding")
