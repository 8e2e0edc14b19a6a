"""Folds of members: groups whole, rare species trained on, targets and the no-call label."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from birdprobe.features import InputError
from birdprobe.features.recordings import Clip, Recordings, assign_folds
from birdprobe.finetune.data.folds import ALWAYS, clip_targets, label_order, make_folds, without_birds


def recordings(*rows: tuple[str, str | None]) -> Recordings:
    clips = [Clip(Path(f"{i}.wav"), f"{i}.wav", (label,), group) for i, (label, group) in enumerate(rows)]
    return Recordings(Path(), tuple(clips), "column author")


COMMON = [(label, f"{label}-{i // 2}") for label in ("wren", "robin", "kite") for i in range(12)]


def test_groups_stay_whole_and_each_clip_is_held_out_once():
    folds = make_folds(recordings(*COMMON), 3, seed=1)
    assert folds.count == 3
    held = [folds.held(fold) for fold in range(3)]
    assert sorted(clip.name for part in held for clip in part) == sorted(clip.name for clip in folds.clips)
    for fold in range(3):
        train = folds.train(fold)
        assert len(train) + len(held[fold]) == 36
        assert not {clip.group for clip in train} & {clip.group for clip in held[fold]}
    for wrong in (-1, 3):
        with pytest.raises(InputError, match=rf"`--fold` must be one of 0 to 2 .*got {wrong}"):
            folds.held(wrong)


def test_folds_are_those_of_assign_folds_and_given_ones_stay():
    table = recordings(*COMMON)
    labels, groups = [c.label for c in table.clips], [c.group for c in table.clips]
    expected, _, _ = assign_folds(labels, groups, None, 4, 2)
    assert np.array_equal(make_folds(table, 4, seed=2).of_clip, expected)
    given = replace(table, clips=tuple(replace(c, fold=str(i // 2 % 2)) for i, c in enumerate(table.clips)))
    assert make_folds(given, 5).of_clip.tolist() == [i // 2 % 2 for i in range(36)]


def test_a_species_with_one_recording_trains_always_and_a_rare_one_follows_its_group():
    rows = [*COMMON, ("owl", "somebody"), ("rail", "wren-0"), ("rail", "kite-3")]
    folds = make_folds(recordings(*rows), 5, seed=0)
    of = dict(zip(rows[:36], folds.of_clip[:36]))
    assert folds.of_clip[36] == ALWAYS
    assert folds.of_clip[37] == of["wren", "wren-0"]
    assert folds.of_clip[38] == of["kite", "kite-3"]
    assert set(folds.of_clip[:36].tolist()) == set(range(5))
    assert any("2 classes with fewer clips or groups than the 5 folds: owl, rail" in w for w in folds.warnings)
    for fold in range(5):
        assert "36.wav" in {clip.name for clip in folds.train(fold)}
        assert not {c.group for c in folds.train(fold)} & {c.group for c in folds.held(fold)}


def test_without_groups_rare_species_train_always():
    rows = [(label, None) for label, _ in COMMON] + [("owl", None)]
    folds = make_folds(replace(recordings(*rows), grouping="none"), 4, seed=0)
    assert folds.of_clip[-1] == ALWAYS
    assert ALWAYS not in folds.of_clip[:-1]


def test_faults_that_rare_species_do_not_explain_stay_faults():
    with pytest.raises(InputError, match="--folds: expected at least 2, got 1"):
        make_folds(recordings(*COMMON), 1)
    with pytest.raises(InputError, match="expected at least two classes, got only 'wren'"):
        make_folds(recordings(*COMMON[:12]), 3)
    with pytest.raises(InputError, match="class 'robin': 2 clips, fewer than the 3 folds"):
        make_folds(recordings(*[("robin", None)] * 2, *[("wren", None)] * 9), 3)


def test_targets_hold_every_label_and_no_call_only_as_a_class():
    clips = [
        Clip(Path("a"), "a", ("wren", "kite")),
        Clip(Path("b"), "b", ("nocall",)),
        Clip(Path("c"), "c", ("kite", "nocall")),
    ]
    table = Recordings(Path(), tuple(clips))
    assert label_order(table) == ("kite", "wren")
    assert clip_targets(clips, ("kite", "wren")).tolist() == [[1, 1], [0, 0], [1, 0]]
    assert clip_targets(clips, ("kite", "nocall", "wren")).tolist() == [[1, 0, 1], [0, 1, 0], [1, 1, 0]]
    assert without_birds(clips) == (clips[1],)
    with pytest.raises(InputError, match="a: expected one of the 1 classes, got label 'kite'"):
        clip_targets(clips, ("wren",))
