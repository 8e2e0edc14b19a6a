"""What JSON may say: each field of its declared type, numbers finite, one line that names the field otherwise."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from birdprobe.features import InputError
from birdprobe.features.files import read_json
from birdprobe.features.schema import Words, check_fields, checked, comma_text, record
from birdprobe.features.store import StoreKey


@dataclass(frozen=True)
class Example:
    name: str
    labels: tuple[str, ...]
    widths: dict[str, int]
    rate: float
    fold: int | None
    smoke: bool = False


GOOD = {"name": "a", "labels": ["x", "y"], "widths": {"t": 3}, "rate": 5, "fold": None, "smoke": True}


def test_a_record_comes_back():
    assert record(Example, GOOD) == Example("a", ("x", "y"), {"t": 3}, 5.0, None, True)
    assert isinstance(record(Example, GOOD).rate, float)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": []}, "name: expected text, got a list"),
        ({"name": None}, "name: expected text, got nothing"),
        ({"labels": "xy"}, "labels: expected a list, got text"),
        ({"labels": ["x", 3]}, r"labels\[1\]: expected text, got a whole number"),
        ({"widths": {"t": 3.5}}, r"widths.t: expected a whole number, got a number"),
        ({"widths": []}, "widths: expected an object, got a list"),
        ({"rate": float("nan")}, "rate: expected a finite number, got nan"),
        ({"rate": float("inf")}, "rate: expected a finite number, got inf"),
        ({"rate": 10**400}, "rate: expected a finite number"),
        ({"rate": True}, "rate: expected a number, got true or false"),
        ({"fold": True}, "fold: expected a whole number, got true or false"),
        ({"smoke": 1}, "smoke: expected true or false, got a whole number"),
        ({"more": 1}, "fields missing or unknown: more"),
    ],
)
def test_what_is_not_as_declared(change, said):
    with pytest.raises(InputError, match=said) as raised:
        record(Example, GOOD | change)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("found", [None, [], "text", 3, float("nan")])
def test_what_is_no_object(found):
    with pytest.raises(InputError, match="expected an object"):
        record(Example, found)


def test_json_that_is_nested_too_deep(tmp_path):
    (tmp_path / "a.json").write_text('{"a":' * 100_000)
    with pytest.raises(InputError, match=r"a.json: cannot be read as JSON \(nested too deep\)"):
        read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match="key is not JSON"):
        StoreKey.from_json("[" * 100_000)


@pytest.mark.parametrize("change", [{"taps": 3}, {"window_s": "5"}, {"window_s": float("nan")}, {"pooling": None}])
def test_the_key_of_a_store(change):
    key = StoreKey("0" * 64, ("a",), "mean", 8000, 1.0, "all", 0, "none")
    assert StoreKey.from_json(key.to_json()) == key
    with pytest.raises(InputError, match=f"key {next(iter(change))}"):
        StoreKey.from_json(json.dumps(json.loads(key.to_json()) | change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": None}, "name: expected text, got nothing"),
        ({"blocks": {}}, "blocks: expected a list, got an object"),
        ({"blocks": [{"index": 2**70}]}, r"blocks\[0\].index: expected a whole number of at most 2\^53, got one of 22"),
        ({"blocks": [3]}, r"blocks\[0\]: expected an object"),
        ({"inner": {"chance": float("inf")}}, "inner.chance: expected a finite number"),
        ({"inner": {}}, "no inner.chance"),
    ],
)
def test_the_fields_that_are_used(change, said):
    wanted = {"name": str, "blocks": [{"index?": int}], "inner": {"chance": float}, "more?": str}
    found = {"name": "a", "blocks": [{"index": 1}, {}], "inner": {"chance": 0.5}, "unknown": []}
    check_fields(wanted, found)
    with pytest.raises(InputError, match=said):
        check_fields(wanted, found | change)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("a, b", "a, b"),
        (25, "25"),
        (np.int64(25), "25"),
        (["a"], "a"),
        ((20, "embedding"), "20,embedding"),
        (range(2), "0,1"),
        (np.array([20, 25]), "20,25"),
    ],
)
def test_text_with_commas_may_come_in_parts(given, text):
    assert comma_text("taps", given) == text


@pytest.mark.parametrize("given", [None, True, {"a": 1}, [None], [["a"]], Path("a")])
def test_parts_that_are_no_text_are_refused(given):
    with pytest.raises(InputError, match=r"^`taps` must be text or a sequence of text or numbers, got "):
        comma_text("taps", given)


@checked
def example(
    path: Path | str,
    taps: Words = "all",
    *,
    k: int = 5,
    speed: float | None = None,
    inputs: Sequence[str] = (),
    quick: bool = False,
):
    return path, taps, k, speed, inputs, quick


def test_arguments_of_their_types_arrive():
    given = example("a", [3], k=np.int64(4), speed=2, inputs="x=1", quick=np.True_)
    assert given == ("a", [3], 4, 2, ("x=1",), True)
    assert example(Path("a"), k=4.0)[:3] == (Path("a"), "all", 4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": ["a"]}, r"`path` must be a path or text, got \['a'\]."),
        ({"k": "5"}, "`k` must be a whole number, got '5'."),
        ({"k": True}, "`k` must be a whole number, got True."),
        ({"k": 5.5}, "`k` must be a whole number, got 5.5."),
        ({"k": None}, "`k` must be a whole number, got None."),
        ({"speed": "2"}, "`speed` must be a number or None, got '2'."),
        ({"inputs": 5}, "`inputs` must be a sequence of text, got 5."),
        ({"quick": "yes"}, "`quick` must be true or false, got 'yes'."),
        ({"quick": 1}, "`quick` must be true or false, got 1."),
    ],
)
def test_an_argument_of_another_type_is_named(change, said):
    with pytest.raises(InputError, match=f"^{said}$"):
        example(**{"path": "a"} | change)
