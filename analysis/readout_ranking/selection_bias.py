"""What choosing the best of many costs: the score that a choice would have on rows that did not make it."""

import numpy as np


def corrected_score(value: np.ndarray, drawn: np.ndarray, left_out: np.ndarray) -> float:
    """The selection-corrected score of choosing the best of C cells, in 0..1; nan if every draw has nan.

    value: float64 [C], the scores on all rows. drawn, left_out: float64 [C, B], the scores in each bootstrap draw of
    groups and on what it left out. The choice is made on each draw and scored on what that left out (BBC-CV:
    Tsamardinos, Greasidou & Borboudakis 2018, Machine Learning 107). Each cell's left-out scores are first moved so
    that their mean is the cell's own score: draws of a third of the groups bias some metrics (average precision), and
    what is wanted is only what the choice does. So one cell alone keeps its score.
    """
    usable = np.isfinite(drawn).all(axis=0) & np.isfinite(left_out).all(axis=0)
    drawn, left_out = drawn[:, usable], left_out[:, usable]
    if not drawn.shape[1]:
        return float("nan")
    chosen = np.argmax(drawn, axis=0)  # the first of equals, as the choice on all rows
    moved = left_out + (value - left_out.mean(axis=1))[:, None]
    return float(np.clip(moved[chosen, np.arange(len(chosen))].mean(), 0.0, 1.0))
