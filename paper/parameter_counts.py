"""Sizes that follow from a published description by arithmetic alone."""

from collections.abc import Sequence


def attention_parameters(widths: Sequence[int], classes: int, dim: int, ffn: int) -> int:
    """Trained parameters of the note's attention head as it is written (note, head).

    Per token Linear(width -> dim) and LayerNorm; a learned row a token; [CLS]; one pre-LN block: two LayerNorms, query,
    key, value and output Linear(dim -> dim), FFN dim -> ffn -> dim; Linear(dim -> classes) on [CLS].
    """
    return _projections(widths, dim) + len(widths) * dim + dim + _block(dim, ffn) + _linear(dim, classes)


def scalarmix_parameters(widths: Sequence[int], classes: int, dim: int) -> int:
    """Of the scalar mix: the same projections, one weight a token, the classifier."""
    return _projections(widths, dim) + len(widths) + _linear(dim, classes)


def vit_tokens(pixels: int, patch: int) -> int:
    """Tokens of a square picture in square patches, [CLS] among them: the rows of its position embedding."""
    return (pixels // patch) ** 2 + 1


def _linear(a: int, b: int) -> int:
    return a * b + b


def _projections(widths: Sequence[int], dim: int) -> int:
    return sum(_linear(width, dim) + 2 * dim for width in widths)


def _block(dim: int, ffn: int) -> int:
    return 2 * 2 * dim + 4 * _linear(dim, dim) + _linear(dim, ffn) + _linear(ffn, dim)
