"""Site/hour priors: counts, both formulas by hand, what they leave alone, files, and priors by fold."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdprobe.analysis import metrics
from birdprobe.analysis.postprocess import counts, site_hour
from birdprobe.analysis.postprocess.site_hour import Prior, SiteHour
from birdprobe.features import InputError
from birdprobe.features.recordings.taxonomy import read_classes
from birdprobe.features.synthetic.competition import SMALL, write_competition


def ids(site, hour, n, number=1, split="Train"):
    return [f"BC2026_{split}_{number:04d}_{site}_20260512_{hour:02d}0000_{5 * i}" for i in range(1, n + 1)]


def labels(cells):
    """{(site, hour): (windows, positives of x, of y)} -> a table of labels."""
    index, values = [], []
    for number, ((site, hour), (n, *positives)) in enumerate(cells.items()):
        index += ids(site, hour, n, number)
        values += [[i < k for k in positives] for i in range(n)]
    return pd.DataFrame(np.array(values, dtype=bool), index=index, columns=["x", "y"])


CELLS = {("S01", 5): (10, 6, 0), ("S01", 20): (4, 0, 1), ("S02", 5): (6, 1, 2)}
LABELS = labels(CELLS)


def flat(index, value=0.5):
    return pd.DataFrame(value, index=index, columns=["x", "y"])


def logit(p):
    return np.log(p) - np.log1p(-p)


def test_counts_are_windows_and_positives_of_every_cell():
    found = counts.Counts.of(LABELS)
    assert found.sites == ("S01", "S02") and found.n.sum() == 20 and found.left_out == 0
    for (site, hour), (n, *positives) in CELLS.items():
        at = found.sites.index(site), hour
        assert found.n[at] == n and found.positives[at].tolist() == positives


def test_rows_without_site_and_hour_are_left_out_and_counted():
    more = pd.concat([LABELS, pd.DataFrame(True, index=["garden_5", "garden_10"], columns=["x", "y"])])
    found = site_hour.fit(more).counts
    assert found.left_out == 2 and found.cells == counts.Counts.of(LABELS).cells


def test_laplace_by_hand():
    # rates (k + 1) / (n + 2): cell S01 5 h: 7/12 and 1/12; over all: x 8/22, y 4/22
    test = flat(ids("S01", 5, 2, 99, "Test"))
    for weight, step in ((0.5, SiteHour(site_hour.fit(LABELS))), (1.0, SiteHour(site_hour.fit(LABELS), 1.0))):
        wanted = weight * np.log([(7 / 12) / (8 / 22), (1 / 12) / (4 / 22)])
        np.testing.assert_allclose(logit(step(test).to_numpy()), [wanted, wanted], rtol=1e-12)


def test_laplace_towards_base_by_hand():
    # rates (k + 2 P) / (n + 2)
    prior = site_hour.fit(LABELS, towards="base")
    out = SiteHour(prior, 1.0)(flat(ids("S02", 5, 1, 99)))
    base = np.array([8 / 22, 4 / 22])
    rate = (np.array([1, 2]) + 2 * base) / 8
    np.testing.assert_allclose(logit(out.to_numpy()[0]), np.log(rate / base), rtol=1e-12)


def test_laplace_leaves_unknown_cells_their_very_bits_and_says_how_many():
    index = [*ids("S01", 5, 3, 1, "Test"), *ids("S01", 6, 2, 2, "Test"), *ids("S09", 5, 2, 3, "Test"), "garden_5"]
    test = pd.DataFrame(np.random.default_rng(0).random((8, 2)), index=index, columns=["x", "y"])
    step = SiteHour(site_hour.fit(LABELS))
    out = step(test)
    np.testing.assert_array_equal(out.to_numpy()[3:], test.to_numpy()[3:])
    assert (out.to_numpy()[:3] != test.to_numpy()[:3]).all()
    reach = step.reach(test)
    assert reach.rows == 3
    assert reach.reason == ("1 row whose name tells no site and hour, 4 rows of a site and hour that no labels cover")


def test_shrunk_by_hand():
    # a tiny sigma: hours do not mix. The chain for S01 20 h: all -> hour 20 -> site S01 -> cell
    prior = site_hour.fit(LABELS, kind="shrunk", sigma=1e-3)
    rate = np.array([7, 3]) / 20
    for n, positives, half in ((4, [0, 1], 8), (14, [6, 1], 8), (4, [0, 1], 4)):
        weight = n / (n + half)
        rate = (1 - weight) * rate + weight * np.array(positives) / n
    out = SiteHour(prior)(flat(ids("S01", 20, 1, 99), 0.3))
    np.testing.assert_allclose(logit(out.to_numpy()[0]) - logit(0.3), 0.4 * logit(rate), rtol=1e-12)


def test_shrunk_smooths_hours_around_the_clock():
    # labels at 23 h alone; seen from 0 h (1 h away over midnight) more than from 2 h, and from 2 h as from 20 h
    known = labels({("S01", 23): (40, 40, 0), ("S02", 11): (40, 0, 40)})
    prior = site_hour.fit(known, kind="shrunk")
    test = pd.concat([flat(ids("S09", hour, 1, hour)) for hour in (0, 2, 20)])
    x = SiteHour(prior)(test)["x"].to_numpy()
    assert x[0] > x[1] and x[1] == pytest.approx(x[2], rel=1e-12)
    assert SiteHour(prior).reach(test).rows == 0  # neither the site nor the hour has labels


def test_shrunk_gives_rows_without_a_place_the_rate_over_all():
    prior = site_hour.fit(LABELS, kind="shrunk")
    test = pd.concat([flat(["garden_5"]), flat(ids("S02", 13, 1, 9))])
    out = SiteHour(prior, 1.0)(test)
    np.testing.assert_allclose(out.to_numpy()[0], [7 / 20, 3 / 20], rtol=1e-12)  # from 0.5: the prior itself
    assert SiteHour(prior).reach(test) == site_hour.Reach(1, "1 row whose name tells no site and hour")


def test_shrunk_is_clipped_at_eps():
    never = LABELS.assign(y=False)
    out = SiteHour(site_hour.fit(never, kind="shrunk"), 1.0)(flat(["garden_5"]))
    assert out["y"].iloc[0] == pytest.approx(1e-4, rel=1e-9)


def test_the_shift_is_one_of_log_odds_and_0_and_1_stay():
    test = pd.DataFrame({"x": [0.0, 0.2, 1.0], "y": [1e-300, 0.999999, 0.5]}, index=ids("S01", 5, 3, 7))
    step = SiteHour(site_hour.fit(LABELS), 1.0)
    out = step(test)
    assert out["x"].iloc[0] == 0 and out["x"].iloc[2] == 1
    inner = out["y"] / (1 - out["y"]) / (test["y"] / (1 - test["y"]))  # ratio of odds
    np.testing.assert_allclose(inner, (1 / 12) / (4 / 22), rtol=1e-9)
    assert logit(out["x"].iloc[1]) - logit(0.2) == pytest.approx(np.log((7 / 12) / (8 / 22)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["laplace", "shrunk"]), st.booleans())
def test_a_prior_survives_its_file(tmp_path_factory, seed, kind, soft):
    rng = np.random.default_rng(seed)
    index = [name for n in range(3) for name in ids(f"S{rng.integers(1, 4):02d}", int(rng.integers(24)), 3, n)]
    shares = rng.random((len(index), 2))
    table = pd.DataFrame(shares if soft else shares > 0.5, index=index, columns=["x", "1161364"])
    prior = site_hour.fit(table, kind)
    path = tmp_path_factory.mktemp("prior") / "prior.json"
    prior.write(path)
    assert Prior.read(path) == prior
    pd.testing.assert_frame_equal(
        SiteHour(Prior.read(path))(table.astype(float)), SiteHour(prior)(table.astype(float)), check_exact=True
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found.update(kind="bayes"), "no prior of kind laplace or shrunk"),
        (lambda found: found.update(kind=["laplace"]), "no prior of kind laplace or shrunk"),
        (lambda found: found.update(constants={"alpha": 1}), "constants {'alpha': 1} found"),
        (lambda found: found.pop("cells"), "no table of sites and hours"),
        (lambda found: found["cells"][0].update(hour=24), "impossible counts"),
        (lambda found: found["cells"][0]["positives"].update(x=11), "impossible counts"),
        (lambda found: found["cells"][0]["positives"].update(z=1), "class 'z' is not among its classes"),
        (lambda found: found["cells"].append(found["cells"][0]), "one twice"),
    ],
)
def test_a_file_that_is_no_prior_is_refused(change, message):
    found = site_hour.fit(LABELS).to_json()
    change(found)
    with pytest.raises(InputError, match=message):
        Prior.from_json(found, "prior.json")


def test_unreadable_files_and_impossible_fits_are_refused(tmp_path):
    (tmp_path / "prior.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        Prior.read(tmp_path / "prior.json")
    with pytest.raises(InputError, match=r"expected laplace or shrunk.*got 'bayes'"):
        site_hour.fit(LABELS, kind="bayes")
    with pytest.raises(InputError, match="'garden_5'; site and hour are read from it"):
        site_hour.fit(flat(["garden_5"]))
    with pytest.raises(InputError, match=r"outside 0\.\.1"):
        site_hour.fit(flat(ids("S01", 5, 2), 1.5))
    with pytest.raises(InputError, match="got -1"):
        SiteHour(site_hour.fit(LABELS), -1)


def test_columns_that_the_prior_does_not_know_stay_and_are_told():
    step, test = SiteHour(site_hour.fit(LABELS)), flat(ids("S01", 5, 2, 9)).assign(nocall=0.25)
    assert (step(test)["nocall"] == 0.25).all()
    assert step.reach(test) == site_hour.Reach(2, "1 column that the prior does not know ('nocall')")
    strangers = test[["nocall"]]
    assert step.reach(strangers).rows == 0 and step(strangers).equals(strangers)


def test_cross_fitted_priors_never_saw_the_recording():
    # every recording of its own site: its prior knows nothing of it, while one fitted on all has seen its labels
    rng = np.random.default_rng(0)
    index = [name for n in range(12) for name in ids(f"S{n % 6 + 1:02d}", 5, 6, n)]
    known = pd.DataFrame(rng.random((len(index), 20)) < 0.15, index=index, columns=[f"c{i}" for i in range(20)])
    folds = np.repeat(np.arange(12) % 6, 6)  # by site
    guess = known * 0 + 0.5
    crossed = site_hour.cross_fit(known, folds)
    assert crossed.reach(guess).rows == 0 and crossed(guess).equals(guess.astype(float))
    assert crossed.reach(guess).reason == "72 rows of a site and hour that no labels cover"  # of all folds together
    seen = SiteHour(site_hour.fit(known))(guess)
    assert metrics.macro_auc(known.to_numpy(), seen.to_numpy()) > 0.6  # from labels alone: what leaking looks like


def test_cross_fitted_priors_equal_a_prior_fitted_by_hand():
    known = pd.concat(
        [LABELS, labels({("S02", 5): (6, 3, 3)}).rename(index=lambda name: name.replace("0000_S", "0077_S"))]
    )
    folds = np.where(known.index.str.contains("_0077_"), "b", "a")
    guess = flat(known.index)
    out = site_hour.cross_fit(known, folds, weight=1.0)(guess)
    wanted = SiteHour(site_hour.fit(known[folds == "a"]), 1.0)(guess[folds == "b"])
    pd.testing.assert_frame_equal(out[folds == "b"], wanted, check_exact=True)
    unseen = flat(ids("S02", 5, 2, 500))
    pd.testing.assert_frame_equal(
        site_hour.cross_fit(known, folds)(unseen), SiteHour(site_hour.fit(known))(unseen), check_exact=True
    )
    with pytest.raises(InputError, match="recordings in two folds"):
        site_hour.cross_fit(known, np.arange(len(known)) % 2)
    with pytest.raises(InputError, match="got one fold"):
        site_hour.cross_fit(known, np.zeros(len(known)))
    with pytest.raises(InputError, match=r"expected folds \(.*, got \(3,\)"):
        site_hour.cross_fit(known, [0, 1, 2])


def test_laplace_leaves_ranks_alone_where_every_cell_says_the_same():
    # equal cells: the same shift for all rows, so macro AUC cannot move, whatever the weight
    even = labels({(site, hour): (10, 3, 1) for site in ("S01", "S02") for hour in (5, 6)})
    rng = np.random.default_rng(0)
    p = pd.DataFrame(rng.random(even.shape), index=even.index, columns=even.columns)
    for step in (SiteHour(site_hour.fit(even), 1.0), SiteHour(site_hour.fit(even, towards="base"), 3.0)):
        shift = step.prior.shift(even.index)[0]
        assert (shift == shift[0]).all() and (shift != 0).all()
        assert metrics.macro_auc(even.to_numpy(), step(p).to_numpy()) == metrics.macro_auc(
            even.to_numpy(), p.to_numpy()
        )


def test_labels_of_a_competition_are_read_once_each(tmp_path):
    folder = write_competition(tmp_path / "comp", SMALL, seed=3)
    classes, said = read_classes(folder / "taxonomy.csv"), []
    table = site_hour.labels_table(folder / "train_soundscapes_labels.csv", classes, said.append)
    lines = set((folder / "train_soundscapes_labels.csv").read_text().splitlines()[1:])
    assert len(table) == len(lines) and tuple(table.columns) == classes and table.dtypes.eq(bool).all()
    for line in lines:
        name, _, end, names = line.split(",")
        row = f"{name.removesuffix('.ogg')}_{int(end[3:5]) * 60 + int(end[6:])}"
        assert set(table.columns[table.loc[row]]) == set(names.split(";"))
    assert len(said) == 1 and f"{len(lines)} of {2 * len(lines)} rows list a window again" in said[0]
    assert SiteHour(site_hour.fit(table)).reach(table).rows == len(table)
    missing = next(name for name in classes if table[name].any())
    with pytest.raises(InputError, match=f"labels that are no class: '{missing}'"):
        site_hour.labels_table(folder / "train_soundscapes_labels.csv", [name for name in classes if name != missing])
