"""Token syntax and what it assembles."""

import numpy as np
import pytest

from birdprobe.features import InputError
from birdprobe.heads.inputs import assemble, parse_tokens, taps_of

STORED = ("stem", "block_00", "block_02", "block_03", "block_10", "embedding", "logits")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("all", STORED),
        ("10,2", ("block_10", "block_02")),  # in the order given
        ("-1,-2", ("block_10", "block_03")),
        ("0-3", ("block_00", "block_02", "block_03")),
        ("2:10,embedding", ("block_02", "block_03", "block_10", "embedding")),
        ("block_02-block_03", ("block_02", "block_03")),
        ("3-2,10", ("block_03-block_02", "block_10")),
        ("block_03-block_02", ("block_03-block_02",)),
        ("block_00-stem", ("block_00-stem",)),
        ("3, 3 ,block_03", ("block_03",)),
    ],
)
def test_syntax(text, tokens):
    assert parse_tokens(text, STORED) == tokens
    assert parse_tokens(",".join(tokens), STORED) == tokens  # what is written is read back as the same


@pytest.mark.parametrize("text", ["", "1", "-5", "block_01", "foo", "0-11", "3-1", "embedding-foo", "10:2"])
def test_unknown(text):
    with pytest.raises(InputError, match=r"`--taps` must be .*block_00.*got"):
        parse_tokens(text, STORED)


def test_a_block_under_several_poolings():
    stored = ("block_02/mean", "block_02/max", "block_04/mean", "block_04/max", "embedding")
    assert parse_tokens("2", stored) == parse_tokens("-2", stored) == ("block_02/mean", "block_02/max")
    assert parse_tokens("block_04/max,embedding", stored) == ("block_04/max", "embedding")
    assert parse_tokens("2-4", stored) == stored[:4]
    assert parse_tokens("block_04/max-block_02/max", stored) == ("block_04/max-block_02/max",)
    with pytest.raises(InputError, match="--taps"):
        parse_tokens("4-2", stored)  # a difference of which?


def test_assemble_flattens_and_subtracts():
    features = {"block_01": np.arange(12.0).reshape(2, 3, 2), "block_02": np.ones((2, 6)), "stem": np.ones((2, 4))}
    tokens = ("block_02", "block_02-block_01")
    plain, difference = assemble(features, tokens)
    assert plain is features["block_02"] or np.shares_memory(plain, features["block_02"])
    assert np.array_equal(difference, 1 - np.arange(12.0).reshape(2, 6))
    assert taps_of(tokens) == ("block_02", "block_01")
    with pytest.raises(InputError, match="token block_02-stem: expected equal widths, got 6 and 4"):
        assemble(features, ("block_02-stem",))
