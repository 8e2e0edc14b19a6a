"""The store: round trips, kills, flipped bits, full disks."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdprobe.features import InputError
from birdprobe.features.store import ROW_COLUMNS, FeatureStore, StoreKey, join
from birdprobe.features.store import file as layout

ROOT = Path(__file__).resolve().parents[2]
KEY = StoreKey("ab" * 32, ("block_00", "embedding"), "mean", 32000, 5.0, "all", 0, "peak", "float32")
DIMS = {"block_00": (3,), "embedding": (2, 4)}


def table(clips, windows=2):
    """The rows of some clips; every value follows from the clip's number."""
    rows = []
    for clip in clips:
        for w in range(windows):
            label, group = f"species {clip % 3}", f"R{clip % 5}" if clip % 2 else None
            file, sha = f"{label}/ü{clip}.wav", f"{clip:064x}"
            rows.append((clip, file, 5.0 * w, 5.0 * w + 5, label, f"{label};x", group, None, 1000 + clip, sha))
    return pd.DataFrame(rows, columns=list(ROW_COLUMNS))


def values(rows, dims=DIMS, dtype=np.float32):
    """tap -> [rows, *dims], every value follows from clip, window and place."""
    number = rows["clip"].to_numpy() * 16 + rows["start_s"].to_numpy() / 5
    out = {}
    for tap, dim in dims.items():
        size = int(np.prod(dim))
        flat = np.sin(number[:, None] * (1 + np.arange(size)) + len(tap))
        out[tap] = flat.reshape(len(rows), *dim).astype(dtype)
    return out


def fill(path, clips, key=KEY, **kwargs):
    with FeatureStore.create(path, key, DIMS, {"preset": None}, **kwargs) as store:
        for clip in clips:
            store.append(table([clip]), values(table([clip])))
        store.finish()
    return path


def test_a_store_shows_what_it_holds(tmp_path):
    store = FeatureStore.open(fill(tmp_path / "s.h5", range(3)))
    assert repr(store) == f"FeatureStore({tmp_path / 's.h5'}: 6 windows, 2 taps block_00..embedding)"
    store.close()
    assert ": closed, 2 taps" in repr(store)


def assert_holds(store, clips):
    """Exactly these clips, in this order, each value where it belongs."""
    rows = table(clips)
    pd.testing.assert_frame_equal(store.rows().astype(object), rows.astype(object).where(rows.notna(), None))
    for tap, wanted in values(rows).items():
        np.testing.assert_array_equal(store.read(tap), wanted)


# ---- round trips


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    dims=st.dictionaries(
        st.sampled_from(["stem", "block_00", "block_01", "embedding", "logits"]),
        st.lists(st.integers(1, 5), max_size=3).map(tuple),
        min_size=1,
    ),
    dtype=st.sampled_from(["float32", "float16"]),
    batches=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), max_size=5),
    text=st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))),
)
def test_what_goes_in_comes_out(tmp_path, data, dims, dtype, batches, text):
    path = tmp_path / "any.h5"
    key = replace(KEY, taps=tuple(dims), dtype=dtype)
    tables, arrays, clip = [], {tap: [] for tap in dims}, 0
    FeatureStore.create(path, key, dims, {"note": text}, overwrite=True).close()
    for windows in batches:  # each batch is another resumed writer
        with FeatureStore.open(path, "a", key) as store:
            for n in windows:
                rows = table([clip], n).assign(file=f"{text}{clip}")
                rng = np.random.default_rng(clip)
                features = {tap: rng.normal(size=(n, *dim)).astype(dtype) for tap, dim in dims.items()}
                store.append(rows, features)
                tables.append(rows)
                for tap in dims:
                    arrays[tap].append(features[tap])
                clip += 1
                if data.draw(st.booleans()):
                    store.commit()
    with FeatureStore.open(path, "a", key) as store:
        store.finish()
    with FeatureStore.open(path, "r", key) as store:
        assert store.check() == [] and store.complete
        assert store.meta["note"] == text and store.dims == {tap: tuple(dim) for tap, dim in dims.items()}
        assert len(store) == sum(map(len, tables)) and store.done_clips() == set(range(clip))
        if tables:
            wanted = pd.concat(tables)
            for name in ROW_COLUMNS:
                assert [v if v == v else None for v in wanted[name]] == store.rows()[name].tolist()
        for tap, parts in arrays.items():
            got = store.read(tap)
            assert got.dtype == dtype
            np.testing.assert_array_equal(got, np.concatenate([np.empty((0, *dims[tap]), dtype), *parts]))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(index=st.lists(st.integers(-60, 59), max_size=40))
def test_read_of_chosen_rows_is_numpy_indexing(tmp_path, index):
    path = tmp_path / "rows.h5"
    if not path.exists():
        fill(path, range(30))
    with FeatureStore.open(path) as store:
        everything = store.read("embedding")
        index = np.array(index, dtype=int)
        np.testing.assert_array_equal(store.read("embedding", index), everything[index])
        mask = np.isin(np.arange(60), index)
        np.testing.assert_array_equal(store.read("embedding", mask), everything[mask])
        np.testing.assert_array_equal(store.read("embedding", slice(3, 50, 7)), everything[3:50:7])


def test_file_names_that_are_not_utf8_survive(tmp_path):
    name = os.fsdecode(b"s\xff.wav")
    with FeatureStore.create(tmp_path / "s.h5", KEY, DIMS, {}) as store:
        rows = table([0]).assign(file=name)
        store.append(rows, values(rows))
        store.skip(1, name, "why")
        store.finish()
        assert store.rows()["file"].tolist() == [name, name] and store.skipped()["file"].tolist() == [name]
        assert store.check() == []


def test_long_provenance_fits(tmp_path):  # an HDF5 attribute holds no more than 64 KiB; this once was one
    architecture = {"blocks": [{"name": f"block_{i}", "tensor": "x" * 100} for i in range(2000)]}
    with FeatureStore.create(tmp_path / "s.h5", KEY, DIMS, {"architecture": architecture}) as store:
        assert store.meta["architecture"] == architecture
        assert set(store.meta["versions"]) >= {"birdprobe", "numpy", "h5py"} and "created" in store.meta


@pytest.mark.parametrize("at", [1, 2])
def test_an_interrupted_commit_is_not_written_twice(tmp_path, monkeypatch, at):
    # stopped before and after the counter was written; closing then once wrote the same rows again
    calls, real = [], layout.sync

    def sync(file):
        real(file)
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt

    path = tmp_path / "s.h5"
    with pytest.raises(KeyboardInterrupt), FeatureStore.create(path, KEY, DIMS, {}) as store:
        store.append(table([0]), values(table([0])))
        monkeypatch.setattr(layout, "sync", sync)
        store.commit()
    monkeypatch.undo()
    with FeatureStore.open(path) as store:
        assert_holds(store, [0] if at == 2 else [])
        assert len(store.check()) == 1  # not complete


def test_ctrl_c_waits_for_the_commit(tmp_path, monkeypatch):
    # raised inside h5py, it was swallowed in 8 of 60 tries ("Exception ignored in: ... remove") and the job went on
    real = layout.sync
    path = tmp_path / "s.h5"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job is started with it ignored
    try:
        with pytest.raises(KeyboardInterrupt), FeatureStore.create(path, KEY, DIMS, {}) as store:
            store.append(table([0]), values(table([0])))
            monkeypatch.setattr(layout, "sync", lambda file: (signal.raise_signal(signal.SIGINT), real(file)))
            store.commit()
    finally:
        signal.signal(signal.SIGINT, before)
    with FeatureStore.open(path) as store:
        assert_holds(store, [0])


def test_only_committed_rows_are_seen(tmp_path):
    with FeatureStore.create(tmp_path / "s.h5", KEY, DIMS, {}) as store:
        store.append(table([0]), values(table([0])))
        assert len(store) == 0 and store.done_clips() == set()
        store.commit()
        assert len(store) == 2 and store.done_clips() == {0}
        store.append(table(range(1, 129)), values(table(range(1, 129))))  # 256 rows: commits by itself
        assert len(store) == 258
        with pytest.raises(ValueError, match=r"clips \[7\] are in the store already"):
            store.append(table([7]), values(table([7])))


def test_skipped_clips_are_kept_beside(tmp_path):
    with FeatureStore.create(tmp_path / "s.h5", KEY, DIMS, {}) as store:
        store.append(table([0]), values(table([0])))
        store.skip(1, "b.wav", "silent")
        store.finish()
    with FeatureStore.open(tmp_path / "s.h5") as store:
        assert store.skipped().to_dict("records") == [{"clip": 1, "file": "b.wav", "reason": "silent"}]
        assert store.done_clips() == {0} and store.check() == []


def test_float16_halves_the_data_and_refuses_what_does_not_fit(tmp_path):
    key = replace(KEY, dtype="float16")
    with FeatureStore.create(tmp_path / "s.h5", key, DIMS, {}) as store:
        features = values(table([0]))
        features["embedding"][1, 0, 2] = 7e4
        with pytest.raises(InputError, match=r"ü0.wav, tap embedding: 70000 does not fit float16.*--dtype float32"):
            store.append(table([0]), features)
        features["embedding"][1, 0, 2] = 6e4
        store.append(table([0]), features)
        store.commit()
        assert store.read("embedding").dtype == np.float16
    with pytest.raises(InputError, match="--dtype must be one of float32, float16, got float64"):
        replace(KEY, dtype="float64")


def test_values_that_are_not_finite_are_refused(tmp_path):
    with FeatureStore.create(tmp_path / "s.h5", KEY, DIMS, {}) as store:
        features = values(table([0]))
        features["block_00"][0, 1] = np.nan
        with pytest.raises(InputError, match=r"ü0.wav, tap block_00: nan, expected finite"):
            store.append(table([0]), features)


# ---- what cannot be opened


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model_sha256", "cd" * 32, f"model_sha256 {'ab' * 32} on disk, expected {'cd' * 32}. .*another model"),
        ("taps", ("block_00",), "taps block_00,embedding on disk, expected block_00. .*--taps"),
        ("pooling", "max", "pooling mean on disk, expected max. .*--pool"),
        ("sample_rate", 48000, "sample_rate 32000 on disk, expected 48000. .*--sample-rate"),
        ("window_s", 3.0, "window_s 5.0 on disk, expected 3.0. .*--window"),
        ("selection", "center", "selection all on disk, expected center. .*--select"),
        ("seed", 1, "seed 0 on disk, expected 1. .*--seed"),
        ("normalise", "none", "normalise peak on disk, expected none. .*--normalise"),
        ("dtype", "float16", "dtype float32 on disk, expected float16. .*--dtype"),
    ],
)
def test_another_key_is_named(tmp_path, field, value, message):
    path = fill(tmp_path / "features.h5", [0])
    for mode in "ra":
        with pytest.raises(InputError, match=f"^{path}: {message}"):
            FeatureStore.open(path, mode, replace(KEY, **{field: value}))
    with FeatureStore.open(path, "r", KEY) as store:
        assert_holds(store, [0])


def test_long_lists_of_taps_are_compared_by_what_differs():
    many = tuple(f"block_{i:02d}" for i in range(26))
    message = replace(KEY, taps=many).differences(replace(KEY, taps=(*many[:25], "embedding")))
    assert message == [
        "taps 26 taps (with block_25) on disk, expected 26 taps (with embedding). "
        "Was the store made with another --taps?"
    ]
    assert "in another order" in replace(KEY, taps=many).differences(replace(KEY, taps=many[::-1]))[0]


def test_key_survives_json_and_misses_nothing():
    assert StoreKey.from_json(KEY.to_json()) == KEY
    for name in set(json.loads(KEY.to_json())) - {"frontend", "inputs"}:  # older stores do not name these
        short = {k: v for k, v in json.loads(KEY.to_json()).items() if k != name}
        with pytest.raises(InputError, match=f"key fields missing or unknown: {name}"):
            StoreKey.from_json(json.dumps(short))


def test_what_is_no_store_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.h5: no such file or folder, expected a store"):
        FeatureStore.open(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("hello" * 1000)
    with pytest.raises(InputError, match=r"text.h5: not an HDF5 file"):
        FeatureStore.open(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match=r"other.h5: another HDF5 file, expected a birdprobe store"):
        FeatureStore.open(tmp_path / "other.h5")
    path = fill(tmp_path / "cut.h5", range(300))
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(InputError, match=r"cut.h5: truncated"):
        FeatureStore.open(path)
    with pytest.raises(InputError, match=r"cut.h5: exists. .*--overwrite"):
        FeatureStore.create(path, KEY, DIMS, {})
    with FeatureStore.open(fill(path, [4], overwrite=True)) as store:
        assert_holds(store, [4])
    with pytest.raises(InputError, match="is a folder"):
        FeatureStore.create(tmp_path, KEY, DIMS, {}, overwrite=True)
    with FeatureStore.open(path) as store, pytest.raises(InputError, match=r"no tap block_09. It has block_00, emb"):
        store.read("block_09")


def test_two_writers_are_refused(tmp_path):
    path = tmp_path / "s.h5"
    with FeatureStore.create(path, KEY, DIMS, {}):
        code = f"from birdprobe.features.store import FeatureStore; FeatureStore.open({str(path)!r}, 'a')"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert "Locked" in done.stderr and "being written by another process?" in done.stderr


# ---- damage


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


# ---- shards


def test_shards_read_as_one(tmp_path, monkeypatch):
    folder = tmp_path / "features.h5.shards"
    paths = [fill(folder / "a.h5", [0, 1, 6, 7]), fill(folder / "b.h5", [5]), fill(folder / "c.h5", [2, 3])]
    with FeatureStore.create(folder / "d.h5", KEY, DIMS, {}) as store:
        store.skip(4, "bad.wav", "silent")
        store.finish()
    out = join([*paths, folder / "d.h5"], tmp_path / "features.h5")
    moved = tmp_path / "moved"
    moved.mkdir()
    out.rename(moved / "features.h5")
    folder.rename(moved / "features.h5.shards")
    monkeypatch.chdir("/")
    with FeatureStore.open(moved / "features.h5", "r", KEY) as store:
        assert_holds(store, [0, 1, 2, 3, 5, 6, 7])
        np.testing.assert_array_equal(store.read("embedding", [9, 0]), values(table([5, 0]))["embedding"][[1, 2]])
        assert store.skipped()["clip"].tolist() == [4] and store.check() == []
    with pytest.raises(InputError, match="joined from shards"):
        FeatureStore.open(moved / "features.h5", "a")
    # a shard that was replaced is found, one that is gone is refused (HDF5 itself would read NaN without a word)
    fill(moved / "features.h5.shards/b.h5", [9], overwrite=True)
    with FeatureStore.open(moved / "features.h5") as store:
        assert len(store.check()) == 2
    (moved / "features.h5.shards/b.h5").unlink()
    with pytest.raises(InputError, match=r"its shard features.h5.shards/b.h5 is missing"):
        FeatureStore.open(moved / "features.h5")


def test_shards_that_do_not_fit_are_refused(tmp_path):
    a, b = fill(tmp_path / "a.h5", [0, 1]), fill(tmp_path / "b.h5", [1, 2])
    with pytest.raises(InputError, match=r"b.h5: clip 1 is also in .*a.h5"):
        join([a, b], tmp_path / "out.h5")
    c = fill(tmp_path / "c.h5", [3], replace(KEY, seed=3))
    with pytest.raises(InputError, match=r"c.h5: cannot be joined to .*a.h5: seed 0 on disk, expected 3"):
        join([a, c], tmp_path / "out.h5")
    with FeatureStore.create(tmp_path / "d.h5", KEY, DIMS, {}) as store:
        store.append(table([4]), values(table([4])))
    with pytest.raises(InputError, match=r"d.h5: not complete"):
        join([a, tmp_path / "d.h5"], tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


# ---- export


def test_export(tmp_path):
    with FeatureStore.open(fill(tmp_path / "s.h5", [1, 2])) as store:
        with np.load(store.export(tmp_path / "x.npz", ["embedding"]), allow_pickle=False) as arrays:
            np.testing.assert_array_equal(arrays["embedding"], store.read("embedding"))
            assert arrays["row_file"].tolist() == store.rows()["file"].tolist()
        assert pd.read_csv(tmp_path / "x.csv")["clip"].tolist() == [1, 1, 2, 2]
        csv = pd.read_csv(store.export(tmp_path / "x.csv", ["embedding"]), float_precision="round_trip")
        assert list(csv.columns) == [*ROW_COLUMNS, *(f"embedding_{i}" for i in range(8))]
        np.testing.assert_array_equal(csv["embedding_7"].astype("f4"), store.read("embedding")[:, 1, 3])
        with pytest.raises(InputError, match=r"ends in .mat, expected one of .npz, .csv"):
            store.export(tmp_path / "x.mat")


# ---- kills and full disks, in real processes


def write(path, n_clips, every):
    """A writer that resumes: n clips, each tenth skipped, a commit after each `every`-th."""
    store = FeatureStore.open(path, "a", KEY) if path.exists() else FeatureStore.create(path, KEY, DIMS, {})
    with store:
        done = store.done_clips() | set(store.skipped()["clip"])
        for clip in range(n_clips):
            if clip in done:
                continue
            if clip % 10 == 9:
                store.skip(clip, f"{clip}.wav", "tenth")
            else:
                store.append(table([clip]), values(table([clip])))
            if clip % every == 0:
                store.commit()
        if not store.complete:
            store.finish()


def forked(function, *args) -> int:
    """Run in a child process; exit code 1 for an exception. Returns the child's id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        function(*args)
        code = 0
    finally:
        os._exit(code)


def written(n_clips):
    return [clip for clip in range(n_clips) if clip % 10 != 9]


def kill_and_resume(path, kills, n_clips, seed, longest_s):
    """Kill a writer at random moments, resume it; each time every committed row must be right and none may be lost."""
    rng, before = random.Random(seed), 0
    done = 0
    while done < kills or not before:  # on a busy machine a writer may need longer to get anywhere
        child = forked(write, path, n_clips, 3)
        time.sleep(rng.uniform(0, longest_s) * max(1, done / kills))
        done += 1
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, "make n_clips larger"
        if path.exists():
            with FeatureStore.open(path) as store:
                clips = sorted(store.done_clips())
                assert clips == written(2 * n_clips)[: len(clips)] and len(clips) >= before
                assert_holds(store, clips)
                assert [fault for fault in store.check() if "not complete" not in fault] == []
                before = len(clips)
    assert 0 < before < len(written(n_clips))
    write(path, n_clips, 50)
    with FeatureStore.open(path) as store:
        assert store.check() == []
        assert_holds(store, written(n_clips))
        assert store.skipped()["clip"].tolist() == list(range(9, n_clips, 10))


def test_killed_writers_lose_nothing_committed(tmp_path):
    # text in HDF5's own strings of any length failed this: "bad heap index" when the next writer went on
    kill_and_resume(tmp_path / "s.h5", kills=12, n_clips=1200, seed=0, longest_s=0.12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_many_killed_writers_lose_nothing_committed(tmp_path, seed):
    kill_and_resume(tmp_path / "s.h5", kills=20, n_clips=8000, seed=seed, longest_s=0.25)


def write_until_full(path, limit, told):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        write(path, 600, 20)
    except InputError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        told.write_text(str(error))


@pytest.mark.parametrize("limit", [0, 50_000, 600_000, 700_000])
def test_a_full_disk_keeps_what_is_committed(tmp_path, limit):
    # a limit on the file's size fails like a full disk: at creation, before the first row, and in the middle
    path, told = tmp_path / "s.h5", tmp_path / "told.txt"
    os.waitpid(forked(write_until_full, path, limit, told), 0)
    assert "no space left on the disk" in told.read_text()
    assert path.exists() == (limit > 0)
    if path.exists():
        with FeatureStore.open(path) as store:
            kept = sorted(store.done_clips())
            assert_holds(store, kept)
            assert (len(kept) > 0) == (limit >= 600_000)
            assert f"{len(store)} rows are safe" in told.read_text()
    write(path, 600, 20)
    with FeatureStore.open(path) as store:
        assert store.check() == []
        assert_holds(store, written(600))


def test_a_really_full_disk(tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        path, filler = tmp_path / "s.h5", tmp_path / "filler"
        filler.write_bytes(b"x" * 1_400_000)
        code = (
            "import sys; from pathlib import Path; sys.path.insert(0, 'tests')\n"
            f"from tests.features.test_store import write; write(Path({str(path)!r}), 600, 20)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        # the last word is ours: HDF5 adds nothing while the process ends
        assert done.returncode == 1 and done.stderr.strip().splitlines()[-1].startswith("birdprobe.features.InputError")
        assert "no space left on the disk" in done.stderr
        with FeatureStore.open(path) as store:
            kept = sorted(store.done_clips())
            assert kept
            assert_holds(store, kept)
        filler.unlink()
        write(path, 600, 20)
        with FeatureStore.open(path) as store:
            assert store.check() == []
            assert_holds(store, written(600))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
