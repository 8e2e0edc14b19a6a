"""The plane: its points name and play their recordings."""

import base64
import io
import shutil
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import soundfile

from tests.probe.report.material import edit, read


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
