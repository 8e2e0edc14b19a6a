"""Table 1, published against ours: the accuracy of a 5-NN probe block by block."""

import numpy as np
import pandas as pd

from ...analysis.tables import Column, Table
from ..measures.measure import caveat
from ..published import Published
from ..runs.discovery import Sources
from ..runs.readers import Sweep

Z = 1.96  # standard errors to either side of a 95 % interval


def table1(sources: Sources, published: Published) -> Table:
    """A row a published block. Of each sweep the block of the same number, where the model is Perch v2; else the one
    nearest at the same relative depth (index over that of the last block), named in its cell."""
    frame = published.frame("table1")
    last = int(published.section("protocol")["blocks_of"].number) - 1
    frame["published"] = [published[f"table1.{block}.knn"].text for block in frame["block"]]
    frame["depth"] = frame["block"] / last
    columns = [
        Column("block", "{block}"),
        Column("stage", "{stage}"),
        Column("dim", "{dim}"),
        Column("depth", "{depth:.2f}"),
        Column("published", "{published}"),
    ]
    titles = [f"{sweep.model}, {sweep.data}" for sweep in sources.sweeps]
    for i, (sweep, title) in enumerate(zip(sources.sweeps, titles)):
        frame = frame.join(nearest(sweep, frame["depth"]).add_prefix(f"run{i}_"))
        cell = f"{{run{i}_knn:.3f}} [{{run{i}_knn_lo:.3f}}, {{run{i}_knn_hi:.3f}}]"
        named = "" if sweep.is_perch_v2 else f"{{run{i}_tap}}: "
        columns.append(Column(f"{title} ({sweep.name})" if titles.count(title) > 1 else title, named + cell))
        if sweep.is_perch_v2:
            compared = difference(frame, f"run{i}_", published.section("protocol")["clips"].number)
            frame = frame.join(compared.add_prefix(f"run{i}_"))
            ends = f"{{run{i}_difference:+.3f}} [{{run{i}_difference_lo:+.3f}}, {{run{i}_difference_hi:+.3f}}]"
            columns += [Column("ours - published", ends), Column("verdict", f"{{run{i}_verdict}}", "left")]
    best = int(frame["knn"].to_numpy().argmax())
    return Table.from_frame(frame, columns, _words(sources, published), [best])


def difference(frame: pd.DataFrame, run: str, n: float) -> pd.DataFrame:
    """difference of our accuracy and the published one, difference_lo, difference_hi, verdict: "agrees" where the
    interval holds 0, else "differs".

    The two are of other clips, so errors add in quadrature: ours half the width of its interval, the published one
    binomial, of n clips, as the note gives none.
    """
    found = pd.DataFrame({"difference": frame[f"{run}knn"] - frame["knn"]})
    theirs = Z * np.sqrt(frame["knn"] * (1 - frame["knn"]) / n)
    half = np.hypot((frame[f"{run}knn_hi"] - frame[f"{run}knn_lo"]) / 2, theirs)
    found["difference_lo"], found["difference_hi"] = found["difference"] - half, found["difference"] + half
    found["verdict"] = np.where(found["difference"].abs() <= half, "agrees", "differs")
    return found.assign(verdict=found["verdict"].where(half.notna(), None))


def nearest(sweep: Sweep, depths: pd.Series) -> pd.DataFrame:
    """tap, knn, knn_lo, knn_hi of the sweep's block nearest to each depth in 0..1, the shallower of equals. Further
    from it than half a block of this model lies no block that was probed: a row of gaps."""
    blocks = sweep.blocks
    half = 0.5 / max(len(sweep.run.architecture["blocks"]) - 1, 1)
    rows = []
    for depth in depths:
        away = (blocks["depth"] - depth).abs().round(9)
        found = len(blocks) > 0 and away.min() <= half + 1e-9
        rows.append(blocks.loc[away.idxmin(), ["tap", "knn", "knn_lo", "knn_hi"]].tolist() if found else [None] * 4)
    return pd.DataFrame(rows, index=depths.index, columns=["tap", "knn", "knn_lo", "knn_hi"])


def _words(sources: Sources, published: Published) -> str:
    about = published.section("protocol")
    words = (
        f"{published.listings['table1'].title}, published ({about['species'].text} species, {about['clips'].text} "
        "clips, no intervals), and ours with 95 % intervals. Bold: the best published block."
    )
    if any(sweep.is_perch_v2 for sweep in sources.sweeps):
        words += " A difference agrees where its interval, with the binomial error of the published number, holds 0."
    others = [sweep for sweep in sources.sweeps if not sweep.is_perch_v2]
    if others:
        words += (
            " Columns of another backbone are no repetition: each cell names its block nearest at the same relative "
            "depth (block over last block)."
        )
    words += "".join(f" {sweep.model}, {sweep.data}: {sweep.run.counted}." for sweep in sources.sweeps)
    return words + caveat(sweep.model for sweep in sources.sweeps)
