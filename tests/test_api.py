"""`import birdprobe`: what a notebook has, what it costs, and that files beside the notebook do not matter."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import birdprobe as bp
from birdprobe.probe.sweep.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
WREN = ROOT / "probe" / "assets" / "wren.onnx"
HEAVY = ("onnx", "onnxruntime", "torch", "umap", "sklearn", "scipy", "h5py", "matplotlib", "librosa", "pandas", "numpy")


@pytest.mark.parametrize("name", bp.__all__)
def test_every_public_name_is_there_and_says_what_it_does(name):
    found = getattr(bp, name)
    assert name in dir(bp)
    if name != "__version__":
        assert found.__doc__ and found.__doc__.strip()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'swep'"):
        bp.swep  # noqa: B018


def test_importing_pulls_nothing_heavy():
    code = f"import sys, birdprobe; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_folder_with_modules_of_our_names_does_not_matter(tmp_path):
    for name in ("analysis.py", "features/__init__.py", "figures/__init__.py", "probe.py", "heads.py", "paper.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise RuntimeError('a file of the user was imported')\n")
    code = (
        f"import birdprobe as bp; print(len(bp.find_blocks({str(WREN)!r}).blocks), bp.rank.__name__, bp.sweep.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["26", "rank", "sweep"]
    helped = subprocess.run([sys.executable, "-m", "birdprobe", "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert helped.returncode == 0 and "sweep" in helped.stdout


def test_a_clone_may_lie_in_a_folder_of_any_name(tmp_path):
    clone = tmp_path / "tmp.Ab12"  # as `mktemp -d` makes them: no name that Python could import
    (clone / "tests").mkdir(parents=True)
    for name in ("pyproject.toml", "__init__.py"):
        shutil.copy(ROOT / name, clone / name)
    (clone / "tests" / "test_one.py").write_text("def test_one():\n    pass\n")
    done = subprocess.run([sys.executable, "-m", "pytest"], cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_backbone_gives_vectors_for_windows():
    backbone = bp.open_backbone(WREN, taps="-4,embedding")
    found = backbone(np.random.default_rng(0).normal(0, 0.1, (2, backbone.window_samples)).astype(np.float32))
    assert list(found) == ["block_22", "embedding"]
    assert all(x.dtype == np.float32 and len(x) == 2 for x in found.values())
    with pytest.raises(bp.InputError, match=r"windows \(3,\), wanted \[N, 160000\]"):
        backbone([0.1, 0.2, 0.3])


def test_features_in_memory_are_ranked():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], 30)
    centres = rng.normal(0, 1, (3, 8))
    good = centres[np.repeat([0, 1, 2], 30)] + rng.normal(0, 0.3, (90, 8))
    found = bp.rank({"noise": rng.normal(0, 1, (90, 8)), "good": good, "embedding": rng.normal(0, 1, (90, 8))}, labels)
    assert found.conclusion.training_free.read == "good" and found.conclusion.linear.read == "good"
    assert found.conclusion.agree
    assert set(found.table["tap"]) == {"noise", "good", "embedding"}
    assert str(found).startswith(found.sentence) and len(str(found).splitlines()) < 40
    assert (
        found.sentence.startswith("Read good: it beats the final embedding") and "<p>Read good: " in found._repr_html_()
    )
    rows = dict(found.table[found.table["readout"] == "linear"].set_index("tap")["score"])
    assert (
        f"<td>{rows['good']:.3f} *</td>" in found._repr_html_()
        and f"<td>{rows['noise']:.3f}</td>" in found._repr_html_()
    )
    with pytest.raises(bp.InputError, match="at least one tap"):
        bp.rank({}, [])


@pytest.mark.parametrize(
    ("taps", "found"), [(["-4", "embedding"], ["block_22", "embedding"]), (25, ["block_25"]), ((20, 25), 2)]
)
def test_lists_and_numbers_do_where_text_with_commas_does(taps, found):
    opened = bp.open_backbone(WREN, taps=taps, pool=["mean"]).taps
    assert len(opened) == found if isinstance(found, int) else list(opened) == found
    asked = Settings(taps=taps, readout=["knn", "linear"], shots=4, bandpass=(1000, 12000))
    assert asked.readout == "knn,linear" and asked.shots == "4" and asked.bandpass == "1000,12000"
    asked.check()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"folds": "5"}, {"k": "5"}, {"groups": 5}, {"group_regex": 5}, {"select": None}, {"control": "yes"}),
        *({"taps": None}, {"readout": {}}, {"pool": [None]}, {"audio": ["a.wav"]}, {"audio": None}, {"test": 5}),
        *({"window_s": "5"}, {"classes": ["a"]}, {"inputs": 5}, {"seed": "0"}, {"overwrite": "no"}),
    ],
    ids=str,
)
def test_a_setting_of_another_type_is_one_line_that_names_it(wrong, tmp_path):
    with pytest.raises(bp.InputError, match=f"^`{next(iter(wrong))}` must be .*, got .*"):
        bp.sweep(**{"model": WREN, "audio": tmp_path, "output": tmp_path / "run"} | wrong)
    assert not (tmp_path / "run").exists()


def test_the_other_functions_name_a_wrong_argument_too(tmp_path):
    features, labels = {"a": np.zeros((4, 2))}, list("aabb")
    calls = {
        "audio": lambda: bp.extract(WREN, ["a.wav"], tmp_path / "x.h5"),
        "taps": lambda: bp.open_backbone(WREN, taps=None),
        "model": lambda: bp.find_blocks([WREN]),
        "k": lambda: bp.rank(features, labels, k="5"),
        "readout": lambda: bp.rank(features, labels, readout=None),
        "runs": lambda: bp.compare("run"),
        "score": lambda: bp.compare(["a", "b"], score=None),
        "features": lambda: bp.rank([features["a"]], labels),
        "model_or_run": lambda: bp.predict(5, tmp_path, tmp_path / "x.csv"),
        "tta_shifts": lambda: bp.predict(WREN, tmp_path, tmp_path / "x.csv", tta_shifts=["1"]),
        "threshold": lambda: bp.find_events(WREN, tmp_path, tmp_path / "x.csv", threshold="0.5"),
        "fold": lambda: bp.open_predictor(WREN, fold="0"),
        "path": lambda: bp.open_store(None),
        "predictions": lambda: bp.score(None, tmp_path),
        "columns": lambda: bp.draw_figures(tmp_path, columns="1"),
    }
    names_its_argument(calls)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: bp.sweep(WREN, "a", "run", reaodut="knn"), "sweep() got an unexpected keyword argument 'reaodut'. Did you mean 'readout'?"),
        (lambda: bp.sweep(WREN, "a", ouput="run"), "sweep() got an unexpected keyword argument 'ouput'. Did you mean 'output'?"),
        (lambda: bp.rank_stores(["a.h5"], scor="auc"), "rank_stores() got an unexpected keyword argument 'scor'. Did you mean 'score'?"),
        (lambda: bp.blend(["a.csv"], "b.csv", gausian=1), "blend() got an unexpected keyword argument 'gausian'. Did you mean 'gaussian'?"),
        (lambda: bp.extract(WREN, "a", "x.h5", zzz=1), "extract() got an unexpected keyword argument 'zzz'"),
        (lambda: bp.sweep(WREN), "sweep() missing a required argument: 'audio'"),
    ],
)  # fmt: skip
def test_an_argument_that_is_none_names_the_function_and_the_nearest(call, said):
    with pytest.raises(TypeError, match=f"^{re.escape(said)}$"):
        call()


def test_the_functions_that_train_name_a_wrong_argument_too(tmp_path):
    pytest.importorskip("torch")
    names_its_argument(
        {
            "stores": lambda: bp.train([None], tmp_path / "run"),
            "run": lambda: bp.fuse(None, WREN, tmp_path / "x.onnx"),
            "epochs": lambda: bp.fine_tune("b1", tmp_path, tmp_path / "run", epochs="3"),
            "pretrained": lambda: bp.export("b1", tmp_path / "x.onnx", pretrained="yes"),
            "budget_minutes": lambda: bp.write_kernel(tmp_path, tmp_path / "k", budget_minutes="90"),
        }
    )


def names_its_argument(calls):
    for name, call in calls.items():
        with pytest.raises(bp.InputError, match=f"^`{name}` must be "):
            call()


def test_rows_to_rank_that_do_not_match_are_one_line():
    x, y = {"a": np.zeros((4, 2))}, ["u", "v", "u", "v"]
    for labels, more, said in (
        (["u", [], "u", "v"], {}, "row 1 has no label"),
        (y[:3], {}, "4 rows at tap 'a', 3 labels"),
        (y, {"groups": [1, 2, 3]}, "3 groups, 4 labels"),
        (y, {"score": "mean"}, "`score` must be one of auto"),
    ):
        with pytest.raises(bp.InputError, match=said):
            bp.rank(x, labels, **more)
