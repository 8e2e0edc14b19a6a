"""The budget, by a clock that the tests set."""

import pytest

from birdprobe.probe.soundscapes.workers import MARGIN, Budget, clock, told


class Clock:
    def __init__(self, now: float = 1000.0):
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_pace_and_time_left():
    now = Clock()
    budget = Budget(2, now)
    assert budget.rate == 0 and budget.eta_s(600) is None and not budget.stop(60)
    now.now += 10
    budget.done(60, 9.0)
    budget.done(60, 10.0)
    assert budget.rate == 12  # 120 s of audio in 10 s, by two threads
    assert budget.eta_s(600) == 50
    assert budget.left_s == 110
    assert told(budget, 600) == ", 0.20 min of audio/s, 0:50 left, budget 1:50"


def test_it_stops_while_the_slowest_file_so_far_still_fits():
    now = Clock()
    budget = Budget(1, now, writing_s=5)
    budget.done(60, 2.0)
    budget.done(60, 4.0)  # the slowest
    budget.done(60, 3.0)
    needed = 5 + MARGIN * 4
    now.now = 1000 + 60 - needed - 0.01
    assert not budget.stop(60)
    now.now += 0.02
    assert budget.stop(60)
    assert not budget.stop(30)  # half as long a file needs half the time
    assert not budget.spent
    now.now = 1000 + 55.01
    assert budget.spent and budget.stop(0)


def test_minutes_count_from_where_they_are_told_to():
    now = Clock()
    assert Budget(1, now, started=950.0).left_s == 10
    assert Budget(0, now).stop(60)
    assert Budget(0, now, writing_s=1).spent


def test_no_budget_never_stops():
    now = Clock()
    budget = Budget(None, now, writing_s=1e6)
    budget.done(1, 1e6)
    now.now = 1e12
    assert not budget.stop(1e9) and not budget.spent
    assert "budget" not in told(budget, 60)


def test_a_file_of_unknown_length_teaches_no_pace():
    budget = Budget(1, Clock())
    budget.done(0, 10)
    assert not budget.stop(60)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (185, "3:05"), (5400, "90:00")])
def test_clock(seconds, text):
    assert clock(seconds) == text
