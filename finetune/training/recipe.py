"""How one training is run: the member's recipe, and what is a matter of this machine and this data."""

from dataclasses import asdict, dataclass, field, replace

import torch

from ...features import InputError
from ...features.schema import check_choice, check_least
from ..losses import LOSSES, activation_of
from ..models.members import Recipe

PRECISIONS = ("auto", "bfloat16", "float32")
BEST = ("macro_auc", "cmap", "accuracy")
CACHES = ("auto", "on", "off")
DEVICES = ("auto", "cpu", "cuda")
# What a resumed run, or another fold of it, may have otherwise: these change how long it takes, not what comes out.
FREE = ("threads", "cache", "state_every_s", "device", "compile")


@dataclass(frozen=True)
class Settings:
    """recipe: the published numbers, or what the user put in their place. options: the network constructor's further
    arguments. folds, seed: of the split; the seed is also that of everything drawn in training.

    precision: of the network in training; "auto" is bfloat16 autocast on a GPU that has it, else float32. accumulate:
    pieces that a batch is cut into to fit the memory; the gradient stays that of the whole batch (batch normalisation
    sees a piece). best: which held-out score keeps `best`. state_every_s: seconds between two states to resume from,
    which is what a kill loses at most; 0 after every step, waiting for the disk. device: "auto", "cpu", "cuda".
    threads, cache: of reading audio ahead; None is a thread a core, 16 at most. compile: torch.compile the network.
    """

    recipe: Recipe
    options: dict = field(default_factory=dict)
    folds: int = 5
    seed: int = 0
    precision: str = "auto"
    accumulate: int = 1
    best: str = "macro_auc"
    state_every_s: float = 300.0
    device: str = "auto"
    threads: int | None = None
    cache: str = "auto"
    compile: bool = False

    def __post_init__(self):
        recipe = self.recipe
        for name, value, allowed in (
            ("--precision", self.precision, PRECISIONS),
            ("best", self.best, BEST),
            ("--cache", self.cache, CACHES),
            ("--device", self.device, DEVICES),
            ("--loss", recipe.loss, LOSSES),
        ):
            check_choice(name, value, allowed)
        for name, value, least in (
            ("--folds", self.folds, 2),
            ("--accumulate", self.accumulate, 1),
            ("--threads", self.threads, 1),
            ("--state-every", self.state_every_s, 0),
            ("--epochs", recipe.epochs, 1),
            ("--batch-size", recipe.batch_size, 1),
            ("--frozen-epochs", recipe.frozen_epochs, 0),
        ):
            check_least(name, value, least)
        if not 0 <= recipe.ema < 1:
            raise InputError(f"`--ema` must be 0 (off) or a decay below 1, as in 0.999, got {recipe.ema}.")
        if not recipe.learning_rate > 0:
            raise InputError(f"`--lr` must be more than 0, got {recipe.learning_rate}.")

    @property
    def activation(self) -> str:
        return activation_of(self.recipe.loss)

    def with_recipe(self, **changes) -> "Settings":
        return replace(self, recipe=replace(self.recipe, **changes))

    def to_json(self) -> dict:
        return asdict(self)

    def autocast(self, device: torch.device) -> torch.dtype | None:
        """The number type of mixed precision on this device, None for plain float32."""
        if self.precision == "float32":
            return None
        if self.precision == "bfloat16":
            return torch.bfloat16
        able = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if able else None


def flat(tree: dict, prefix: str = "") -> dict:
    """{"a": {"b": 1}} -> {"a.b": 1}; the level "recipe" goes unnamed."""
    found: dict = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, prefix if name == "recipe" else f"{prefix}{name}.")
        else:
            found[prefix + name] = list(value) if isinstance(value, tuple) else value
    return found
