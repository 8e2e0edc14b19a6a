"""The two pipelines: every word comes from the configurations, and the boxes hold their words."""

import json

import pytest
from matplotlib.patches import FancyBboxPatch

from birdprobe.features import InputError
from birdprobe.figures import gallery
from birdprobe.figures.predictions import pipelines
from tests.pictures import colliding, cut_off

CONFIG = {
    "store_key": {"window_s": 5.0, "sample_rate": 32000, "pooling": "mean"},
    "settings": {"dim": 256, "loss": "bce", "mixup": 0.2, "epochs": 50},
    "heads": [
        {"name": "attention", "kind": "attention", "tokens": ["block_21", "block_24", "block_25"]},
        {"name": "linear-embedding", "kind": "linear", "tokens": ["embedding"]},
        {"name": "all", "kind": "scalarmix", "tokens": [f"block_{i:02d}" for i in range(58)] + ["embedding", "logits"]},
    ],
    "windows": {"focal": 106647, "soundscape": 739},
    "folds": {"n": 5},
    "activation": "sigmoid",
    "labels": ["a"] * 234,
}


def make_run(folder):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def make_blend(path, members=2, steps=4):
    names = [f"member_{i}" for i in range(members)]
    words = ["taxonomic 0.15/0.05", "site/hour prior, laplace 0.5", "Gaussian 1", "a step with a very long name " * 4]
    blend = {
        "members": [{"name": name, "weight": round(1 / members, 2)} for name in names],
        "space": "logit",
        "steps": [{"step": words[i % 4]} for i in range(steps)],
        "rows": 8400,
        "classes": 234,
    }
    path.write_text(json.dumps(blend))
    return path


def head_first(run, name):
    """The run with this head before the others."""
    config = json.loads((run / "config.json").read_text())
    config["heads"].sort(key=lambda head: head["name"] != name)
    (run / "config.json").write_text(json.dumps(config))
    return run


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_the_boxes_say_what_was_configured(tmp_path):
    run, blend = make_run(tmp_path / "run"), make_blend(tmp_path / "submission.json")
    said = words(pipelines.draw(run, blend))
    for wanted in ("windows of 5 s at 32 kHz", "backbone, frozen", "blocks 21, 24, 25", "head: attention",
                   "mean of 5 folds", "sigmoid of 234 classes", "weight 0.5", "weighted mean of logits",
                   "weights given", "Gaussian 1", "8,400 rows, 234 classes"):  # fmt: skip
        assert wanted in said
    assert "106,647 focal, 739 soundscape" in " ".join(said)
    assert "final embedding" in words(pipelines.draw(head_first(run, "linear-embedding")))


@pytest.mark.parametrize("members", [1, 2, 3, 9])
@pytest.mark.parametrize("steps", [0, 4, 9])
@pytest.mark.parametrize("head", ["attention", "all"])
def test_text_is_whole_apart_and_inside_its_box(tmp_path, members, steps, head):
    run, blend = make_run(tmp_path / "run"), make_blend(tmp_path / "submission.json", members, steps)
    figure = pipelines.draw(head_first(run, head), blend)
    assert cut_off(figure) == [] and colliding(figure) == []
    boxes = [p.get_window_extent() for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    for text in figure.axes[0].texts[1:]:
        if text.get_text() not in ("", "the blend"):
            box = text.get_window_extent()
            assert any(b.x0 < box.x0 and box.x1 < b.x1 and b.y0 < box.y0 and box.y1 < b.y1 for b in boxes), (
                text.get_text()
            )


def test_a_run_alone_is_drawn_by_the_gallery_twice_the_same(tmp_path):
    run = make_run(tmp_path / "run")
    assert gallery.drawable(run) == ("pipelines",)
    first = [path.read_bytes() for path in gallery.save(run)]
    assert [path.read_bytes() for path in gallery.save(run)] == first
    assert "the blend" not in words(pipelines.draw(run))


def test_input_errors(tmp_path):
    run, blend = make_run(tmp_path / "run"), make_blend(tmp_path / "submission.json")
    with pytest.raises(InputError, match=r"no such file or folder, expected the JSON that `birdprobe blend`"):
        pipelines.draw(run, tmp_path / "none.json")
    blend.write_text("{}")
    with pytest.raises(InputError, match="expected the JSON of a blend"):
        pipelines.draw(run, blend)
    (run / "config.json").write_text("{")
    assert not pipelines.has_data(run)
    with pytest.raises(InputError, match=r"config\.json: cannot be read as JSON"):
        pipelines.draw(run)
    (run / "config.json").write_text("{}")
    assert not pipelines.has_data(run)
    with pytest.raises(InputError, match="expected the configuration of a train run"):
        pipelines.draw(run)
    assert not list(run.glob("figures/*"))


def test_a_step_says_what_it_was_worth_and_a_recipe_has_no_mean_of_its_own(tmp_path):
    blend = make_blend(tmp_path / "submission.json", steps=0)
    found = json.loads(blend.read_text()) | {"recipe": "eos7"}
    counts = {"ranks_changed": 457, "values": 2304}
    found["steps"] = [
        {"step": "silent spikes", "gain": -0.013, "gain_lo": -0.02, "gain_hi": -0.0031, **counts},
        {"step": "one recording", "gain": 0.01, "gain_lo": None, "gain_hi": None, **counts},
        {"step": "no truth", "gain": None, **counts},
    ]
    blend.write_text(json.dumps(found))
    said = words(pipelines.draw(make_run(tmp_path / "run"), blend))
    assert "macro AUC -0.013 [-0.020, -0.003]" in said and "macro AUC +0.010" in said
    assert "moved 457 of 2,304 ranks" in said and not [one for one in said if "weighted mean" in one]
