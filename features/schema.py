"""Values held against what is declared of them: records and fields of JSON, and settings that the user may choose."""

import inspect
import math
import os
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence, Set, Sized
from contextlib import suppress
from dataclasses import fields
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar, cast

from . import InputError

Record = TypeVar("Record")
Function = TypeVar("Function", bound=Callable)
Words = str | float | Sequence[str | float]  # text with commas as a command takes it, or its parts as Python has them
LARGEST = 2**53  # whole numbers up to here are exact in JSON
MOST_SEED = 2**31 - 1  # scikit-learn takes no more than 32 bits, and folds add to it
NAMES = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Path: "a path",
    tuple: "a sequence of text",
    type(None): "None",
}


def record(cls: type[Record], found: object, **checked: Any) -> Record:
    """An instance of the dataclass `cls` from a JSON object with exactly its fields, each of its declared type.

    cls: of text, numbers (finite ones), tuples of them, dicts and optional ones. checked: fields whose value is made
    and checked elsewhere. InputError: no object, fields missing or unknown, a value of another type.
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

    wanted: field -> type, a mapping of its own fields, or a list of one mapping, that of every element; a name that
    ends in `?` may be missing or null. place: the object's own name. InputError, naming the field: missing, of another
    type, a number that is not finite.
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


def comma_text(name: str, value: object) -> str:
    """Text with commas, from text, a number or a sequence of both: `[20, "embedding"]` -> "20,embedding".

    InputError, naming the argument: anything else.
    """
    value = _native(value)
    parts = [value] if isinstance(value, str | int | float) else value
    if not isinstance(parts, Sequence) or any(
        isinstance(part, bool) or not isinstance(part, str | int | float) for part in map(_native, parts)
    ):
        raise InputError(f"`{name}` must be text or a sequence of text or numbers, got {_shown(value)}.")
    return ",".join(str(_native(part)) for part in parts)


def numbers(option: str, value: object) -> tuple[float, ...]:
    """`0.6,0.4` or a sequence of numbers as floats. InputError, naming the option: anything else."""
    text = comma_text(option, value)
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option}: {text!r} found, numbers with commas wanted.") from None


def setting(name: str, kind: Any, value: object) -> Any:
    """A value that was given for a setting or an argument, of its declared type.

    A whole number does for a number and the other way round, one of its parts for a sequence, a NumPy scalar for what
    it holds. InputError, naming the argument: a value of another type.
    """
    value = _native(value)
    kinds = _alternatives(kind)
    if isinstance(value, str) and str in kinds:
        return value
    for one in kinds:
        if typing.get_origin(one) in (tuple, Sequence):
            parts = value if isinstance(value, list | tuple) else (value,)
            with suppress(InputError):
                return tuple(setting(name, typing.get_args(one)[0], part) for part in parts)
        elif isinstance(value, bool):
            if one is bool:
                return value
        elif isinstance(value, os.PathLike if one is Path else one) or (one is float and isinstance(value, int)):
            return value
        elif one is Path and isinstance(value, str):
            return Path(value)
        elif one is int and isinstance(value, float) and value.is_integer():
            return int(value)
    raise InputError(f"`{name}` must be {' or '.join(map(_wanted, kinds))}, got {_shown(value)}.")


def checked(function: Function) -> Function:
    """The function, with every argument of a simple type held against its annotation before it is called."""
    signature = inspect.signature(function)
    kinds = {name: kind for name, kind in function.__annotations__.items() if _is_simple(kind)}
    several = {name for name, kind in function.__annotations__.items() if name not in kinds and _is_sequence(kind)}

    @wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        try:
            signature.bind_partial(*args, **given)  # unknown names first: one may be what is missing, misspelt
            bound = signature.bind(*args, **given)
        except TypeError as error:
            odd = next((name for name in given if name not in signature.parameters), "")
            near = get_close_matches(odd, signature.parameters, n=1)
            meant = f". Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{function.__name__}() {error}{meant}") from None
        for name, value in bound.arguments.items():
            if name in kinds:
                bound.arguments[name] = setting(name, kinds[name], value)
            elif name in several and (isinstance(value, str | bytes | Mapping | Set) or not isinstance(value, Sized)):
                raise InputError(f"`{name}` must be a sequence such as a list, got {_shown(value)}.")
        return function(*bound.args, **bound.kwargs)

    return cast(Function, call)


def forwards(target: Callable) -> Callable[[Function], Function]:
    """Decorator, below `checked`: the function's `**settings` are the keyword-only arguments of `target`."""

    def with_arguments(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        more = [one for one in inspect.signature(target).parameters.values() if one.kind is one.KEYWORD_ONLY]
        function.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        return function

    return with_arguments


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


def _wanted(kind: Any) -> str:
    """A declared type in words."""
    if typing.get_origin(kind) not in (tuple, Sequence):
        return NAMES[kind]
    parts = (NAMES[part].split()[-1] for part in _alternatives(typing.get_args(kind)[0]) if part is not str)
    return f"a sequence of {''.join(f'{part}s' for part in parts) or 'text'}"


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


def _is_simple(kind: Any) -> bool:
    """Text, numbers, paths, truth values, None, and sequences of them; not Words, which `comma_text` reads."""
    several = (Sequence[str], Sequence[float], Sequence[Path], Sequence[Path | str])
    return all(one in (str, int, float, bool, Path, type(None), *several) for one in _alternatives(kind))


def _is_sequence(kind: Any) -> bool:
    return all(typing.get_origin(one) is Sequence for one in _alternatives(kind))


def _native(value: Any) -> Any:
    """A NumPy scalar or array as Python's own."""
    return value.tolist() if hasattr(value, "tolist") else value


def _shown(value: object) -> str:
    """A value of a type of Python's or NumPy's; of others the type alone, as they may show themselves at length."""
    if type(value).__module__ in ("builtins", "pathlib", "numpy"):
        return shorten(repr(value), 80, placeholder=" ...")
    return f"a {type(value).__name__}"
