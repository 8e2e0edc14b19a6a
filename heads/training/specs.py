"""Which heads to train, and on what: the command line's `--head`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...features import InputError
from .. import first_passes, modules, sequences
from ..inputs import parse_tokens
from ..modules import Head
from ..sequences import SequenceHead

KINDS: dict[str, type[Head] | type[SequenceHead]] = {**modules.KINDS, **first_passes.KINDS, **sequences.KINDS}
SETS = {"sequence": ("sequence-gru", "sequence-attention")}  # several heads under one name


@dataclass(frozen=True)
class HeadSpec:
    """One head to train. name: that of its files; kind: one of `KINDS`; tokens: what it reads."""

    name: str
    kind: str
    tokens: tuple[str, ...]

    @property
    def over_time(self) -> bool:
        """Whether it reads recordings, not single windows."""
        return self.kind in sequences.KINDS

    @property
    def in_one_go(self) -> bool:
        """Whether it is fitted without steps."""
        return self.kind in first_passes.KINDS

    @property
    def maps_logits(self) -> bool:
        """Whether it needs to know which of the backbone's outputs belongs to which class."""
        return self.in_one_go and first_passes.LOGITS in self.tokens


def build(kind: str, widths: Mapping[str, int], n_classes: int, **options) -> Head | SequenceHead:
    """A head of any kind. InputError: see `heads.modules.build`."""
    if kind not in KINDS:
        raise InputError(f"`--head` must be one of {', '.join([*KINDS, *SETS])}, got {kind!r}.")
    return modules.build(kind, widths, n_classes, KINDS, **options)


def parse_heads(
    text: str, tokens: Sequence[str], stored: Sequence[str], first_pass: bool = False
) -> tuple[HeadSpec, ...]:
    """`attention,protossm,concat:21+24,linear:embedding`: kinds, each with its own taps after a colon if it has any.

    tokens: what the others read; stored: the store's taps; first_pass: whether there is one. InputError: an unknown
    kind or tap, one head twice, linear on several taps, a head that needs a first pass.
    """
    specs = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, own = part.partition(":")
        own = own or (first_passes.LOGITS if name == "mapped-logits" else "")
        chosen = parse_tokens(own.replace("+", ","), stored) if own else tuple(tokens)
        for kind in SETS.get(name, (name,)):
            spec = HeadSpec("-".join([kind, *chosen]) if ":" in part else kind, kind, chosen)
            options = {"first_pass": first_pass} if spec.over_time else {}
            build(kind, dict.fromkeys(chosen, 1), 1, **options)  # says at once what is wrong
            specs.append(spec)
    names = [spec.name for spec in specs]
    if not names or len(set(names)) < len(names):
        raise InputError(f"`--head` must be one or several of {', '.join([*KINDS, *SETS])}, each once, got {text!r}.")
    return tuple(specs)
