"""The page of a run: the answer first, everything inside, every name escaped, the same bytes each time."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import pytest
import soundfile

from birdprobe.features import InputError
from birdprobe.figures import gallery
from birdprobe.probe.sweep.report import write_report
from birdprobe.probe.sweep.report.markup import bracketed, number, unbroken
from birdprobe.probe.sweep.report.report import running_head
from tests.runs import MENDS, add_readouts, make_run

PICTURES = ["readouts", "ranks", "depth", "architecture", "trajectories", "classes", "shots", "planes", "similarity"]
VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """What a browser would make of it: tags with attributes, text by enclosing tag; every tag has to be closed."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":  # no words of the page
            return
        self.text.append((tuple(self.open), data))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def words(self, tag=None):
        return " ".join("".join(data for place, data in self.text if tag is None or tag in place).split())


def draw(run):
    """The pictures that a page embeds."""
    for name in gallery.drawable(run):
        gallery.save_png(run, name)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("runs") / "run")
    draw(run)
    return run


@pytest.fixture(scope="module")
def drawn_again(drawn, tmp_path_factory):
    """A run of this edition: read-outs, a shift, and the tables of the studies."""
    run = add_readouts(shutil.copytree(drawn, tmp_path_factory.mktemp("new") / "run"), shifted=True)
    taps = ["block_11", "block_15", "embedding"]
    shots = [(tap, "linear", n, 0.4 + i / 10 + n / 100) for i, tap in enumerate(taps) for n in (1, 2, 4)]
    table = pd.DataFrame(shots, columns=["tap", "readout", "shots", "score"])
    table.assign(lo=table.score - 0.1, hi=table.score + 0.1, n_draws=20, n_test=100, n_classes=10).to_csv(
        run / "shots.csv", index=False
    )
    projection = pd.read_csv(run / "projection.csv")
    projection.to_csv(run / "planes.csv", index=False)
    names = ("knn", "knn_lo", "knn_hi", "silhouette", "silhouette_lo", "silhouette_hi")
    scores = pd.DataFrame({"tap": projection.tap.unique()}).assign(**dict.fromkeys(names, 0.5), method="pca", seeds=1)
    scores.to_csv(run / "plane_scores.csv", index=False)
    pd.DataFrame(np.eye(3) + 0.4 * (1 - np.eye(3)), index=taps, columns=taps).to_csv(run / "cka.csv", index_label="tap")
    draw(run)
    return run


@pytest.fixture
def run(drawn_again, tmp_path):
    return shutil.copytree(drawn_again, tmp_path / "run")


def edit(run, change):
    config = json.loads((run / "config.json").read_text())
    change(config)
    (run / "config.json").write_text(json.dumps(config))


def read(run) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def test_taps_that_cannot_be_told_apart_are_named_as_runs(run):
    names = ["block_03", "block_07", "block_08", "block_09", "block_11", "block_14", "block_15", "embedding"]
    edit(run, lambda config: config["answer"].update(tied=names))
    words = "Not separable from block_03, block_07 to block_09, block_14, block_15, the final embedding on these clips."
    assert words in read(run).words("section")


def test_nothing_is_fetched_from_anywhere(run):
    text = write_report(run).read_text(encoding="utf-8")
    assert write_report(run).read_text(encoding="utf-8") == text  # equal runs give equal pages
    page = Page(text)
    assert not page.all("link") + page.all("iframe") and page.all("script") == [{}]
    assert {a["href"] for a in page.all("a")} <= {"ranking.csv", "readouts.csv", "predictions.csv"}
    assert len(page.all("img")) == len(PICTURES)
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert "url(" not in text
    assert "@import" not in text
    assert not re.search(r"https?://", text)


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


def test_names_from_outside_are_escaped(run):
    def poison(config):
        config["skipped"] = [{"file": "<script>alert(1)</script>.ogg", "reason": "a & b < c"}]
        config["warnings"] = ["<img src=x onerror=alert(1)>"]
        config["audio"]["path"] = 'data/<b>"birds"</b>'
        config["model"]["preset"] = "A&B <i>"
        config["command"] = "birdprobe sweep '<x>' && echo"

    edit(run, poison)
    page = read(run)
    assert page.all("script") == [{}]  # its own, and no other
    assert len(page.all("img")) == len(PICTURES)
    words = page.words()
    for original in (
        "<script>alert(1)</script>.ogg",
        "a & b < c",
        "<img src=x onerror=alert(1)>",
        "A&B <i>",
        "'<x>' &&",
    ):
        assert original in words


def test_warnings_skipped_files_and_provenance(run):
    words = read(run).words()
    for expected in (
        "2 clips are shorter than one window; they were zero-padded.",
        "1 file could not be used and is not in any number on this page",
        "silent: all 220,500 samples equal",
        "5a1c" * 16,
        "9e02" * 16,
        "normalisation: none",
        "taps against an un-pooled run: at most 1.2e-06 absolute, 3.1e-07 relative L2",
        "onnxruntime 1.20.0",
        r"birdprobe sweep BirdNET.onnx esc10 -o runs/esc10 --group-regex '^\d-(\d+)-'",
    ):
        assert expected in words


def test_a_clean_run_says_so(run):
    edit(run, lambda config: config.update(warnings=[], skipped=[]))
    words = read(run).words()
    assert "No warnings." in words
    assert "No file was skipped." in words


def test_many_skipped_files_are_counted_not_all_listed(run):
    edit(run, lambda config: config.update(skipped=[{"file": f"{i}.ogg", "reason": "truncated"} for i in range(120)]))
    words = read(run).words()
    assert "120 files could not be used and are not in any number" in words
    assert "70 more in config.json" in words


def test_the_reference_itself_may_be_the_best(run):
    def keep(config):
        config["answer"] |= {
            "best": "embedding",
            "tied": ["embedding"],
            "sentence": "Keep reading the final embedding.",
        }

    edit(run, keep)
    words = read(run).words("section")
    below = words[words.index("By this read-out alone: ") : words.index("Ranking of all taps")]
    assert below.startswith("By this read-out alone: Keep reading the final embedding.")
    assert "paired difference" not in below
    assert "Not separable" not in below


def test_a_run_without_pictures_still_has_a_page(run):
    shutil.rmtree(run / "figures")
    page = read(run)
    assert not page.all("img")
    assert page.words("h1").startswith("Read the final embedding")


@pytest.mark.parametrize("name", ["config.json", "ranking.csv"])
def test_a_folder_that_is_no_run(run, name):
    (run / name).unlink()
    with pytest.raises(InputError, match=rf"no {name.replace('.', '[.]')} in it"):
        write_report(run)


def test_untested_and_untimed_taps_leave_cells_empty(run):
    table = pd.read_csv(run / "ranking.csv").assign(ms_per_window=np.nan, vs_last_p=np.nan)
    table.to_csv(run / "ranking.csv", index=False)
    assert "nan" not in read(run).words().lower()


def test_numbers_read_well():
    assert number(-0.0123, "{:+.3f}") == "−0.012"
    assert bracketed(9.3, -1.0, 20.0, "{:+.1f}") == "+9.3 [−1.0, +20.0]"
    assert unbroken("p &lt; 0.001, at 83 % of") == "p\u00a0&lt;\u00a00.001, at 83\u00a0% of"


def test_a_page_of_this_edition_leads_with_the_conclusion(run):
    page = read(run)
    conclusion = json.loads((run / "config.json").read_text())["conclusion"]
    assert page.words("h1") == conclusion["lines"][0]
    assert page.words("h1").startswith("Read the final embedding, by nearest class mean or with a linear head: Euc")
    header = page.words("header")
    places = [header.index(words) for words in ("Without training", "With a linear head", "The published protocol")]
    assert places == sorted(places)
    assert "of one tap and read-out alone; p: family-wise, over all 18 taps x 4 read-outs. Chance is 0.100." in header
    assert conclusion["misled"]
    boxes = [attrs for attrs in page.all("p") if "published" in attrs.get("class", "")]
    assert [box["class"] for box in boxes] == ["published misled"]
    assert "Misleading here" in header


def test_an_unmisled_run_has_no_mark(run):
    edit(run, lambda config: config["conclusion"].update(misled=False))
    page = read(run)
    assert "Misleading here" not in page.words()
    assert [attrs["class"] for attrs in page.all("p") if "published" in attrs.get("class", "")] == ["published"]


def test_pictures_of_all_readouts_come_first_and_every_one_is_described(run):
    page = read(run)
    assert [attrs["id"] for attrs in page.all("figure")] == [*PICTURES, "clips"]
    alts = [image["alt"] for image in page.all("img")]
    assert all(len(alt) > 60 and "nan" not in alt for alt in alts)
    assert "18 taps by 4 read-outs" in alts[0] and "embedding under nearest class mean" in alts[0]
    assert "Rank of embedding:" in alts[1]
    words = page.words("figcaption")
    assert "This is the published read-out, Euclidean 5-NN" in words
    assert "No tap's curve crosses that of embedding" in words
    assert "block_11 to block_15 (0.40)" in alts[-1]


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
    config = json.loads((run / "config.json").read_text())
    config["conclusion"]["metric"] = "auc"  # as of clips with several labels
    (run / "config.json").write_text(json.dumps(config))
    assert "by top-1 of the first label alone and not by macro ROC-AUC as above" in read(run).words("section")


def test_names_of_taps_and_readouts_are_escaped(run):
    def poison(config):
        config["conclusion"]["parts"]["headline"] = "Read <b>block_11</b> & co: -1.0 points."

    edit(run, poison)
    assert read(run).words("h1") == "Read <b>block_11</b> & co: −1.0 points."


def test_tables_have_captions_and_lead_to_their_csv(run):
    page = read(run)
    assert len(page.all("caption")) == len(page.all("table")) >= 3
    assert "Every tap under every read-out" in page.words("caption")
    assert {"ranking.csv", "readouts.csv"} <= {a["href"] for a in page.all("a")}
    assert all((run / a["href"]).is_file() for a in page.all("a"))


def test_points_of_the_plane_name_their_recordings(run):
    table = pd.read_csv(run / "predictions.csv")
    table.loc[0, "file"] = "<i>a&b</i>.ogg"
    table.to_csv(run / "predictions.csv", index=False)
    page = read(run)
    points = pd.read_csv(run / "projection.csv")
    assert len(page.all("circle")) == points.groupby("tap").size().iloc[0]
    told = [data for place, data in page.text if place[-2:] == ("circle", "title")]
    assert told[0].startswith(f"<i>a&b</i>.ogg · {table.label[0]} · from ")
    tap = page.words("figcaption").split("The clips at ")[1].split(",")[0]
    right = sum("read right" in words for words in told)
    assert right == (table[tap] == table["label"]).sum()
    assert len({attrs["data-c"] for attrs in page.all("circle")}) == table.label.nunique()


def with_recordings(run, names, seconds=0.5):
    """A class folder beside the run that holds recordings of these names; the first rows of the tables are of them."""
    audio = run.parent / "sounds & more"
    rng = np.random.default_rng(0)
    for name in names:
        (audio / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(audio / name, 0.1 * rng.normal(size=int(seconds * 22050)), 22050, format="WAV")
    table, projection = pd.read_csv(run / "predictions.csv"), pd.read_csv(run / "projection.csv")
    each = len(table)
    table = table.head(len(names)).assign(file=names, start_s=0.0, end_s=[seconds] * len(names))
    table.to_csv(run / "predictions.csv", index=False)
    keep = [i for i in range(len(projection)) if i % each < len(names)]
    projection.iloc[keep].to_csv(run / "projection.csv", index=False)
    edit(run, lambda config: config["audio"].update(path=str(audio)))
    return audio


def test_a_point_plays_its_recording_and_an_excerpt_where_that_is_gone(run):
    names = ["a/plain.wav", "a/50% #1 ü?.wav", 'a/"><script>alert(1)</script>.wav', "a/javascript:alert(1).wav"]
    audio = with_recordings(run, names)
    page = read(run)
    points = page.all("circle")
    for name, point in zip(names, points, strict=True):
        place, _, span = point["data-link"].partition("#")
        assert (run / unquote(place)).resolve() == (audio / name).resolve() and span == "t=0,0.5"
        assert urlsplit(point["data-link"]).scheme == ""
        heard, rate = soundfile.read(io.BytesIO(base64.b64decode(point["data-excerpt"])))
        assert rate == 24000 and 0.5 <= len(heard) / rate < 0.7 and 0.05 < heard.std() < 0.15
    assert "The first 10 s of each are in this page (0.0 MB)" in page.words("figcaption")
    assert len(page.all("script")) == 1 and len(page.all("audio")) == 1
    shutil.rmtree(audio)
    page = read(run)
    assert not any("data-link" in point or "data-excerpt" in point for point in page.all("circle"))
    assert f"The recordings were not at {audio} when this page was made" in page.words("figcaption")


def test_many_recordings_are_linked_and_the_page_stays_small(run, monkeypatch):
    with_recordings(run, ["a/1.wav", "a/2.wav"])
    monkeypatch.setattr("birdprobe.probe.sweep.report.sounds.TOTAL_S", 2.0)
    page = read(run)
    assert all("data-link" in point and "data-excerpt" not in point for point in page.all("circle"))
    assert "2 are too many to be kept in this page (at most 1)" in page.words("figcaption")


def test_a_damaged_recording_has_a_link_but_no_excerpt(run):
    audio = with_recordings(run, ["a/1.wav", "a/2.wav"])
    (audio / "a/1.wav").write_bytes(b"RIFF")
    first, second = read(run).all("circle")
    assert "data-excerpt" not in first and "data-excerpt" in second


def test_slowed_recordings_are_heard_as_the_model_heard_them(run):
    with_recordings(run, ["a/1.wav"])
    edit(run, lambda config: config["settings"].update(speed=0.1))
    page = read(run)
    (point,) = page.all("circle")
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(point["data-excerpt"])))
    assert 5 <= len(heard) / rate < 5.2 and point["data-link"].endswith("#t=0,0.5")
    assert page.all("audio")[0]["data-speed"] == "0.1"


def test_a_run_without_a_plane_has_no_points(run):
    (run / "projection.csv").unlink()
    assert not read(run).all("circle")


def test_the_verdict_is_repeated_on_printed_pages(run):
    text = write_report(run).read_text(encoding="utf-8")
    assert re.search(r'@page \{ .*@top-left \{ content: "Read the final embedding, by nearest class mean', text)
    assert running_head('Read "a</style>').count("<") == 0
