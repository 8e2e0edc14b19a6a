"""docs/api.md is the contract of `import birdprobe`: it names what is public, its snippets and the notebook run."""

import inspect
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import birdprobe as bp

DOCS = Path(__file__).resolve().parent.parent / "docs"
API = (DOCS / "api.md").read_text()
SIGNATURES = dict(re.findall(r"^\| `bp\.(\w+)(?:\((.*?)\))?` \|", API, flags=re.MULTILINE))


def test_the_page_of_functions_names_what_is_public_and_nothing_else():
    assert sorted(SIGNATURES) == sorted(bp.__all__)
    assert set(re.findall(r"\bbp\.(\w+)", API)) <= {*bp.__all__, "__file__"}


@pytest.mark.parametrize("name", [name for name, arguments in SIGNATURES.items() if arguments])
def test_arguments_on_the_page_are_those_of_the_function(name):
    shown: dict = {}
    exec(f"def shown({SIGNATURES[name]}): ...", shown)
    real = inspect.signature(getattr(bp, name)).parameters
    for argument, parameter in inspect.signature(shown["shown"]).parameters.items():
        assert argument in real or parameter.kind is parameter.VAR_KEYWORD, argument
        if parameter.default is not parameter.empty:
            assert parameter.default == real[argument].default, argument


@pytest.mark.slow
def test_the_snippets_of_the_page_run_one_after_another(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    for snippet in re.findall(r"^```python\n(.*?)^```", API, flags=re.DOTALL | re.MULTILINE):
        exec(snippet, scope)
    assert scope["run"].report.is_file() and len(scope["best"]) == 7 * 5
    assert scope["x"].shape[0] == 30 and list(scope["vectors"]) == ["block_22", "embedding"]
    assert scope["ranked"].conclusion.linear.read == "block_22"
    assert scope["probabilities"].shape == (30, 3)


def test_the_notebook_is_kept_without_outputs():
    book = nbformat.read(DOCS / "decision.ipynb", as_version=4)
    nbformat.validate(book)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in book.cells)


@pytest.mark.slow
def test_the_notebook_comes_to_a_decision(tmp_path):
    book = nbformat.read(DOCS / "decision.ipynb", as_version=4)
    NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    printed = "".join(out.text for cell in book.cells for out in cell.get("outputs", ()) if out.output_type == "stream")
    assert "With a linear head: " in printed and re.search(
        r"^read \w+ by \w+: 0\.\d+ \[0\.\d+, [01]\.\d+\]; 140 clips", printed, re.M
    )
    assert re.search(r"^linear head on \w+: [01]\.\d+|^no torch here", printed, re.M)
    assert (tmp_path / "decision-run" / "report.html").is_file()
