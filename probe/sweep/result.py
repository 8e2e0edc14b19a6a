"""SweepResult: a finished sweep, as a notebook has it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...analysis.runs import ANSWER, Run
from ...analysis.scored_items import read_run
from ...features import InputError
from ...features.files import read_json
from ...features.schema import checked
from ...features.spelling import counted
from ..notebook import as_html, scores_by_tap
from .conclusion import how_sure


class Answer(dict[str, Any]):
    """An `answer.json`, which shows itself as its lines."""

    @property
    def lines(self) -> list[str]:
        """The conclusion in words, a line a part."""
        return self.get("lines") or [self["sentence"]]

    def __repr__(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True, repr=False)
class SweepResult:
    """A finished sweep, read from its folder.

    path: the run folder; everything below is read from it when it is first asked for.
    """

    path: Path

    @cached_property
    def ranking(self) -> pd.DataFrame:
        """`ranking.csv`, one row a tap: the published read-out with intervals, p-values and costs."""
        return Run(self.path).ranking.reset_index(drop=True)

    @cached_property
    def readouts(self) -> pd.DataFrame:
        """`readouts.csv`, one row a tap and read-out."""
        return Run(self.path).readouts

    @cached_property
    def control(self) -> pd.DataFrame | None:
        """`control.csv`, the ranking of the same network with random weights; None without `control=True`."""
        return Run(self.path).control

    @cached_property
    def answer(self) -> Answer:
        """`answer.json`: which tap to read for each use, the published protocol's, and the sentences."""
        return Answer(read_json(self.path / "answer.json", ANSWER))

    @property
    def sentence(self) -> str:
        """The conclusion in words."""
        return self.answer["sentence"]

    @property
    def note(self) -> str:
        """What its intervals and p-values are of, in a line."""
        return how_sure(Run(self.path))

    @property
    def report(self) -> Path:
        """The page of the run, `report.html`."""
        return self.path / "report.html"

    @cached_property
    def config(self) -> dict[str, Any]:
        """`config.json`: everything resolved, versions, hashes, warnings."""
        return Run(self.path).config

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before believing a number: what was left out, what is odd about the recordings."""
        return tuple(self.config.get("warnings", ()))

    @property
    def skipped(self) -> pd.DataFrame:
        """The clips that could not be used, those of the test recordings too: file, reason."""
        told = [*self.config.get("skipped", ()), *(self.config.get("test") or {}).get("skipped", ())]
        return pd.DataFrame(told, columns=["file", "reason"])

    def features(self, tap: str) -> tuple[np.ndarray, pd.DataFrame]:
        """The vectors that were ranked at a tap.

        Args:
            tap: a tap of this run, such as "block_11" or "embedding".

        Returns:
            float32 [n, d] and a DataFrame of n rows: file, start_s, end_s, label, group, fold, labels (all of a clip's,
            joined by ;).

        Raises:
            InputError: no such tap, or a store that does not belong to this run.
        """
        items = read_run(self.path)
        if tap not in items.features:
            raise InputError(f"{self.path}: tap must be one of {', '.join(items.features)}, got {tap!r}.")
        return items.features[tap], items.table

    def __repr__(self) -> str:
        told = [f"{self.path}: {' '.join(self.answer.lines)}", self.note] if self._concluded() else [str(self.path)]
        return "\n".join([*told, *self._warned()])

    def _concluded(self) -> bool:
        return (self.path / "answer.json").is_file()  # runs of the first edition have none

    def _warned(self) -> list[str]:
        """The warnings, and how many clips were skipped, one line each."""
        lines, skipped = list(self.warnings), self.skipped
        if len(skipped):
            first = skipped.iloc[0]
            lines.append(
                f"{counted(len(skipped), 'clip')} could not be used, see `.skipped`; {first.file}: {first.reason}"
            )
        return [f"warning: {line}" for line in lines]

    def _repr_html_(self) -> str:
        if not self._concluded():
            return as_html([str(self.path), *self._warned()], self.ranking)
        lines = [*self.answer.lines, self.note, *self._warned(), f"Report: {self.report}"]
        scores, cost = scores_by_tap(self.readouts), self.ranking[["tap", "ms_per_window"]]
        return as_html(lines, scores.merge(cost, "left") if cost["ms_per_window"].notna().any() else scores)


@checked
def open_sweep(run: Path | str) -> SweepResult:
    """A finished sweep of this edition or the first.

    Args:
        run: the folder that a sweep wrote.

    Returns:
        The result; of a run of the first edition `readouts` and `answer` are not there.

    Raises:
        InputError: a folder that is no finished sweep.
    """
    found = SweepResult(Path(run))
    _ = found.ranking
    return found
