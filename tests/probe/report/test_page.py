"""A whole page: what leads, what is said of pictures, warnings and provenance, and nothing fetched."""

import json
import re
import shutil

import pytest

from birdprobe.features import InputError
from birdprobe.probe.sweep.report import write_report
from birdprobe.probe.sweep.report.report import running_head
from tests.probe.report.material import PICTURES, Page, edit, read


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


def test_names_of_taps_and_readouts_are_escaped(run):
    def poison(config):
        config["conclusion"]["parts"]["headline"] = "Read <b>block_11</b> & co: -1.0 points."

    edit(run, poison)
    assert read(run).words("h1") == "Read <b>block_11</b> & co: −1.0 points."


def test_the_verdict_is_repeated_on_printed_pages(run):
    text = write_report(run).read_text(encoding="utf-8")
    assert re.search(r'@page \{ .*@top-left \{ content: "Read the final embedding, by nearest class mean', text)
    assert running_head('Read "a</style>').count("<") == 0
