"""The house plan holds: who may import whom, and where each heavy library lives. Read from the source with `ast`."""

import ast
import graphlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("features", "analysis", "probe", "heads", "finetune", "figures", "paper")

# room -> rooms it may import besides itself
ARROWS = {
    "features": set(),
    "analysis": {"features"},
    "probe": {"features", "analysis", "figures"},
    "finetune": {"features", "analysis", "probe"},
    "heads": {"features", "analysis", "probe", "finetune", "figures"},
    "figures": {"features", "analysis"},
    "paper": {"features", "analysis", "figures", "probe.models.registry"},  # what to cite
}

# library -> modules or packages where it may be imported
HOMES = {
    "onnx": {"probe", "heads.fuse", "heads.kaggle", "finetune.wren.train", "finetune.export"},
    "onnxruntime": {"probe", "heads.fuse", "heads.kaggle", "finetune.wren.train"},
    "torch": {"heads", "finetune"},
    "timm": {"finetune"},
    "transformers": {"finetune"},
    "matplotlib": {"figures"},
    "h5py": {"features.store"},
    "umap": {"analysis.projection"},
    "typst": {"paper"},
    "pooch": {"probe.models"},
    "tflite": {"probe.models.convert"},
}


def modules():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever in the file the statement stands; rooms without `birdprobe.`."""
    found = set()
    here = ("birdprobe", *path.relative_to(ROOT).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join([*here[: -node.level], *([node.module] if node.module else [])]) if node.level else node.module
            )
            assert node.level or not base.startswith("birdprobe"), f"{path}: rooms import each other relatively"
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return {name.removeprefix("birdprobe.") for name in found}


def under(name: str, places: set[str]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda v: v if isinstance(v, str) else "")
def test_imports_follow_the_arrows(name, path):
    room = name.split(".")[0]
    for target in imports(path):
        head = target.split(".")[0]
        if name.endswith("commands") and target.startswith("probe.cli"):
            continue  # the commands of all rooms share their options and what they print
        if head in PACKAGES and head != room:
            assert under(target, ARROWS[room]), f"{name} imports {target}"


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda v: v if isinstance(v, str) else "")
def test_each_library_has_one_home(name, path):
    for target in imports(path):
        library = target.split(".")[0]
        if library in HOMES:
            assert under(name, HOMES[library]), f"{name} imports {library}, whose home is {HOMES[library]}"


def test_no_imports_run_in_a_circle():
    """Nor do those for type checkers alone, or inside a function."""
    places, known = dict(modules()), {"probe.sweep.conclusion.text"}  # words of a record that hands them out itself
    graph = {}
    for name, path in places.items():
        found = imports(path) & places.keys()
        graph[name] = {one for one in found if not any(other.startswith(f"{one}.") for other in found)} - {name}
    for name in known:
        graph[name] = set()
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_no_module_is_named_after_nothing():
    banned = {"utils", "util", "misc", "helpers", "common"}
    assert not [name for name, _ in modules() if name.split(".")[-1] in banned]


def test_help_imports_nothing_heavy():
    # umap's import alone can take twenty seconds, and --help must feel instant
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from birdprobe.probe.cli.app import app\n"
        "result = CliRunner().invoke(app, ['--help'])\n"
        "assert result.exit_code == 0, result.output\n"
        "heavy = {'onnx', 'onnxruntime', 'torch', 'umap', 'sklearn', 'h5py', 'matplotlib', 'librosa', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_distribution_holds_every_package():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(("birdprobe", *path.parent.relative_to(ROOT).parts))
        for room in PACKAGES
        for path in (ROOT / room).rglob("__init__.py")
    }
    assert set(listed) == {"birdprobe"} | found


@pytest.mark.parametrize("room", PACKAGES)
def test_a_room_holds_at_most_twelve_files(room):
    for folder in [ROOT / room, *(path for path in (ROOT / room).rglob("*") if path.is_dir())]:
        files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= 12, f"{folder}: {len(files)} files"
