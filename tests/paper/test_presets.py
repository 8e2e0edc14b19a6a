"""paper/presets.json is what the members' code says. `python -m tests.paper.test_presets` writes it anew."""

import json
from dataclasses import asdict

from birdprobe.finetune.models.members import MEMBERS
from birdprobe.paper.tables.members import PRESETS as PATH


def presets() -> dict:
    return {name: asdict(one.recipe) | {"sample_rate": one.sample_rate} for name, one in MEMBERS.items()}


def text() -> str:
    return json.dumps(presets(), indent=1) + "\n"


def test_the_file_is_what_the_code_says():
    assert PATH.read_text(encoding="utf-8") == text(), "python -m tests.paper.test_presets writes it anew"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
