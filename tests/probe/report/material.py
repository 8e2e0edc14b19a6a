"""A report taken apart, and a run changed for it."""

import json
from html.parser import HTMLParser

from birdprobe.figures import gallery
from birdprobe.probe.sweep.report import write_report

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


def edit(run, change):
    config = json.loads((run / "config.json").read_text())
    change(config)
    (run / "config.json").write_text(json.dumps(config))


def read(run) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))
