"""Accuracy against cost of several models: dots where the table has them, nothing cut off or on top of other text."""

import numpy as np
import pandas as pd
import pytest

from birdprobe.features import InputError
from birdprobe.figures import gallery
from birdprobe.figures.comparisons import models
from tests.pictures import colliding, cut_off
from tests.runs import make_run


def write(folder, names, taps=6, growth=1.0, uses=models.USES, seed=0):
    rng, rows = np.random.default_rng(seed), []
    for at, name in enumerate(names):
        for i in range(taps):
            last = i == taps - 1
            row = {"model": name, "tap": "embedding" if last else f"block_{i:02d}", "index": i, "stage": 1, "dim": 8}
            row |= {"last": last, "macs": 1e9, "macs_per_s": 1e8 * growth**at * (1 + 0.1 * i)}
            for use in models.USES:
                score = rng.uniform(0.4, 0.9)
                found = {use: score, f"{use}_lo": score - 0.05, f"{use}_hi": score + 0.05, f"{use}_readout": "knn"}
                row |= found if use in uses else dict.fromkeys(found, np.nan)
            rows.append(row)
    folder.mkdir(exist_ok=True)
    table = pd.DataFrame(rows)
    table.to_csv(folder / "ranking.csv", index=False)
    return table


LAYOUTS = {
    "two": {"names": ["BirdNET_GLOBAL_6K_V2.4", "wren"], "growth": 8},
    "settings of one": {"names": ["peak", "file-peak", "none"], "growth": 1},
    "eight, long names": {"names": [f"a model with a very long name of its own, {i}" for i in range(8)], "growth": 3},
    "one tap each": {"names": ["a", "b"], "taps": 1, "growth": 100},
    "one use": {"names": ["a", "b"], "uses": ("linear",)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_text_is_whole_and_apart(tmp_path, layout):
    write(tmp_path, **LAYOUTS[layout])
    figure = models.draw(tmp_path)
    assert cut_off(figure) == []
    assert colliding(figure) == []
    assert len(figure.axes) == len(LAYOUTS[layout].get("uses", models.USES))


def test_dots_stand_where_the_table_has_them(tmp_path):
    table = write(tmp_path, ["a", "b"], growth=4)
    for axes, use in zip(models.draw(tmp_path).axes, reversed(models.USES)):
        assert axes.get_title(loc="left") == models.USES[use] and axes.get_xscale() == "log"
        for name in ("a", "b"):
            own = table[table["model"] == name]
            assert any(
                np.allclose(line.get_xdata(), own["macs_per_s"]) and np.allclose(line.get_ydata(), own[use])
                for line in axes.lines
                if len(line.get_xdata()) == len(own)
            )
            best = own.loc[own[use].idxmax()]
            title = "final embedding" if best["last"] else f"block {best['index']}"
            assert any(text.get_text().startswith(f"{title}, {best[use]:.3f}") for text in axes.texts)


def test_it_is_the_figure_of_a_comparison_alone(tmp_path):
    sweep = make_run(tmp_path / "sweep")
    assert "models" not in gallery.drawable(sweep)
    with pytest.raises(InputError, match="expected a run of `birdprobe compare`"):
        gallery.save(sweep, ["models"])
    write(tmp_path / "both", ["a", "b"])
    (tmp_path / "both" / "readouts.csv").write_text("model,tap,readout\n")  # not a sweep's
    assert gallery.drawable(tmp_path / "both") == ("models",)
    assert [path.name for path in gallery.save(tmp_path / "both")] == ["models.png", "models.pdf"]
    (tmp_path / "both" / "ranking.csv").write_text("model,tap\n")
    with pytest.raises(InputError, match="lacks column last"):
        models.draw(tmp_path / "both")
