"""Numbers by name: what Typst and LaTeX read is what was written, and a name that is not there stops the compiler."""

import json
import re
import shutil

import pytest

from birdprobe.features import InputError
from birdprobe.paper.macros import Macros, Missing
from birdprobe.paper.typeset import TEXT, minus, soft

typst = pytest.importorskip("typst")

AWKWARD = {
    "sweep.best.knn": "0.905 [0.874, 0.933]",
    "a.b": 'a "quoted" \\ back#slash $x$ _y_ & 50 % <label> @ref',
    "c": "−0.008",
}


def compiled(tmp_path, macros, text):
    (tmp_path / "numbers.json").write_text(macros.to_json(), encoding="utf-8")
    shutil.copy(TEXT / "macros.typ", tmp_path)
    source = tmp_path / "text.typ"
    source.write_text('#import "macros.typ": *\n' + text, encoding="utf-8")
    found = typst.query(str(source), "metadata", field="value", root=str(tmp_path), ignore_system_fonts=True)
    return json.loads(found)


def test_typst_reads_what_was_written(tmp_path):
    text = "".join(f"#metadata(num({json.dumps(name)}))\n" for name in AWKWARD)
    assert compiled(tmp_path, Macros(AWKWARD), text) == list(AWKWARD.values())


def test_a_role_is_there_when_a_name_of_it_is(tmp_path):
    text = '#metadata((have("sweep"), have("swee"), have("c"), have("b")))'
    assert compiled(tmp_path, Macros(AWKWARD), text) == [[True, False, True, False]]


def test_a_name_that_is_not_there_stops_the_compiler(tmp_path):
    with pytest.raises(RuntimeError, match=r"no number is called sweep\.worst"):
        compiled(tmp_path, Macros(AWKWARD), '#num("sweep.worst")')


def test_gaps_and_tables_reach_the_text_with_the_lines_of_their_commands(tmp_path):
    gap = Missing("members", "fine-tuned models", "None is given.", "birdprobe a \\\n  -o b")
    text = "#metadata(left-out.members.command)\n#metadata(tables)"
    found = compiled(tmp_path, Macros({}, (gap,), ("table1",)), text)
    assert found == ["birdprobe a \\\n  -o b", ["table1"]]
    assert compiled(tmp_path, Macros({}), "#metadata((values.len(), left-out.len(), tables.len()))") == [[0, 0, 0]]


def test_latex_defines_every_name_once_and_escapes_its_text():
    tex = Macros(AWKWARD).to_latex()
    defined = re.findall(r"\\def\\csname birdprobe@(.*?)\\endcsname\{(.*)\}$", tex, flags=re.MULTILINE)
    assert [name for name, _ in defined] == sorted(AWKWARD)
    text = dict(defined)
    assert text["c"] == "$-$0.008" and text["sweep.best.knn"] == AWKWARD["sweep.best.knn"]
    assert r"\textbackslash{}" in text["a.b"] and r"\#slash" in text["a.b"] and r"50 \%" in text["a.b"]


def test_an_empty_number_is_refused():
    with pytest.raises(InputError, match=r"macros: sweep\.best is ' '"):
        Macros({"sweep.best": " "})


def test_a_hyphen_becomes_a_minus_only_where_it_means_one():
    assert minus("-0.3 [-0.5, 0.1], (-1, 1)") == "−0.3 [−0.5, 0.1], (−1, 1)"
    for kept in ("0.1-0.2", "5-NN", "block-3", "2026-11-21", "birdprobe predict --tta-shifts 0,1,-1", "--run a"):
        assert minus(kept) == kept


def test_long_names_may_break_after_their_signs():
    assert soft("vit_base_patch14_dinov2.lvd142m").split("\u200b") == [
        "vit_",
        "base_",
        "patch14_",
        "dinov2.",
        "lvd142m",
    ]
    assert soft("block_07 and 0.905") == "block_07 and 0.905"
