"""Rows become sequences: every row once, in the order of time, no recording mixed with another."""

import numpy as np
import pandas as pd

from birdprobe.heads.sequences.recordings import find_places, make_recordings

NAMES = ["BC2026_Train_0001_S08_20260512_050000.ogg", "BC2026_Train_0002_S03_20260512_230000.ogg", "focal/XC1.ogg"]


def rows(*windows):
    """(file number, start_s, source) each."""
    columns = zip(*[(NAMES[file], start, source) for file, start, source in windows])
    return pd.DataFrame(dict(zip(("file", "start_s", "source"), columns)))


def test_windows_in_the_order_of_their_time_with_site_and_hour():
    table = rows((0, 10.0, "soundscape"), (2, 0.0, "focal"), (0, 0.0, "soundscape"), (1, 5.0, "soundscape"))
    found = make_recordings(table, 3)
    assert found.index.tolist() == [[2, 0, -1], [1, -1, -1], [3, -1, -1]]
    assert found.mask.sum() == 4 and found.sites == ("S03", "S08")
    assert found.site.tolist() == [2, 0, 1] and found.hour.tolist() == [6, 0, 24]


def test_long_recordings_are_cut_and_every_row_is_there_once():
    table = rows(*[(0, 5.0 * t, "soundscape") for t in range(7)], *[(1, 5.0 * t, "soundscape") for t in range(2)])
    found = make_recordings(table, 3, sites=["S08"])
    assert found.index.tolist() == [[0, 1, 2], [3, 4, 5], [6, -1, -1], [7, 8, -1]]
    assert found.site.tolist() == [1, 1, 1, 0]  # S03 is none of the sites asked for


def test_sources_and_folds_stay_apart():
    table = rows((0, 0.0, "soundscape"), (0, 5.0, "pseudo"), (0, 10.0, "soundscape"), (0, 15.0, "soundscape"))
    assert make_recordings(table, 4).mask.sum(axis=1).tolist() == [3, 1]
    folds = np.array([0, 0, 0, 1])
    assert make_recordings(table, 4, apart=folds).mask.sum(axis=1).tolist() == [2, 1, 1]


def test_places_of_stems_and_paths():
    site, hour, sites = find_places(["BC2026_Test_0001_S08_20260512_000000", "a/b/" + NAMES[1], "x"])
    assert site.tolist() == [2, 1, 0] and hour.tolist() == [1, 24, 0] and sites == ("S03", "S08")
