"""Where a head's first pass came from when it was trained, so that there is the same one when it predicts."""

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from ...analysis import predictions
from ...analysis.predictions.row_ids import files
from ...features import InputError
from ...features.recordings.class_mapping import highest
from ...features.schema import record
from ..ensemble import Members
from . import first_pass


@dataclass(frozen=True)
class FirstPassOrigin:
    """text: `logits`, a tap, or a CSV, as it was given. outputs: of each class, the backbone's outputs of whose logits
    it gets the highest; None where the classes are the tap's columns, or the CSV's."""

    text: str
    outputs: tuple[tuple[int, ...], ...] | None = None

    @classmethod
    def of(cls, text: str, store: Path, labels: tuple[str, ...], naming: first_pass.Naming) -> "FirstPassOrigin":
        """As `first_pass.read_first_pass` reads it from the first store. naming: see `first_pass.mapping_of`."""
        if text != first_pass.LOGITS:
            return cls(text)
        return cls(text, first_pass.mapping_of(store, labels, naming).outputs)

    @property
    def tap(self) -> str | None:
        """What has to be read of the backbone; None of a CSV."""
        return None if self.text.endswith(".csv") else self.text

    def to_json(self) -> dict:
        return asdict(self)

    @classmethod
    def from_json(cls, found: object) -> "FirstPassOrigin":
        return record(cls, found)


@dataclass(frozen=True, eq=False)
class FirstPassSource:
    """What a predictor asks for the first pass of a recording. origin: None where the heads read none. rows: of a CSV,
    per recording the logits [its rows, K]."""

    origin: FirstPassOrigin | None = None
    rows: dict[str, np.ndarray] | None = field(default=None, repr=False)
    place: str = ""

    @classmethod
    def of(cls, members: Members, run: Path, table: Path | str | None) -> "FirstPassSource":
        """table: a CSV of predictions, for heads trained with one. InputError: none given, or no use for it."""
        found = members.description.settings.get("first_pass")
        origin = None if found is None else FirstPassOrigin.from_json(found)
        if origin is None or origin.tap is not None:
            if table is not None:
                what = "no first pass" if origin is None else f"the backbone's {origin.tap} as its first pass"
                raise InputError(f"`--first-pass {table}`: head {members.name} of {run} reads {what}. Leave it out.")
            return cls(origin)
        if table is None:
            raise InputError(
                f"{run}: head {members.name} was trained with {origin.text} as its first pass. Give the same model's "
                "predictions of these soundscapes: --first-pass OUT.csv."
            )
        read = predictions.read_predictions(table).reindex(columns=list(members.description.labels))
        logits, of_file = first_pass.to_logits(read.to_numpy()), files(read.index)
        ends = np.array([float(name[len(stem) + 1 :] or 0) for name, stem in zip(read.index, of_file)])
        rows = {}
        for stem in np.unique(of_file):
            at = np.flatnonzero(of_file == stem)
            rows[str(stem)] = logits[at[np.argsort(ends[at], kind="stable")]]
        return cls(origin, rows, str(table))

    @property
    def taps(self) -> tuple[str, ...]:
        """What the backbone must give for it."""
        return (self.origin.tap,) if self.origin and self.origin.tap else ()

    def named(self, identity: str) -> str:
        """The identity of a predictor that asks here."""
        if self.origin is None:
            return identity
        digest = sha256(json.dumps([identity, self.origin.to_json()]).encode())
        for stem, values in (self.rows or {}).items():
            digest.update(stem.encode() + values.tobytes())
        return digest.hexdigest()

    def __call__(self, features: dict[str, np.ndarray], stem: str, n: int) -> np.ndarray | None:
        """Logits float32 [n, K] of a recording's windows; features: what the backbone gave. InputError: a CSV without
        the recording, or with another number of rows."""
        if self.origin is None:
            return None
        if self.rows is None:
            values = features[self.taps[0]]
            values = values.reshape(len(values), -1)
            return values.astype(np.float32) if self.origin.outputs is None else highest(values, self.origin.outputs)
        found = self.rows.get(stem)
        if found is None or len(found) != n:
            there = "no row" if found is None else f"{len(found)} rows"
            raise InputError(f"{self.place}: {there} of {stem or 'the windows'}, expected {n}, one a window.")
        return found
