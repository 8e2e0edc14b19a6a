"""Taps by number, range and name; the JSON of the blocks."""

import json

import pytest

from birdprobe.features import InputError
from birdprobe.probe.blocks.detection import find_blocks
from tests.graphs import Spelling, perch


@pytest.fixture(scope="module")
def architecture():
    return find_blocks(perch(Spelling(), scale=0.1))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("0", "block_00"),
        ("-1", "block_25"),
        ("-26", "block_00"),
        ("block_07,logits,3", "block_03 block_07 logits"),
        ("4-6", "block_04 block_05 block_06"),
        ("4:6", "block_04 block_05 block_06"),
        ("-3:-1", "block_23 block_24 block_25"),
        ("24--1", "block_24 block_25"),
        ("block_24-block_25", "block_24 block_25"),
        (" embedding , 1,1, 1:1,", "block_01 embedding"),
        ("logits,stem", "stem logits"),
    ],
)
def test_taps_are_chosen_in_graph_order(architecture, text, expected):
    assert architecture.select(text) == tuple(expected.split())


def test_all_means_blocks_embedding_and_logits(architecture):
    assert architecture.select("all") == (*(f"block_{i:02d}" for i in range(26)), "embedding", "logits")
    assert architecture.select("stem,all")[0] == "stem"
    assert list(architecture.taps) == ["stem", *architecture.select("all")]


@pytest.mark.parametrize("text", ["26", "-27", "6-4", "block_99", "nonsense", "", "1,2,x", "0-26", "3.5"])
def test_unknown_taps_are_told_what_exists(architecture, text):
    with pytest.raises(InputError, match=r"block_00..block_25 \(or 0..25\), stem, embedding, logits"):
        architecture.select(text)


def test_json_has_the_fields_of_the_contract(architecture):
    data = json.loads(json.dumps(architecture.to_json()))
    wanted = {"index", "name", "kind", "stage", "channels", "map", "tensor", "macs"}
    assert all(wanted <= block.keys() for block in data["blocks"]) and len(data["blocks"]) == 26
    assert data["inputs"] == [{"name": "inputs", "shape": [1, 160_000]}]
    assert {"name": "spectrogram", "shape": [1, 500, 128]} in data["outputs"]
    assert data["embedding"]["tensor"] == "embedding" and data["logits"]["tensor"] == "label"
