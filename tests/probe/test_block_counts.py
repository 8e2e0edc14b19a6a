"""The truth table: blocks of 114 published architectures through both of torch's exporters, and the known misses.

The numbers are those of the sources (block_counts.json says which). A miss that is none any more fails too.
"""

import json
from pathlib import Path

import pytest

from birdprobe.probe.blocks.detection import find_blocks
from tests.audio_architectures import audio_export
from tests.graphs import timm_export

TABLE = json.loads(Path(__file__).with_name("block_counts.json").read_text())
FIXED = ("vit", "deit", "beit", "eva", "swin", "nest", "xcit", "cait", "tnt", "pit", "coat", "levit", "mixer", "gmlp")
FIXED += ("resmlp", "hiera", "mvit", "visformer", "maxvit", "twins", "sequencer", "convit", "efficientformer")
FIXED += ("volo", "crossvit", "inception_v")


def test_the_table_is_whole():
    assert len(TABLE["architectures"]) >= 60
    assert set(TABLE["misses"]) <= set(TABLE["architectures"]) and all(TABLE["misses"].values())


def cases():
    for name, row in TABLE["architectures"].items():
        reason = TABLE["misses"].get(name)
        marks = [
            pytest.mark.slow,
            *([pytest.mark.xfail(reason=reason, raises=AssertionError, strict=True)] if reason else []),
        ]
        yield pytest.param(name, row, marks=marks, id=name)


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("name, row", cases())
def test_blocks_are_those_of_the_source(name, row, dynamo, tmp_path):
    if row.get("library") == "transformers":
        model = audio_export(name, tmp_path, dynamo)
    else:
        if not dynamo and row.get("exporter") == "dynamo":
            pytest.skip("torch's older exporter cannot write it")
        mobile = name.startswith(("mobilevit", "efficientvit_b"))
        fixed = not mobile and any(part in name for part in FIXED)
        model = timm_export(name, tmp_path, dynamo, None if fixed else 96)
    assert len(find_blocks(model).blocks) == row["blocks"]
