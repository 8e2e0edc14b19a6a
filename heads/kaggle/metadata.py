"""What Kaggle wants to be told: the metadata files of a kernel and of a dataset, and wheels for a run with no internet.

The fields are those that Kaggle's command-line client documents (docs/kernels_metadata.md, docs/datasets_metadata.md).
"""

import re
from importlib.metadata import version

from .wheel import NEEDED

USER = "YOUR-KAGGLE-NAME"
PYTHON = "3.12"  # of Kaggle's image; `!python --version` in a notebook tells


def wheels() -> str:
    """The packages, as pip reads them, and the line that fetches them for Kaggle's Python."""
    lines = [f"{name}=={version(name)}" for name in NEEDED]
    return "\n".join(
        [
            "# Versions that this package was made with. The notebook installs only those that are not there already.",
            "# Where there is internet, in this folder (the Python is Kaggle's):",
            f"#   pip download --only-binary=:all: --python-version {PYTHON} --platform manylinux_2_28_x86_64 "
            "--platform manylinux_2_17_x86_64 -d wheels -r wheels.txt",
            *lines,
            "",
        ]
    )


def slug(title: str) -> str:
    """Kaggle's: lower case, dashes for all that is no letter or digit."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def titles(competition: str) -> tuple[str, str]:
    """(kernel's, dataset's). Kaggle wants 50 characters at most, and the ids to be the titles' slugs."""
    return f"birdprobe {competition}"[:50], f"birdprobe package {competition}"[:50]


def kernel(user: str, competition: str, code_file: str) -> dict:
    """Kaggle's documented fields; its examples give truth values as text."""
    title, package = titles(competition)
    return {
        "id": f"{user}/{slug(title)}",
        "title": title,
        "code_file": code_file,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": "true",
        "enable_gpu": "false",
        "enable_internet": "false",
        "dataset_sources": [f"{user}/{slug(package)}"],
        "competition_sources": [competition],
        "kernel_sources": [],
        "model_sources": [],
    }


def dataset(user: str, competition: str) -> dict:
    """No licence is given: a trained model's depends on what it was trained on."""
    title = titles(competition)[1]
    return {"title": title, "id": f"{user}/{slug(title)}", "licenses": [{"name": "unknown"}]}
