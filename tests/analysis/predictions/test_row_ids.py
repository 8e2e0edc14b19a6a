"""Row ids: how rows are named, and back to the recording."""

import pytest

from birdprobe.analysis.predictions.row_ids import files, row_id
from birdprobe.features import InputError

NAME = "BC2026_Test_0001_S01_20260512_050000"


def test_files_of_rows():
    ids = [f"{NAME}_5", "a_b_60", "a_b_2.5", "plain"]
    assert files(ids).tolist() == [NAME, "a_b", "a_b", "plain"]


@pytest.mark.parametrize(
    ("end_s", "text"),
    [(5, "5"), (60.0, "60"), (2.5, "2.5"), (0.3 * 3, "0.9"), (3e6, "3000000"), (86400.0, "86400")],
)
def test_ends_are_written_without_needless_digits(end_s, text):
    assert row_id(NAME, end_s) == f"{NAME}_{text}"
    assert files([row_id(NAME, end_s)]).tolist() == [NAME]


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 1e-9])
def test_no_end(seconds):
    with pytest.raises(InputError, match=r"broken: expected more than 0, got .* s"):
        row_id("broken", seconds)
