"""published.toml against an independent transcription of the sources, and its form."""

import tomllib

import numpy as np
import pytest

from birdprobe.paper.published import PATH, SECTIONS, TABLES, read

TABLE1 = """
1 1 24 0.072 | 4 2 32 0.122 | 7 3 48 0.138 | 12 4 96 0.138 | 17 5 136 0.248
21 6 232 0.555 | 22 6 232 0.478 | 23 6 232 0.490 | 24 7 384 0.648 | 25 7 384 0.595
"""
TABLE4 = {
    **{"eos7": (950, 941), "eos8": (950, 941), "eos9": (950, 941), "eos10": (950, 942), "eos11": (950, 942)},
    **{"eos12": (949, 941), "eos13": (950, 941), "v4": (870, 893), "v7": (861, 890)},
}
# key -> what the source prints
SPOTS = {
    "table2.v1.public": "0.816",
    "table2.v2.public": "0.862",
    "table2.v5.public": "0.867",
    "table2.v6.public": "0.879",
    "table2.v7.public": "0.861",
    "table3.blend.drop": "-0.008",
    "table3.v6.drop": "+0.019",
    "table3.v4.drop": "+0.023",
    "table3.v7.drop": "+0.029",
    "table1.23.knn": "0.490",
    "protocol.chance": "about 0.033",
    "head.parameters": "about 430k",
    "training.recordings": "about 50k",
    "training.cache_mb": "600",
    "training.fraction_focal": "0.75",
    "blend.main": "0.93",
    "blend.head": "0.07",
    "blend.dropped": "0.0327",
    "blend.teams": "4084",
    "pseudo.oof_before": "0.7654",
    "pseudo.oof_after": "0.8998",
    "pseudo.oof_gain": "+0.134",
    "pseudo.public_gain": "-0.009",
    "residual.oof_residual": "0.8961",
    "position.at_196_px": "1, 197, 768",
    "postprocess.gaussian_sigma": "1.0",
    "scoreboard.1.private": "0.96574",
    "scoreboard.18.private": "0.95463",
    "card.learning_rate.birdmae-large": "3e-4",
    "card.learning_rate.efficientnet-b1": "5e-4",
    "card.weight_decay.efficientnet-b1": "0.01",
    "card.sample_rate.efficientnet-b1": "32,000",
    "card.hours_per_fold.birdmae-large": "6-8",
    "ensemble.birdmae_parameters": "302M",
    "ensemble.efficientnet_species": "9735",
    "frozen.attentive.cmap": "47.8",
    "finetuned.SSW.perch": "28.1",
}


@pytest.fixture(scope="module")
def published():
    return read()


def test_table_1_is_the_published_one(published):
    rows = [line.split() for line in TABLE1.replace("|", "\n").strip().splitlines()]
    assert published.frame("table1").columns.tolist() == ["block", "stage", "dim", "knn"]
    np.testing.assert_array_equal(published.frame("table1").to_numpy(), np.array(rows, dtype=float))
    assert tuple(published.frame("table1")["block"]) == published.section("protocol")["blocks"].value


def test_table_4_is_the_published_one(published):
    found = {
        row.attempt: (round(1000 * row.public), round(1000 * row.private))
        for row in published.frame("table4").itertuples()
    }
    assert found == TABLE4


@pytest.mark.parametrize("key", SPOTS)
def test_spot_values_are_printed_as_in_the_source(published, key):
    assert published[key].text == SPOTS[key]


def test_the_numbers_fit_each_other(published):
    protocol, three = published.section("protocol"), published.frame("table3")
    assert protocol["species"].value * protocol["clips_per_species"].value == protocol["clips"].value
    assert protocol["chance"].number == pytest.approx(1 / protocol["species"].value, abs=5e-4)
    assert published.frame("weights")["weight"].sum() == pytest.approx(1)
    np.testing.assert_allclose(three["private"] - three["public"], three["drop"], atol=1e-9)
    pseudo = published.section("pseudo")
    assert pseudo["oof_after"].number - pseudo["oof_before"].number == pytest.approx(
        pseudo["oof_gain"].number, abs=5e-4
    )
    assert published["blend.main"].number + published["blend.head"].number == pytest.approx(1)
    head, one = published.section("head"), published.frame("table1").set_index("block")
    assert tuple(one.loc[list(head["blocks"].value), "dim"]) == head["widths"].value


def test_the_two_tables_agree_where_both_have_an_attempt(published):
    three, four = (frame.set_index("attempt") for frame in (published.frame("table3"), published.frame("table4")))
    both = ["v4", "v7"]
    assert three.loc[both, ["public", "private"]].equals(four.loc[both, ["public", "private"]])


def test_contradictions_are_told_and_true(published):
    found = {one.key: one for one in published.contradictions}
    assert all(key in published.entries for one in found.values() for key in one.about)
    assert {"private_score", "parameters", "recordings", "cache"} <= set(found)
    assert published["table3.blend.private"].text == "0.942" and published["table4.eos7.private"].text == "0.941"
    widths = sum(published["head.widths"].value)
    assert published["training.triples"].number * widths * 4 / 1e6 == published["training.cache_mb"].number
    assert round(3 * 35_549 * widths * 4 / 1e6) == 427 and "427" in found["cache"].but
    for key in ("head.parameters", "training.recordings", "training.cache_mb"):
        assert published[key].note, key
    assert published["table3.blend.public"].note and published["table4.eos7.public"].note


def test_the_heads_count_is_that_of_the_architecture_as_written(published):
    # Linear + LayerNorm a token; block embedding; CLS; one pre-LN attention + FFN block; the last Linear
    head = {name: entry.value for name, entry in published.section("head").items()}
    d, ffn, classes = head["dim"], head["ffn"], head["classes"]
    tokens = sum(width * d + d + 2 * d for width in head["widths"])
    block = 2 * 2 * d + 4 * (d * d + d) + (d * ffn + ffn) + (ffn * d + d)
    end = d * classes + classes
    mix = tokens + len(head["widths"]) + end
    attention = tokens + len(head["widths"]) * d + d + block + end
    assert round(attention / 1000) == 847 and round(mix / 1000) == 318
    text = next(one.but for one in published.contradictions if one.key == "parameters")
    assert "847k" in text and "318k" in text


def test_the_file_has_the_form_that_is_read():
    data = tomllib.loads(PATH.read_text(encoding="utf-8"))
    assert set(data) == {"works", "tables", *SECTIONS, "contradictions"} and set(data["tables"]) == set(TABLES)
    for name, table in data["tables"].items():
        first, *others = TABLES[name]
        assert set(table) - {"note"} == {"title", "source", "rows"}, name
        assert len({row[first] for row in table["rows"]}) == len(table["rows"]), name
        optional = {"birdmae-large", "efficientnet-b1"}
        for row in table["rows"]:
            assert set(row) <= {first, *others, "note"} and {first, *others} - optional <= set(row), row
            numbers = {"block", "stage", "dim", "knn", "weight", "public", "private", "drop", "place", "cmap", "perch"}
            assert all(isinstance(row[column], int | float) for column in numbers & set(row)), row
    for section in SECTIONS:
        for name, entry in data[section].items():
            assert {"value", "source"} <= set(entry) <= {"value", "source", "text", "unit", "note"}, name
            assert not isinstance(entry["value"], bool), name


def test_every_entry_says_where_it_stands(published):
    assert len(published.entries) > 250
    for entry in published.entries.values():
        work, _, place = entry.source.partition(", ")
        assert work in published.works and place, entry.key
        assert entry.text, entry.key
    for listing in published.listings.values():
        assert tuple(listing.frame.columns) == TABLES[listing.key] and len(listing.frame), listing.key


def test_frames_are_copies_that_say_what_they_are(published):
    frame = published.frame("table1")
    frame.loc[0, "knn"] = 1.0
    assert published.frame("table1").loc[0, "knn"] == 0.072
    assert published.listings["table1"].source == "note, Table 1"


def test_missing_cells_of_the_card_are_none(published):
    card = published.frame("card").set_index("field")
    assert card.loc["layer_decay", "efficientnet-b1"] is None and card.loc["batch_size", "efficientnet-b1"] == 64
    assert "card.layer_decay.efficientnet-b1" not in published.entries


def test_sections_are_known_by_name(published):
    assert set(published.section("plateau")) == {"public", "private"}
    assert all(published.section(name) for name in SECTIONS)
    with pytest.raises(KeyError, match="protocoll"):
        published.section("protocoll")
    with pytest.raises(TypeError, match=r"protocol.backbone: .* is no number"):
        _ = published["protocol.backbone"].number
