"""What the file name of a BirdCLEF+ soundscape says: `BC2026_Train_0001_S01_20260512_050000.ogg`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

PATTERN = re.compile(r"(BC\d{4})_(Train|Test)_(\d{4}|[1-9]\d{4,})_(S\d+)_(\d{8}_\d{6})", re.ASCII)
TIME = "%Y%m%d_%H%M%S"


@dataclass(frozen=True)
class SoundscapeName:
    """A recorder's site and when it began to record (UTC)."""

    edition: str  # BC2026
    split: str  # Train or Test
    number: int
    site: str  # S01
    begun: datetime

    @classmethod
    def parse(cls, name: str | PurePath) -> "SoundscapeName | None":
        """Of a file name or stem; None where it is another kind of name."""
        match = PATTERN.fullmatch(PurePath(name).stem)
        if not match:
            return None
        edition, split, number, site, begun = match.groups()
        try:
            return cls(edition, split, int(number), site, datetime.strptime(begun, TIME))
        except ValueError:  # a 32nd day or a 25th hour
            return None

    def __str__(self) -> str:
        """The stem: row ids are this, an underscore and the window's last second."""
        return f"{self.edition}_{self.split}_{self.number:04d}_{self.site}_{self.begun.strftime(TIME)}"


def place_of(name: str | PurePath, sites: Sequence[str]) -> tuple[int, int]:
    """(Number of the recorder's site in `sites`, from 1; hour of the day in which the recording begins, UTC, + 1), of a
    file name or stem; 0 where a name does not say it, or where the site is another one."""
    said = SoundscapeName.parse(name)
    if said is None:
        return 0, 0
    return (sites.index(said.site) + 1 if said.site in sites else 0), said.begun.hour + 1
