"""Tokens: what a head reads. A token is a tap (`block_24`) or the difference of two (`block_24-block_23` = h24 - h23).

Differences are the residual tokens of Yadav 2026: with a free Linear per token they carry the same signal as the taps
themselves, so they are an option and not the default.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..features import InputError
from ..features.store import StoreKey

_BLOCK = r"(?:block_)?(\d+)|(-\d+)"


def parse_tokens(text: str, stored: Sequence[str]) -> tuple[str, ...]:
    """Tokens from the command line's syntax, in the order given and without repeats. stored: the store's taps.

    `all`, numbers (negative ones count from the store's last block), names, ranges `4-8` or `4:8` with both ends (the
    blocks in between that the store holds; of a block under several poolings, each), differences `24-23` of a deeper
    block and an earlier one; comma-separated.
    InputError for what the store does not hold.
    """
    found: dict[str, None] = {}
    for part in filter(None, (part.strip() for part in str(text).split(","))):
        found.update(dict.fromkeys(_parsed(part, stored)))
    if not found:
        raise InputError(f"`--taps` must be at least one of {', '.join(stored)}, got {text!r}.")
    return tuple(found)


def parts(token: str) -> tuple[str, ...]:
    """The taps of a token: one, or (minuend, subtrahend)."""
    return tuple(token.split("-"))


def taps_of(tokens: Sequence[str]) -> tuple[str, ...]:
    """Every tap that the tokens need, once each, in order of appearance."""
    return tuple(dict.fromkeys(tap for token in tokens for tap in parts(token)))


def key_difference(found: StoreKey, wanted: StoreKey, tokens: Sequence[str]) -> str | None:
    """Why features under the key `found` do not fit a head of `tokens` trained under `wanted`; None where they do.

    Which windows of a clip were taken, with which seed and in which number type may differ: the features of one window
    do not depend on it. Of the taps only those that the head reads must be there.
    """
    if missing := [tap for tap in taps_of(tokens) if tap not in found.taps]:
        return f"taps {', '.join(found.taps)} on disk, expected {', '.join(missing)} too. Made with another --taps?"
    same = {name: getattr(wanted, name) for name in ("taps", "selection", "seed", "dtype")}
    differences = replace(found, **same).differences(wanted)
    return differences[0] if differences else None


def assemble(features: Mapping, tokens: Sequence[str]) -> list:
    """Tap -> array or tensor [N, *dims], to one [N, width] per token. InputError: a difference of unequal widths."""
    return [_assembled(features, token) for token in tokens]


def _assembled(features: Mapping, token: str):
    arrays = [features[tap].reshape(features[tap].shape[0], -1) for tap in parts(token)]
    if len(arrays) == 1:
        return arrays[0]
    if arrays[0].shape != arrays[1].shape:
        widths = " and ".join(str(array.shape[1]) for array in arrays)
        raise InputError(f"token {token}: expected equal widths, got {widths}. Are the blocks of two stages?")
    return arrays[0] - arrays[1]


def _parsed(part: str, stored: Sequence[str]) -> list[str]:
    if part == "all":
        return list(stored)
    if part in stored:
        return [part]
    if match := re.fullmatch(_BLOCK, part):
        return _readings(_block(part, match[1] or match[2], stored), stored)
    if match := re.fullmatch(rf"(?:{_BLOCK})(-|:)(?:{_BLOCK})", part):
        first, last = _block(part, match[1] or match[2], stored), _block(part, match[4] or match[5], stored)
        i, j = stored.index(_readings(first, stored)[0]), stored.index(_readings(last, stored)[-1])
        if i <= j:
            return [tap for tap in stored[i : j + 1] if tap.startswith("block_")]
        if match[3] == "-" and {first, last} <= set(stored):
            return [f"{first}-{last}"]
    elif part.count("-") == 1 and set(parts(part)) <= set(stored):
        return [part]  # a difference by name, such as block_25-stem
    raise _unknown(part, stored)


def _block(part: str, digits: str, stored: Sequence[str]) -> str:
    blocks = list(dict.fromkeys(tap.partition("/")[0] for tap in stored if tap.startswith("block_")))
    if digits.startswith("-"):
        if int(digits) >= -len(blocks):
            return blocks[int(digits)]
    elif (name := f"block_{int(digits):02d}") in blocks:
        return name
    raise _unknown(part, stored)


def _readings(block: str, stored: Sequence[str]) -> list[str]:
    """A block's taps: itself, or one a pooling."""
    return [tap for tap in stored if tap.partition("/")[0] == block]


def _unknown(part: str, stored: Sequence[str]) -> InputError:
    return InputError(f"`--taps` must be taps of the store ({', '.join(stored)}), got {part!r}.")
