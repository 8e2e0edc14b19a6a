"""Which heads to train, and on what: the command line's `--head`."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...features import InputError
from ..inputs import parse_tokens
from ..modules import KINDS, build


@dataclass(frozen=True)
class HeadSpec:
    """One head to train. name: that of its files; kind: of `modules.KINDS`; tokens: what it reads."""

    name: str
    kind: str
    tokens: tuple[str, ...]


def parse_heads(text: str, tokens: Sequence[str], stored: Sequence[str]) -> tuple[HeadSpec, ...]:
    """`attention,scalarmix,concat:21+24,linear:embedding`: kinds, each with its own taps after a colon if it has any.

    tokens: what the others read; stored: the store's taps. InputError: an unknown kind or tap, one head twice, linear
    on several taps.
    """
    specs = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        kind, _, own = part.partition(":")
        chosen = parse_tokens(own.replace("+", ","), stored) if own else tuple(tokens)
        specs.append(HeadSpec("-".join([kind, *chosen]) if own else kind, kind, chosen))
        build(kind, dict.fromkeys(chosen, 1), 1)  # says at once what is wrong
    names = [spec.name for spec in specs]
    if not names or len(set(names)) < len(names):
        raise InputError(f"`--head` must be one or several of {', '.join(KINDS)}, each once, got {text!r}.")
    return tuple(specs)
