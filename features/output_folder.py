"""The one keeper of output folders: which files in them are ours, and how results take the place of older ones.

A folder is a command's own only if its index (`config.json`, for the paper `index.json`) says so: `"format":
"birdprobe/KIND"`, and `"files"`, every file that was written. Runs of the first edition have neither; they are known
by other fields, and of their files only the names that this kind writes are ours. Files that are not listed are never
touched, and nothing is written or removed through a symbolic link. Results are drafted in a hidden folder inside and
take their places when they are whole.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import InputError
from .files import KEPT, check_parents, explained, write_bytes, write_json
from .locks import Lock, Locked
from .progress import Log
from .schema import check_fields

DRAFT = ".unfinished-"
DATA = (".csv", ".json")  # endings of results, while pictures and pages are drawn from them


@dataclass(frozen=True)
class Kind:
    """What one command keeps in its folder.

    Attributes:
        name: what the index says, such as "sweep".
        what: in messages, such as "a finished run".
        written: patterns (of `Path.glob`) of all that it writes; older runs without a list own what fits them.
        known_by: fields of the index of runs of the first edition.
        index: the file that says whose the folder is.
        kept: beginnings of names that lie in the folder before a run is finished: caches and the like.
        formats: what the index of earlier editions says in place of `format`.
        says: fields of the index that tell whether results are the very ones asked for, see `schema.check_fields`.
    """

    name: str
    what: str
    written: tuple[str, ...]
    known_by: tuple[str, ...]
    index: str = "config.json"
    kept: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    says: Mapping[str, Any] = field(default_factory=dict)

    @property
    def format(self) -> str:
        return f"birdprobe/{self.name}"


@dataclass(frozen=True)
class OutputFolder:
    """The folder of one command's results. It need not exist yet."""

    path: Path
    kind: Kind

    def done(self, overwrite: bool, differing: Callable[[dict], str], log: Log) -> bool:
        """Whether the very results that are asked for are here, finished; then the log hears that nothing is done.

        Args:
            overwrite: whether they are to be made anew, whatever is here.
            differing: what the results of an index have otherwise than asked for, in words; "" where they are the same.
            log: hears one line.

        Raises:
            InputError: finished results, but others, or damaged ones; a folder of another command.
        """
        if overwrite or not (self.path.is_dir() and self._finished(self.owned())):
            return False
        index = read_index(self.path / self.kind.index)
        gone = [name for name in listed(index) if name.endswith(DATA) and not (self.path / name).is_file()]
        try:
            check_fields(self.kind.says, index)
            what = f"{gone[0]} is missing" if gone else differing(index)
        except InputError as error:
            what = str(error).rstrip(".")
        if what:
            raise self._taken(what)
        self._clear_up()
        log(f"{self.path}: already done, nothing is computed; --overwrite runs it again.")
        return True

    def check(self, overwrite: bool, planned: Iterable[str] = ()) -> None:
        """Accept or refuse the folder before anything is computed. No result is changed.

        Args:
            overwrite: whether finished results may be replaced.
            planned: files that will be written, besides those that the kind names without a wildcard.

        Raises:
            InputError: no folder; results or other files in it without `overwrite`; a folder of another command, a
                file that is not ours or a symbolic link in the place of one of ours, `overwrite` or not.
        """
        path = self.path
        with explained(path):
            if os.path.lexists(path) and not path.is_dir():
                what = "a file" if path.exists() else "a dangling symbolic link"
                raise InputError(f"{path}: expected a folder, got {what}.")
            check_parents(path)
        owned = self.owned()
        if not overwrite and self._finished(owned):
            self._clear_up()
            raise self._taken()
        self.refuse_foreign(owned or (), [*(name for name in self.kind.written if "*" not in name), *planned])
        if owned is None and not overwrite:
            expected = (*self.kind.kept, DRAFT, ".")
            others = sorted(name for name in self._names() if not name.startswith(expected))
            if others:
                raise InputError(
                    f"{path}: expected a new folder, got other files ({', '.join(others[:3])}). With --overwrite they "
                    "stay where they are."
                )

    def _finished(self, owned: tuple[str, ...] | None) -> bool:
        return owned is not None and not read_index(self.path / self.kind.index).get("unfinished")

    def _taken(self, differing: str = "") -> InputError:
        why = f" ({differing})" if differing else ""
        return InputError(
            f"{self.path}: expected a new folder, got {self.kind.what}{why}. Use --overwrite to replace the results "
            "in it."
        )

    def owned(self) -> tuple[str, ...] | None:
        """Files that are ours, as paths relative to the folder; None where no finished results are.

        InputError: an index that is damaged, a symbolic link, or another command's.
        """
        place = self.path / self.kind.index
        if not os.path.lexists(place):
            return None
        found = read_index(place)
        if "format" in found and found["format"] not in (self.kind.format, *self.kind.formats):
            raise InputError(
                f"{place}: expected {self.kind.format!r} or another folder, got {found['format']!r}. {KEPT}"
            )
        if missing := [name for name in self.kind.known_by if name not in found and "format" not in found]:
            raise InputError(
                f"{place}: no {missing[0]} in it, so not written by `birdprobe {self.kind.name}`. Another program's? "
                f"Give another folder. {KEPT}"
            )
        if "files" in found:
            return (self.kind.index, *listed(found))
        there = (path for one in self.kind.written for path in sorted(self.path.glob(one)))
        return tuple(dict.fromkeys((self.kind.index, *(path.relative_to(self.path).as_posix() for path in there))))

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Mark a new folder as ours while its first files are made, so that a killed run is known as ours.

        Not where files that the kind keeps are there already: whose they are is not known. The mark goes again where
        the block fails and leaves none.
        """
        index, fresh = self.path / self.kind.index, not self.path.exists()
        new = self.owned() is None and not self._keeps_some()
        if new:
            with explained(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                write_json(index, {"format": self.kind.format, "unfinished": True, "files": []})
        try:
            yield
        except BaseException:
            if new and not self._keeps_some():
                index.unlink(missing_ok=True)
                if fresh:
                    with suppress(OSError):
                        self.path.rmdir()
            raise

    @contextmanager
    def replacing(self) -> Iterator[Path]:
        """A draft folder, whose files take the place of the older results when the block ends.

        After a failure everything is as it was. The index has to be among the files; `format` and `files` are added.
        InputError: what `check` refuses with `overwrite`; another process at work here; a full disk.
        """
        fresh = not self.path.exists()
        try:
            with explained(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
            with self._alone(), self._draft() as draft:
                yield draft
                self._publish(draft, self.owned() or ())
        except BaseException:
            if fresh:
                with suppress(OSError):
                    self.path.rmdir()
            raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The one process at work here, without the drafts of killed ones: nobody else holds the lock."""
        with Lock(self.path / "results"):
            for left in self.path.glob(f"{DRAFT}*"):
                _remove_draft(left)
            yield

    def _clear_up(self) -> None:
        """Remove what a process leaves that was killed in the instant after its results: its lock, its draft."""
        if (self.path / ".results.lock").exists():
            with suppress(Locked, OSError), self._alone():
                pass

    @contextmanager
    def _draft(self) -> Iterator[Path]:
        with explained(self.path):
            draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=self.path))
        try:
            with explained(self.path, only=draft):
                yield draft
        finally:
            _remove_draft(draft)

    def _publish(self, draft: Path, owned: Iterable[str], about: dict | None = None) -> None:
        """Move the draft's files into place; on any failure, move the old ones back.

        about: of results that stay and to which the draft's files are added; None for new results.
        """
        index, own = self.path / self.kind.index, self.kind.index
        new = [path.relative_to(draft).as_posix() for path in sorted(draft.rglob("*")) if path.is_file()]
        self.refuse_foreign(owned, new)
        old = {name for name in owned if name != own}
        gone = [name for name in old if (about is None or name in new) and (self.path / name).is_file()]
        now = {name for name in new if name != own} | (set() if about is None else old)
        about = read_index(draft / own) if about is None else about
        files = about["files"] if isinstance(about.get("files"), dict) else sorted(now)  # the paper's have hashes
        write_json(draft / own, {"format": self.kind.format} | about | {"files": files})
        before = index.read_bytes() if index.is_file() else None
        with explained(self.path), tempfile.TemporaryDirectory(prefix=f"{DRAFT}old-", dir=self.path) as aside:
            # a kill in the middle leaves an index that knows both
            write_json(index, {"format": self.kind.format, "unfinished": True, "files": sorted(now | old)})
            moves = [(self.path / name, Path(aside) / name) for name in gone]
            moves += [(draft / name, self.path / name) for name in new if name != own]
            try:
                _move([*moves, (draft / own, index)])
            except BaseException:
                index.unlink() if before is None else write_bytes(index, before)
                raise
        for folder in sorted({self.path / parent for name in gone for parent in Path(name).parents}, reverse=True):
            if folder != self.path:
                with suppress(OSError):  # not empty: somebody else's files, or our new ones
                    folder.rmdir()

    def refuse_foreign(self, owned: Iterable[str], wanted: Iterable[str]) -> None:
        """InputError where a link, or a file that is not among `owned`, stands in the place of one that is wanted."""
        ours = set(owned)
        for name in wanted:
            place = self.path / name
            for part in (place, *(self.path / parent for parent in Path(name).parents if parent != Path())):
                if part.is_symlink():
                    raise InputError(f"{part}: a symbolic link found where results go. Move it away. {KEPT}")
                if part != place and part.exists() and not part.is_dir():
                    raise InputError(f"{part}: a file found where a folder of results goes. Move it away. {KEPT}")
            if place.is_dir() or (place.exists() and name not in ours):
                raise InputError(
                    f"{place}: exists and was not written by `birdprobe {self.kind.name}`, so it is never replaced. "
                    f"Move it away, or give another folder. {KEPT}"
                )

    def _keeps_some(self) -> bool:
        return any(name.startswith(self.kind.kept) for name in self._names())

    def _names(self) -> list[str]:
        return [path.name for path in self.path.iterdir()] if self.path.is_dir() else []


@contextmanager
def adding(path: Path) -> Iterator[Path]:
    """A draft folder, whose files join the finished results in the folder `path` when the block ends.

    Where its config.json lists files, only those are replaced. In a folder without such a list (a run of the first
    edition, tables of another program) files of the same names are; links are refused in both.
    """
    path = Path(path)
    index = path / "config.json"
    about = read_index(index) if os.path.lexists(index) else {}
    kind = str(about.get("format", ""))
    folder = OutputFolder(path, Kind(kind.removeprefix("birdprobe/"), "results", (), ()))
    with Lock(path / "results"), folder._draft() as draft:
        yield draft
        if kind == folder.kind.format and "files" in about:
            folder._publish(draft, (index.name, *listed(about)), about)
            return
        new = [one.relative_to(draft).as_posix() for one in sorted(draft.rglob("*")) if one.is_file()]
        folder.refuse_foreign(new, new)
        with explained(path):
            _move([(draft / name, path / name) for name in new], back=False)


def read_index(path: Path) -> dict:
    """The JSON object in an index. InputError: a symbolic link, not readable, not a JSON object."""
    if path.is_symlink():
        raise InputError(f"{path}: a symbolic link found where results go. Move it away. {KEPT}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Another program's file? {KEPT}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(found).__name__}. Another program's file? {KEPT}")
    return found


def first_difference(there: Mapping[str, object], asked: Mapping[str, object]) -> str:
    """The first setting that results were made with otherwise than asked for: "k: 5 there, 7 asked for"; "" if none."""
    for name, value in json.loads(json.dumps(asked)).items():
        if name not in there:
            return f"made by another version, which knew no {name}"
        if there[name] != value:
            return f"{name}: {there[name]} there, {value} asked for"
    return ""


def listed(index: dict) -> tuple[str, ...]:
    """The files that an index lists; names that lead out of the folder, or are none, are left out."""
    files = index.get("files", ())
    names = files if isinstance(files, list | dict) else ()
    return tuple(
        name
        for name in names
        if isinstance(name, str) and name and not Path(name).is_absolute() and ".." not in Path(name).parts
    )


def _move(moves: list[tuple[Path, Path]], back: bool = True) -> None:
    done: list[tuple[Path, Path]] = []
    made: list[Path] = []  # folders that were not there
    try:
        for old, new in moves:
            made += [folder for folder in reversed(new.parents) if not folder.exists()]
            new.parent.mkdir(parents=True, exist_ok=True)
            done.append((old, new))  # before, because Ctrl-C may come between two steps
            old.replace(new)
    except BaseException:
        for old, new in reversed(done if back else []):
            if not os.path.lexists(old) and os.path.lexists(new):
                new.replace(old)
        for folder in reversed(made if back else []):
            with suppress(OSError):
                folder.rmdir()
        raise


def _remove_draft(draft: Path) -> None:
    if draft.is_dir() and not draft.is_symlink():
        shutil.rmtree(draft, ignore_errors=True)
