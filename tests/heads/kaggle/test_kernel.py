"""The folder of a kernel: what Kaggle wants, one line for what is wrong, nothing lost."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from birdprobe.features import InputError
from birdprobe.heads.kaggle import wheel, write_kernel
from birdprobe.heads.kaggle.wheel import NEEDED
from birdprobe.probe.runtime import sessions
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.soundscapes import open_onnx
from birdprobe.probe.soundscapes.predictor import open_fused
from tests.heads.untrained import LABELS, make_run
from tests.tiny import tiny_backbone


def test_the_folder_is_what_kaggle_wants(fused, tmp_path):
    kernel = write_kernel(fused, tmp_path / "k", user="someone", competition="birdclef-2026", tta_shifts=(0, 1, -1))
    assert sorted(path.name for path in kernel.folder.iterdir()) == [
        "birdprobe-kernel.ipynb",
        "kernel-metadata.json",
        "package",
    ]
    said = json.loads((kernel.folder / "kernel-metadata.json").read_text())
    dataset = json.loads((kernel.package / "dataset-metadata.json").read_text())
    assert said["id"] == "someone/birdprobe-birdclef-2026"
    assert said["dataset_sources"] == [dataset["id"]]
    assert said["competition_sources"] == ["birdclef-2026"]
    assert (said["enable_gpu"], said["enable_internet"], said["code_file"]) == ("false", "false", kernel.notebook.name)
    assert 6 <= len(dataset["title"]) <= 50
    assert kernel.config["labels"] == list(LABELS)
    assert (kernel.config["sample_rate"], kernel.config["window_s"], kernel.config["shifts"]) == (8000, 1, [0, 1, -1])
    pins = (kernel.package / "wheels.txt").read_text()
    assert all(f"\n{name}==" in pins for name in NEEDED)
    assert "pip download" in pins
    assert kernel.size == sum(path.stat().st_size for path in kernel.package.rglob("*") if path.is_file())


def test_again_gives_the_same_bytes_and_keeps_the_wheels(fused, tmp_path):
    kernel = write_kernel(fused, tmp_path / "k")
    first = {path: path.read_bytes() for path in kernel.folder.rglob("*") if path.is_file()}
    (kernel.package / "wheels" / "a.whl").write_bytes(b"wheel")
    with pytest.raises(InputError, match=r"got a kernel.*--overwrite"):
        write_kernel(fused, tmp_path / "k")
    write_kernel(fused, tmp_path / "k", overwrite=True)
    assert {path: path.read_bytes() for path in first} == first
    assert (kernel.package / "wheels" / "a.whl").read_bytes() == b"wheel"


def test_the_wheel_is_one_of_the_kernels_own_files(fused, tmp_path, monkeypatch):
    kernel = write_kernel(fused, tmp_path / "k")
    old = f"package/wheels/{kernel.config['wheel']}"
    assert old in json.loads((kernel.package / "config.json").read_text())["files"]
    monkeypatch.setattr(wheel, "version", lambda name: "99.0")
    write_kernel(
        fused, tmp_path / "k", overwrite=True
    )  # an older version's wheel beside it would be installed by chance
    assert [path.name for path in (kernel.package / "wheels").iterdir()] == ["birdprobe-99.0-py3-none-any.whl"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": Path("x.onnx")}, "a fused file, to which"),
        ({"tta_shifts": ()}, "`--tta-shifts` must be"),
        ({"row_s": 0.0}, "`--row` must be seconds above 0, got 0.0"),
        ({"budget_minutes": float("nan")}, "`--budget-minutes` must be minutes above 0, got nan"),
        ({"genus": 1.5}, "`--genus` must be a weight from 0 to 1, got 1.5"),
    ],
)
def test_bad_settings_are_one_line_and_leave_nothing(fused, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        write_kernel(fused, tmp_path / "k", **options)
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_not_fused_is_refused(tmp_path):
    with pytest.raises(InputError, match="birdprobe fuse"):
        write_kernel(tiny_backbone(tmp_path / "tiny.onnx"), tmp_path / "k")
    with pytest.raises(InputError, match="no such file or folder"):
        write_kernel(tmp_path / "none", tmp_path / "k")
    assert not (tmp_path / "k").exists()


def test_weights_beside_the_model_come_along(fused, tmp_path):
    sessions.save(onnx.load(fused), tmp_path / "large.onnx")
    kernel = write_kernel(tmp_path / "large.onnx", tmp_path / "k")
    assert (kernel.package / "large.onnx.data").stat().st_size > 1024
    assert (kernel.package / "model.onnx").stat().st_size < fused.stat().st_size
    (tmp_path / "large.onnx.data").unlink()
    x = np.random.default_rng(0).normal(size=(4, 8000)).astype(np.float32)
    found = open_fused(kernel.package / "model.onnx", identity="known")(x)
    np.testing.assert_allclose(found, open_onnx(fused)(x), atol=1e-7)


def test_a_taxonomy_and_a_prior_of_others_are_refused(fused, tmp_path):
    taxonomy = tmp_path / "taxonomy.csv"
    taxonomy.write_text("primary_label,scientific_name,class_name\nx,Parus ater,Aves\n")
    with pytest.raises(InputError, match="none of the model's 3 classes"):
        write_kernel(fused, tmp_path / "k2", taxonomy=taxonomy)
    assert not (tmp_path / "k2").exists()


def test_a_run_is_fused_on_the_way(tmp_path):
    model = tiny_backbone(tmp_path / "tiny.onnx")
    backbone = Backbone.open(model, "block_01", sample_rate=8000)
    run = make_run(tmp_path / "run", backbone, ("block_01",), "linear", folds=2)
    kernel = write_kernel(run, tmp_path / "k", model=model, fold=1)
    assert json.loads(onnx_metadata(kernel.package / "model.onnx")["folds"]) == [1]
    with pytest.raises(InputError, match=r"none\.onnx: no such file or folder, expected the ONNX model"):
        write_kernel(run, tmp_path / "k2", model=tmp_path / "none.onnx")
    with pytest.raises(InputError, match="--model"):
        write_kernel(run, tmp_path / "k2")


def onnx_metadata(path):
    return {prop.key: prop.value for prop in onnx.load(path).metadata_props}
