"""Planted duplicates are found, others are not, and the blockwise search equals all pairs."""

import numpy as np
import pytest

from birdprobe.analysis.studies import duplicates
from birdprobe.features import InputError


def planted(n=60):
    rng = np.random.default_rng(0)
    features = {f"block_{d}": rng.standard_normal((n, d)).astype(np.float32) + 5 for d in (40, 6, 12)}
    for x in features.values():
        x[50] = 3 * x[7]  # louder, otherwise the same
        x[8] = x[7]  # of the same group
    features["block_40"][20] = features["block_40"][30]  # the same at one tap only
    return features, np.arange(n) // 3


def brute_force(features, groups):
    found = []
    for i in range(len(groups)):
        for j in range(i + 1, len(groups)):
            cosines = [np.float64(x[i]) @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j]) for x in features.values()]
            if groups[i] != groups[j] and min(cosines) >= 1 - 1e-6:
                found.append([i, j])
    return found


def test_a_planted_duplicate_is_found():
    features, groups = planted()
    groups[8] = groups[7]
    pairs = duplicates.near_duplicates(features, groups)
    assert pairs[["first", "second"]].to_numpy().tolist() == brute_force(features, groups) == [[7, 50], [8, 50]]
    np.testing.assert_allclose(pairs["cosine"], 1, atol=1e-6)
    assert not pairs["same_file"].any()
    assert np.flatnonzero(duplicates.duplicated(pairs, 60)).tolist() == [7, 8, 50]


def test_equal_files_count_whatever_the_features_say():
    features, groups = planted()
    hashes = [f"{i:064x}" for i in range(60)]
    hashes[3] = hashes[4] = hashes[59]  # 3 and 4 are of one group
    hashes[10], hashes[20], hashes[30] = "", "", None
    pairs = duplicates.near_duplicates(features, groups, hashes)
    assert pairs.loc[pairs["same_file"], ["first", "second"]].to_numpy().tolist() == [[3, 59], [4, 59]]
    assert (pairs.loc[pairs["same_file"], "cosine"] < 1).all() and len(pairs) == 4


def test_small_blocks_and_a_useless_narrow_tap_change_nothing(monkeypatch):
    features, groups = planted()
    expected = duplicates.near_duplicates(features, groups)
    monkeypatch.setattr(duplicates, "_CHUNK_BYTES", 4 * 60 * 7)
    assert duplicates.near_duplicates(features, groups).equals(expected)
    features["stem"] = np.full((60, 2), 3.0)  # every row alike
    assert duplicates.near_duplicates(features, groups).equals(expected)
    assert duplicates.near_duplicates({"stem": features["stem"]}, np.arange(60)).shape == (60 * 59 / 2, 4)


def test_silence_equals_silence_only():
    x = np.eye(6)
    x[[1, 4]] = 0
    pairs = duplicates.near_duplicates({"a": x, "b": 2 * x}, np.arange(6))
    assert pairs.to_numpy().tolist() == [[1, 4, False, 1.0]]


def test_none_found_is_an_empty_table():
    pairs = duplicates.near_duplicates({"a": np.eye(4)}, list("aabb"), ["x"] * 2 + ["y"] * 2)
    assert pairs.empty and list(pairs.columns) == list(duplicates.COLUMNS)
    assert not duplicates.duplicated(pairs, 4).any()


def test_effect_on_the_score():
    effect = duplicates.without_duplicates_effect([True, True, False, False], [True, False, False, False])
    assert effect == duplicates.DuplicatesEffect(0.5, pytest.approx(1 / 3), 4, 3)
    assert np.isnan(duplicates.without_duplicates_effect([1, 1], [True, True]).score_without)


def test_bad_input_is_one_line():
    with pytest.raises(InputError, match=r"tap a: expected \[3, d\].*got features \(4, 4\)"):
        duplicates.near_duplicates({"a": np.eye(4)}, list("abc"))
    with pytest.raises(InputError, match="not finite"):
        duplicates.near_duplicates({"a": np.eye(4) * np.nan}, list("abcd"))
    with pytest.raises(InputError, match="at least one tap, got none"):
        duplicates.near_duplicates({}, list("abcd"))
