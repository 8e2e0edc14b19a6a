"""A seeded choice of clips, and the classes that are too rare to cross-validate."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdprobe.features import InputError
from birdprobe.features.recordings import choose, drop_rare, sampling
from tests.clip_tables import of


def test_a_choice_sorts_every_class_once(monkeypatch):
    sorts = []
    monkeypatch.setattr(sampling, "sorted", lambda items: sorts.append(1) or sorted(items), raising=False)
    assert len(choose(of({"wren": 500, "robin": 300}), per_class=200).clips) == 400
    assert len(sorts) < 10


def test_too_many_folds_are_said_with_what_would_do():
    with pytest.raises(InputError) as caught:
        drop_rare(of({"Hund": 10, "Rain": 12, "Wind": 3}), 50, "clips.csv")
    assert str(caught.value) == (
        "clips.csv: got 0 of 3 classes with 50 clips or more, as --folds or --min-per-class asks, expected at least "
        "two. Try `--folds 10`?"
    )
    with pytest.raises(InputError, match=r"0 of 1 class with 50 clips .* Is there a class missing\?"):
        drop_rare(of({"Hund": 10}), 50, "clips")
    recordings = of({"Hund": 10, "Rain": 12})
    coarse = replace(recordings, clips=tuple(replace(clip, group="night") for clip in recordings.clips))
    with pytest.raises(InputError, match=r"0 of 2 classes with clips in two groups and folds or more.*too coarse"):
        drop_rare(coarse, 5, "clips.csv")


def test_choose_takes_what_was_asked_for():
    chosen = choose(of({f"c{i}": 5 + i for i in range(40)}), 30, 20, seed=3)
    counts = Counter(clip.label for clip in chosen.clips)
    assert (
        len(chosen.clips) == 25 * 20 + sum(range(15, 20)) and len(counts) == 30
    )  # 25 classes have 20, the rest fill up
    assert set(counts) == {f"c{i}" for i in range(10, 40)}
    (warning,) = chosen.warnings
    assert warning.startswith("585 of 980 clips, 30 of 40 classes, 5 of them with fewer than 20 clips ('c10'")
    assert warning.endswith("), are used; `--classes` and `--per-class` take at most 30 x 20.")


def test_choose_warns_where_clips_are_left_out_and_not_otherwise():
    chosen = choose(of({"a": 30, "b": 30}), 30, 20)
    assert chosen.warnings == (
        "40 of 60 clips, 2 of 2 classes, are used; `--classes` and `--per-class` take at most 30 x 20.",
    )
    assert choose(of({"a": 30, "b": 30}), 30, 30).warnings == ()


def test_choose_none_takes_all():
    recordings = of({"a": 3, "b": 50})
    assert choose(recordings) == recordings


@pytest.mark.parametrize("classes, per_class, option", [(0, 5, "--classes"), (5, 0, "--per-class")])
def test_choose_nothing(classes, per_class, option):
    with pytest.raises(InputError, match=f"{option}: expected at least 1.*got 0"):
        choose(of({"a": 3}), classes, per_class)


@settings(deadline=None)
@given(
    counts=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 9), min_size=1),
    classes=st.integers(1, 8), per_class=st.integers(1, 9), seed=st.integers(0, 99), shuffled=st.randoms(),
)  # fmt: skip
def test_choose_depends_on_no_order(counts, classes, per_class, seed, shuffled):
    recordings = of(counts)
    chosen = choose(recordings, classes, per_class, seed)
    assert Counter(clip.label for clip in chosen.clips) == {
        label: min(counts[label], per_class) for label in chosen.labels
    } and len(chosen.labels) == min(classes, len(counts))
    left = sorted(min(counts[label], per_class) for label in set(counts) - set(chosen.labels))
    assert not left or left[-1] <= min(
        min(counts[label], per_class) for label in chosen.labels
    )  # the largest are taken
    mixed = list(recordings.clips)
    shuffled.shuffle(mixed)
    again = choose(replace(recordings, clips=tuple(mixed)), classes, per_class, seed)
    assert set(again.clips) == set(chosen.clips)


def test_choose_draws_differently_by_seed_and_equally_for_a_class_whatever_the_others():
    draws = [choose(of({"a": 30}), 1, 5, seed).clips for seed in range(10)]
    assert len(set(draws)) == 10
    beside = choose(of({"a": 30, "b": 30}), None, 5, 0)
    assert tuple(clip for clip in beside.clips if clip.label == "a") == draws[0]
