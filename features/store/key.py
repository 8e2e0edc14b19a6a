"""StoreKey: everything the numbers in a store depend on.

Two extractions with equal keys over the same recordings give the same numbers, so a store may be resumed, reused or
joined exactly when the keys are equal.
"""

import json
from dataclasses import asdict, dataclass, fields

from .. import InputError
from ..playback import Playback
from ..schema import record
from ..spelling import counted

DTYPES = ("float32", "float16")

# field -> the option that most likely made it differ, where it is not called like the field
OPTIONS = {"pooling": "pool", "window_s": "window", "selection": "select", "inputs": "input"}

UNSAID = ("precision", "speed", "bandpass")  # not written where they are as ever
ADDED = ("frontend", "inputs", *UNSAID)  # stores made before there were any do not name them


@dataclass(frozen=True)
class StoreKey:
    """The key of a store.

    Args:
        model_sha256: of the ONNX file.
        taps: tap names in graph order.
        pooling: how a map became a vector ("mean", "max", "std", "cls", "grid", "grid:HxW"), or several,
            comma-separated: then a tap of a map is "block_17/max".
        sample_rate: Hz.
        window_s: length of a window in seconds.
        selection: which windows of a clip, as `str(Selection)`, the hop in seconds.
        seed: of the selection.
        normalise: one of `features.windows.NORMALISATIONS`.
        dtype: "float32" or "float16", of the stored arrays.
        frontend: what made the spectrogram in front of the model, whole; "" where the model takes the waveform.
        inputs: values of the model's other inputs, "name=value".
        precision: what the model computed in, where that moves numbers by more than 1e-4: "float32", "tf32", "float16".
        speed: how fast the recordings were played, 1 as recorded.
        bandpass: Hz in the recording, as `Playback.bandpass`; "none".
    """

    model_sha256: str
    taps: tuple[str, ...]
    pooling: str
    sample_rate: int
    window_s: float
    selection: str
    seed: int
    normalise: str
    dtype: str = "float32"
    frontend: str = ""
    inputs: tuple[str, ...] = ()
    precision: str = "float32"
    speed: float = 1.0
    bandpass: str = "none"

    def __post_init__(self):
        object.__setattr__(self, "taps", tuple(self.taps))
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if self.dtype not in DTYPES:
            raise InputError(f"--dtype must be one of {', '.join(DTYPES)}, got {self.dtype}.")
        for tap in self.taps:
            if any(part in ("", ".") for part in tap.split("/")):
                raise ValueError(f"tap name {tap!r} cannot name an HDF5 dataset")

    def to_json(self) -> str:
        """Without what is as ever, so that a store as of old reads as of old."""
        later = {field.name: field.default for field in fields(self) if field.name in UNSAID}
        return json.dumps({name: value for name, value in asdict(self).items() if value != later.get(name, ...)})

    @property
    def modelless(self) -> bool:
        """Whether no one model gives these features: imported ones, and stores joined of several."""
        return self.selection.split(",")[0] in ("imported", "joined")

    @property
    def playback(self) -> Playback:
        """How the recordings were played."""
        return Playback.parse(self.speed, self.bandpass)

    @classmethod
    def from_json(cls, text: str) -> "StoreKey":
        """The inverse of `to_json`; InputError when it is no JSON object with exactly these fields.

        Fields in ADDED may be missing.
        """
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"key is not JSON ({error}). Is the store damaged?") from None
        if isinstance(found, dict):
            added = {field.name: field.default for field in fields(cls) if field.name in ADDED}
            found = {name: list(value) if isinstance(value, tuple) else value for name, value in added.items()} | found
        try:
            return record(cls, found)
        except InputError as error:
            raise InputError(f"key {error}") from None

    def differences(self, wanted: "StoreKey") -> list[str]:
        """One sentence and its likely cause per field in which `self` (on disk) differs from `wanted`; [] if none."""
        lines = []
        for field in fields(self):
            here, there = getattr(self, field.name), getattr(wanted, field.name)
            if here == there:
                continue
            if field.name == "taps":
                here, there = _shortest(here, there)
            lines.append(f"{field.name} {here} on disk, expected {there}. {_cause(field.name)}")
        return lines


def _cause(field: str) -> str:
    """What the user most likely did to make a field differ."""
    if field == "model_sha256":
        return "Was the store made from another model?"
    return f"Was the store made with another --{OPTIONS.get(field, field).replace('_', '-')}?"


def _shortest(here: tuple[str, ...], there: tuple[str, ...]) -> tuple[str, str]:
    """Two unequal lists of taps as text: in full when short, else by what each has that the other lacks."""
    if max(len(here), len(there)) <= 4:
        return ",".join(here) or "none", ",".join(there) or "none"

    def tell(mine, other):
        extra = [tap for tap in mine if tap not in other]
        if not extra:
            return counted(len(mine), "tap")
        shown = ", ".join(extra[:3]) + (", ..." if len(extra) > 3 else "")
        return f"{counted(len(mine), 'tap')} (with {shown})"

    if set(here) == set(there):
        return f"{len(here)} taps", "the same taps in another order"
    return tell(here, there), tell(there, here)
