"""A known model's file over HTTP: checked by pooch, and taken up where it broke off where the server can."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ...features import InputError
from ...features.files import sha256
from ...features.progress import Progress
from .registry import Entry

TIMEOUT_S = 30  # without a byte
BLOCK = 1 << 14


def download(entry: Entry, folder: Path, retries: int, log: Callable[[str], None]) -> Path:
    """The entry's file in `folder`, its hash checked.

    What a connection that broke off has brought stays beside the model's place, hidden, if the server offers ranges of
    bytes (RFC 9110, 14): the next try, of this call or a later one, asks for the rest.

    Raises:
        InputError: out of reach, or another file.
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
