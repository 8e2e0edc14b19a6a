"""What is computed for every tap: a tap a core, in the order asked for, each with linear algebra on one thread."""

import threading

import pytest
from threadpoolctl import threadpool_info

from birdprobe.features import InputError
from birdprobe.probe.sweep import items


def test_taps_are_computed_beside_each_other_in_order(monkeypatch):
    monkeypatch.setattr(items, "cores", lambda: 2)
    both = threading.Barrier(2, timeout=60)  # passed only by two at a time
    seen = []

    def compute(tap):
        both.wait()
        return tap.upper(), {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    found = items.per_tap(("b", "a", "d", "c"), compute, seen.append)
    assert list(found) == seen == ["b", "a", "d", "c"]
    assert all(found[tap] == (tap.upper(), {1}) for tap in found)


def test_what_fails_at_a_tap_is_told():
    def refuse(tap):
        raise InputError(f"{tap}: no.")

    with pytest.raises(InputError, match="a: no"):
        items.per_tap(("a", "b"), refuse)
