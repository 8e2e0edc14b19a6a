"""The page's tables: every row and cell, what is marked, and where the CSV is."""

import json
import re

import numpy as np
import pandas as pd

from birdprobe.probe.sweep.report import write_report
from birdprobe.probe.sweep.report.markup import bracketed, number, unbroken
from tests.probe.report.material import Page, edit, read
from tests.runs import MENDS


def test_the_table_has_a_row_for_every_tap_and_marks_the_best(run):
    page = read(run)
    ranking = pd.read_csv(run / "ranking.csv")
    rows = [attrs for tag, attrs in page.tags if tag == "tr"]
    assert sum(attrs.get("class") == "best" for attrs in rows) == 1
    bars = [attrs["style"] for attrs in page.all("td") if attrs.get("class") == "bar"]
    shown = [float(re.search(r"--v:([\d.]+)%", style)[1]) for style in bars]
    np.testing.assert_allclose(shown, 100 * ranking.knn, atol=0.051)
    words = page.words("tbody")
    for row in ranking.itertuples():
        assert f"{row.tap}" in words
        assert f"{row.knn:.3f}" in words
        assert f"{row.linear:.3f}" in words


def test_untested_and_untimed_taps_leave_cells_empty(run):
    table = pd.read_csv(run / "ranking.csv").assign(ms_per_window=np.nan, vs_last_p=np.nan)
    table.to_csv(run / "ranking.csv", index=False)
    assert "nan" not in read(run).words().lower()


def test_numbers_read_well():
    assert number(-0.0123, "{:+.3f}") == "−0.012"
    assert bracketed(9.3, -1.0, 20.0, "{:+.1f}") == "+9.3 [−1.0, +20.0]"
    assert unbroken("p &lt; 0.001, at 83 % of") == "p\u00a0&lt;\u00a00.001, at 83\u00a0% of"


def test_the_table_of_readouts_holds_every_cell_and_marks_the_best(run):
    table = pd.read_csv(run / "readouts.csv")
    text = write_report(run).read_text(encoding="utf-8")
    part = text[text.index("<h2>Every tap under every read-out") : text.index("<h2>In domain and on the test")]
    page = Page(part[: part.rindex("</section>")].replace("<section>", ""))
    words = page.words("tbody")
    for row in table.itertuples():
        assert f"{row.score:.3f}" in words
    best = table.loc[table.groupby("readout", sort=False).score.idxmax()]
    bold = [data.strip() for place, data in page.text if place[-1:] == ("b",)]
    assert sorted(bold) == sorted(f"{score:.3f}" for score in best.score)
    corrected = words[words.index("best, corrected") :]
    for row in best.itertuples():
        assert f"{row.corrected:.3f}{row.tap}" in corrected
    beating = (table.vs_last > 0) & (table.vs_last_p_adjusted < 0.05)
    assert sum(attrs.get("class") == "beats" for attrs in page.all("td")) == beating.sum()
    assert words.count("reference") == len(MENDS)


def test_scores_in_domain_and_on_the_test_recordings_stand_side_by_side(run):
    table = pd.read_csv(run / "readouts.csv")
    page = read(run)
    groups = [attrs for attrs in page.all("th") if attrs.get("scope") == "colgroup"]
    assert [attrs["colspan"] for attrs in groups] == ["1", *["2"] * len(MENDS)]
    words = page.words("tbody")
    assert all(f"{score:.3f}" in words for score in table.shifted_score)
    shift = json.loads((run / "config.json").read_text())["conclusion"]["shifted"]
    assert shift["sentence"] in page.words("header")
    assert f"{shift['n']} rows of {shift['n_groups']} groups over the 10 classes" in page.words("section")


def test_the_published_ranking_keeps_a_heading_of_its_own(run):
    page = read(run)
    answer = json.loads((run / "config.json").read_text())["answer"]
    words = page.words("section")
    below = words[words.index("The published ranking: Euclidean 5-NN") :]
    assert answer["sentence"] in below
    assert answer["sentence"] not in page.words("header")
    assert "bootstrap over" not in below  # intervals of this edition are not from the bootstrap
    regions = [attrs["aria-label"] for attrs in page.all("div") if attrs.get("role") == "region"]
    assert regions[0] == "Every tap under every read-out"
    assert regions.index("Ranking of all taps") > 0
    edit(run, lambda config: config["conclusion"].update(metric="auc"))  # as of clips with several labels
    assert "by top-1 of the first label alone and not by macro ROC-AUC as above" in read(run).words("section")


def test_tables_have_captions_and_lead_to_their_csv(run):
    page = read(run)
    assert len(page.all("caption")) == len(page.all("table")) >= 3
    assert "Every tap under every read-out" in page.words("caption")
    assert {"ranking.csv", "readouts.csv"} <= {a["href"] for a in page.all("a")}
    assert all((run / a["href"]).is_file() for a in page.all("a"))


def test_tables_that_are_wider_than_a_telephone_say_so(run):
    page = read(run)
    assert all("scroll" in (div.get("class") or "") for div in page.all("div") if div.get("role") == "region")
    narrow = (run / "report.html").read_text().partition("@media screen and (max-width: 36rem)")[2]
    assert re.search(r"\.scroll::before, \.picture::before \{\s+content: \"swipe sideways", narrow)
