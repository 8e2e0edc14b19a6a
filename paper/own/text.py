"""The words of a paper of one's own runs: what was read and how, and the sentences that the runs concluded with."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...analysis import wording
from ...probe.models.registry import entries
from .. import typeset
from ..runs.discovery import Sources
from ..runs.readers import Comparison, Heads, Sweep

PLURAL = {"run of heads": "runs of heads", "comparison of predictions": "comparisons of predictions"}
NOTE = (
    "S. Yadav. Per-Block kNN Probing as a Layer Selector for Frozen Perch v2 Features. Working note, BirdCLEF+ 2026. "
    "(The published probe, Euclidean 5-NN.)"
)
OTHERS = (
    "P. H. Westfall, S. S. Young. Resampling-Based Multiple Testing. Wiley, 1993. (Family-wise p-values.)",
    "K. You et al. LogME: Practical Assessment of Pre-trained Models for Transfer Learning. ICML 2021.",
)


@dataclass(frozen=True)
class Section:
    """paragraphs: plain text. figures: (file, caption). tables: names."""

    title: str
    paragraphs: Sequence[str]
    figures: Sequence[tuple[str, str]] = ()
    tables: Sequence[str] = ()

    def to_json(self) -> dict:
        return {
            "title": self.title,
            "paragraphs": [typeset.minus(words) for words in self.paragraphs],
            "figures": [{"file": file, "caption": caption} for file, caption in self.figures],
            "tables": list(self.tables),
        }


def title(sources: Sources) -> str:
    """What the paper is about, from its sweeps; "Own runs" where there is none."""
    pairs = list(dict.fromkeys(f"{one.model} on {one.data}" for one in sources.sweeps))
    if not pairs:
        return "Heads, blends and experiments on cached audio features"
    more = f" and {len(pairs) - 2} more" if len(pairs) > 2 else ""
    return f"Which block to read: {' and '.join(pairs[:2])}{more}"


def abstract(sources: Sources) -> str:
    """The headline of each sweep, and how many runs of other kinds there are."""
    words = [f"{heading(one, sources)} ({counted(one)}). {headline(one)}" for one in sources.sweeps]
    others = {"run of heads": sources.heads, "comparison of predictions": sources.comparisons}
    others |= {"experiment": sources.experiments, "fine-tuned model": sources.members}
    for what, ones in others.items():
        if len(ones) > 1:
            words.append(f"{len(ones)} {PLURAL.get(what, what + 's')} follow.")
        elif ones:
            words.append(f"One {what} follows.")
    return typeset.minus(" ".join(words))


def headline(one: Sweep) -> str:
    """The first line of a sweep's conclusion; of a run of the first edition its best tap."""
    return next(iter(lines(one)), f"the best tap is {one.run.best}.")


def lines(one: Sweep) -> list[str]:
    """The conclusion of a sweep, a sentence a use."""
    return [str(line) for line in one.config.get("conclusion", {}).get("lines", [])]


def counted(one: Sweep) -> str:
    groups = f" in {one.run.n_groups:,} groups" if one.run.n_groups else ""
    return f"{one.run.n_units:,} {one.run.unit}{groups}, {one.run.n_classes} classes"


def method(one: Sweep) -> str:
    """What was read in a sweep, and with what."""
    config = one.config
    model, audio, settings = config["model"], config["audio"], config["settings"]
    read = readouts(one)
    folds = config["folds"]["description"]
    groups = (
        ("" if "kept whole" in folds else f"Groups ({config['grouping']}) are kept whole. ")
        if one.run.n_groups
        else "No grouping was known: clips of one recording may be on both sides of a split, and scores too high. "
    )
    return (
        f"Run {one.name}: {one.model} ({Path(model['path']).name}, sha256 {str(model['sha256'])[:12]}) takes windows "
        f"of {model['window_s']:g} s at {model['sample_rate']:,} Hz (normalisation: {model['normalise']}). The data, "
        f"{one.data}, are {audio['clips']:,} clips of {audio['classes']} classes ({audio['windows']:,} windows, "
        f"selected: {settings.get('select', 'all')}); ranked are {counted(one)}, over "
        f"{folds}. {groups}"
        f"{len(one.ranking)} taps were read, pooled by {settings.get('pool', 'mean')}, under {len(read)} "
        f"read-out{'s' if len(read) != 1 else ''} ({', '.join(read)}); the score is {score_name(one)}. Chance is "
        f"{one.run.chance:.3f}."
    )


def versions(sources: Sources) -> list[str]:
    """What the sweeps were made with, once where it was the same for all."""
    used: dict[str, list[str]] = {}
    for one in sources.sweeps:
        words = ", ".join(f"{name} {number}" for name, number in one.config.get("versions", {}).items())
        used.setdefault(words, []).append(one.name)
    found: list[str] = []
    for words, names in used.items():
        of = f" ({', '.join(names)})" if len(used) > 1 else ""
        found += [f"Made with {words}{of}."] if words else []
    return found


def heading(one: Sweep, sources: Sources) -> str:
    """What a section is about; the run's name too where another is of the same model and data."""
    same = [other for other in sources.sweeps if (other.model, other.data) == (one.model, one.data)]
    return f"{one.model} on {one.data}{f' ({one.name})' if len(same) > 1 else ''}"


def readouts(one: Sweep) -> list[str]:
    names = one.config.get("readouts") or ["knn"]
    return [readout_name(one, name) for name in names]


def readout_name(one: Sweep, name: str) -> str:
    return wording.readout_name(name, one.config["settings"]["k"])


def score_name(one: Sweep) -> str:
    return wording.SCORES.get(str(one.config.get("score", "top1")), str(one.config.get("score")))


STATISTICS = (
    "The program birdprobe finds the blocks of a network from the graph of its ONNX file, makes the pooled output of "
    "each an additional output, and proves the opened network against the untouched one. Scores are cross-validated. "
    "Brackets are 95 % intervals, by the jackknife over groups; differences from the final embedding are paired. "
    "p-values are those of sign flips over groups, family-wise over all taps and read-outs [2]. Scores called "
    "corrected take off what choosing the best of many adds."
)


def limits(sources: Sources) -> list[str]:
    """What the runs warned of."""
    return [f"{one.name}: {words}" for one in sources.sweeps for words in map(str, one.config.get("warnings", []))] or [
        "The runs gave no warnings."
    ]


def heads(one: Heads) -> str:
    """Which head scored best, and its difference from the baseline."""
    rows = one.scored
    best = rows.iloc[int(rows["macro_auc"].argmax())]
    told = (
        f"{one.name}: {len(rows)} head{'s' if len(rows) != 1 else ''} were trained on cached vectors of "
        f"{one.counted} and scored out of fold. Highest macro ROC-AUC: "
        f"{best['head']}, {wording.interval(best.macro_auc, best.auc_lo, best.auc_hi)}"
    )
    against = one.differences[one.differences["head"] == best["head"]]
    for row in against.itertuples():
        gain = wording.interval(row.macro_auc, row.macro_auc_lo, row.macro_auc_hi, signed=True)
        beyond = row.macro_auc_lo > 0 or row.macro_auc_hi < 0
        told += f"; {gain} against {row.baseline}{'' if beyond else ', not beyond chance'}"
    return f"{told}."


def blend(one: Comparison) -> str:
    """The verdict of a blend, and how much it was judged on."""
    first = one.frame.iloc[0]
    told = f"{one.name}: {int(first['n_rows']):,} windows of {int(first['n_files']):,} recordings."
    members = one.config.get("members") or []
    if members:
        told += " Members: " + ", ".join(f"{m['name']} (weight {float(m['weight']):.3g})" for m in members) + "."
    return " ".join(filter(None, (told, str(one.config.get("verdict") or ""))))


def citations(sources: Sources) -> dict[str, str | None]:
    """Backbone -> what its authors ask to be cited; None where `birdprobe models` does not list it."""
    return {one.model: _citation(one) for one in sources.sweeps}


def _citation(one: Sweep) -> str | None:
    stem, name = Path(one.config["model"]["path"]).stem, re.sub("[ _]", "-", one.model.lower())
    for entry in entries().values():
        same = entry.sha256 == one.config["model"]["sha256"] or stem == entry.place.stem
        if same or name in (entry.name, *entry.aliases):
            return entry.cite or None
    return None


def models(sources: Sources) -> list[str]:
    """A reference a backbone."""
    return [
        f"{cited}. (The model {name}.)" if cited else f"[The citation of the model {name} goes here.]"
        for name, cited in citations(sources).items()
    ]
