"""A wheel of birdprobe itself: the rooms that predicting needs, made from the files that are imported here."""

import base64
import hashlib
import zipfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("features", "analysis", "probe")
NEEDED = ("onnxruntime", "numpy", "pandas", "soundfile", "soxr")  # what predicting imports
EPOCH = (1980, 1, 1, 0, 0, 0)  # zip's first moment, so that the same files give the same bytes


def build_wheel(folder: Path) -> Path:
    """Write FOLDER/birdprobe-VERSION-py3-none-any.whl (PEP 427): the Python files of the rooms that predicting needs.

    Args:
        folder: an existing folder.

    Returns: the wheel's path. Its bytes depend on the files and the version alone.
    """
    number = version("birdprobe")
    info = f"birdprobe-{number}.dist-info"
    sources = [ROOT / "__init__.py", *(path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))]
    files = {f"birdprobe/{path.relative_to(ROOT).as_posix()}": path.read_bytes() for path in sources}
    requires = "".join(f"Requires-Dist: {name}\n" for name in NEEDED)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: birdprobe\nVersion: {number}\n{requires}".encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: birdprobe\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = [f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items()]
    files[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"]).encode()
    path = folder / f"birdprobe-{number}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, data)
    return path


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
