"""Counts in sentences: `1 file is`, `3 files are`."""


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 clip", "3 clips", "2 classes"."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{plural}"


def agree(count: int, one: str, more: str) -> str:
    """The form of a verb or pronoun that goes with a count: agree(n, "is", "are")."""
    return one if count == 1 else more


def share(count: int, total: int, noun: str, one: str, more: str) -> str:
    """A part of a whole with its verb: "1 of 62 files is", "2 of 62 files are", "1 of 1 file is"."""
    return f"{count} of {counted(total, noun)} {agree(count, one, more)}"
