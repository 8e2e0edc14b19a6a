"""One line of a check."""

from dataclasses import dataclass

OK, NOTE, FAILED = "ok", "note", "FAILED"


@dataclass(frozen=True)
class Finding:
    """One line: whether it is as it should be, what was looked at, and what was found."""

    verdict: str
    topic: str
    text: str

    def __str__(self) -> str:
        return f"{self.verdict:<7} {self.topic:<13} {self.text}"
