"""Values held against what is declared of them: records and fields of JSON, and settings that the user may choose."""

import math
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from . import InputError

Record = TypeVar("Record")
LARGEST = 2**53  # whole numbers up to here are exact in JSON
MOST_SEED = 2**31 - 1  # scikit-learn takes no more than 32 bits, and folds add to it
NAMES = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


def record(cls: type[Record], found: object, **checked: Any) -> Record:
    """An instance of the dataclass `cls` from a JSON object with exactly its fields, each of its declared type.

    Args:
        cls: a dataclass of text, numbers, tuples of them, dicts and optional ones. Numbers must be finite.
        found: what was read. checked: fields whose value is made and checked elsewhere.

    Raises:
        InputError: no object, fields missing or unknown, a value of another type, a number that is not finite.
    """
    if not isinstance(found, dict):
        raise InputError(f"expected an object, got {_name(found)}. Another file?")
    names = {field.name for field in fields(cls)}  # type: ignore[arg-type]  # a dataclass
    if odd := sorted(str(name) for name in names ^ set(found)):
        raise InputError(f"fields missing or unknown: {', '.join(odd[:5])}. Another version of birdprobe?")
    kinds = typing.get_type_hints(cls)
    values = {name: checked[name] if name in checked else value_of(kinds[name], found[name], name) for name in names}
    return cls(**values)


def value_of(kind: Any, found: object, name: str) -> Any:
    """`found` as `kind`: lists become tuples, whole numbers numbers; InputError, naming the field, where it is not."""
    origin, parts = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if found is None and type(None) in parts:
            return None
        return value_of(next(part for part in parts if part is not type(None)), found, name)
    if origin in (tuple, list) and isinstance(found, list):
        inner = parts[0] if parts else Any
        return origin(value_of(inner, one, f"{name}[{i}]") for i, one in enumerate(found))
    if origin is dict and isinstance(found, dict):
        inner = parts[1] if parts else Any
        return {key: value_of(inner, one, f"{name}.{key}") for key, one in found.items()}
    if origin is float and isinstance(found, int) and not isinstance(found, bool):
        found = float(found) if abs(found) < 1e300 else math.inf
    if origin is Any:
        return found
    wanted = list if origin is tuple else origin
    if not isinstance(found, wanted) or (isinstance(found, bool) and wanted is not bool):
        raise InputError(f"{name}: expected {NAMES.get(wanted, wanted.__name__)}, got {_name(found)}. Edited by hand?")
    if isinstance(found, float) and not math.isfinite(found):
        raise InputError(f"{name}: expected a finite number, got {found}.")
    if isinstance(found, int) and abs(found) > LARGEST:
        raise InputError(f"{name}: expected a whole number of at most 2^53, got one of {len(str(found))} digits.")
    return found


def check_fields(wanted: Mapping[str, Any], found: object, place: str = "") -> None:
    """Hold the fields of an object that are used against their declared types; it may have others.

    Args:
        wanted: field -> type, a mapping of its own fields, or a list of one mapping, that of every element. A name that
            ends in `?` may be missing or null.
        found: what was read.
        place: the object's own name, for the message.

    Raises:
        InputError, naming the field: missing, of another type, a number that is not finite.
    """
    if not isinstance(found, dict):
        raise InputError(f"{place or 'file'}: expected an object, got {_name(found)}. Edited by hand?")
    for field, kind in wanted.items():
        key = field.rstrip("?")
        name = f"{place}.{key}" if place else key
        if found.get(key) is None and field.endswith("?"):
            continue
        if key not in found:
            raise InputError(f"no {name}.")
        if isinstance(kind, Mapping):
            check_fields(kind, found[key], name)
        elif isinstance(kind, list):
            for i, one in enumerate(value_of(list, found[key], name)):
                check_fields(kind[0], one, f"{name}[{i}]")
        else:
            value_of(kind, found[key], name)


def check_choice(option: str, value: object, allowed: Collection[str]) -> None:
    """InputError, naming the option, where a setting is none of its choices."""
    if value not in allowed:
        raise InputError(f"`{option}` must be one of {', '.join(allowed)}, got {value!r}.")


def check_least(option: str, value: float | None, least: float) -> None:
    """InputError, naming the option, where a setting is smaller than it may be; None is left to the program."""
    if value is not None and value < least:
        raise InputError(f"`{option}` must be at least {least}, got {value}.")


def check_seed(seed: int) -> None:
    """InputError unless it is a whole number from 0 to MOST_SEED."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MOST_SEED:
        raise InputError(f"`--seed` must be a whole number from 0 to {MOST_SEED}, got {seed}.")


def _name(found: object) -> str:
    return "nothing" if found is None else NAMES.get(type(found), type(found).__name__)
