"""What fine-tuned models measured: what reading the tokens gains over the pooled vector."""

import math

from ...analysis import metrics, predictions
from ..runs.discovery import Sources
from ..runs.readers import Member
from .measure import Measure, paired


def frozen_heads(sources: Sources) -> tuple[Measure, ...]:
    """cmAP of a Bird-MAE that reads its tokens, less that of one with a linear layer on the pooled vector; both frozen
    (only the head learned) and scored on the same held-out windows."""
    frozen = [one for one in sources.members if one.member.startswith("birdmae") and _is_frozen(one) and one.oof]
    pairs = [(one, other) for one in frozen for other in frozen if (_head(one), _head(other)) == ("plain", "attentive")]
    found = []
    for plain, attentive in pairs:
        if (plain.member, plain.config["labels"]) != (attentive.member, attentive.config["labels"]):
            continue
        if plain.truth is None or plain.oof is None or attentive.oof is None:
            continue
        ends, n = paired(metrics.cmap, plain.truth, attentive.oof, plain.oof), len(predictions.read(plain.truth))
        at = f"{attentive.name} less {plain.name}"
        found.append(Measure(plain.name, f"{plain.member}, {plain.name}", *ends, f"{n:,} windows", at))
    return tuple(found)


def _is_frozen(run: Member) -> bool:
    return run.recipe.get("frozen_epochs", 0) >= run.recipe.get("epochs", math.inf)


def _head(run: Member) -> str:
    return run.config["settings"].get("options", {}).get("head", "plain")
