"""How members are trained: the published numbers, each with its source, and ours where none are published.

Sources, named in the comments below: [paper] Bird-MAE, arXiv 2504.12880, and its published fine-tuning configuration;
[card] the model card "BirdCLEF 2026: multi-model ensemble"; [birdset] arXiv 2403.10380 and its configuration.
[panns] Kong et al. 2020, arXiv 1912.10211.
"""

from dataclasses import dataclass, field, replace

from ..data.augment import Augment


@dataclass(frozen=True)
class Recipe:
    """How a member is trained. The defaults are Bird-MAE-Large's of the model card.

    epochs: all of them; in the first `frozen_epochs` only the head learns. warmup: share of all steps, linear; then a
    cosine down to min_lr. layer_decay: learning rate of layer `id` times decay ** (depth + 1 - id); 1 = none.
    clip_norm: largest norm of the gradient; 0 = not clipped. loss: "asl", "bce" or "ce"; gamma_neg, gamma_pos and
    asl_clip belong to "asl". ema: decay of the averaged weights; 0 = none. selection: of the window of a clip in
    training, "energy" or "random". prototype_lr: learning rate of the prototypes, where the head has any.
    """

    learning_rate: float = 3e-4  # [paper], [card]
    weight_decay: float = 3e-4  # [paper], [card]; AdamW
    betas: tuple[float, float] = (0.9, 0.95)  # [paper]
    layer_decay: float = 0.75  # [paper], [card]
    epochs: int = 30  # [paper], [card]
    frozen_epochs: int = 2  # [card]: 2 frozen, then 28 full
    warmup: float = 0.067  # [paper]
    min_lr: float = 1e-6  # [paper]
    batch_size: int = 32  # [card]; [paper] 128
    clip_norm: float = 2.0  # [paper], [card]
    loss: str = "asl"  # [paper], [card]
    gamma_neg: float = 4.0  # [paper], [card]
    gamma_pos: float = 0.0  # [card]; [paper] 1
    asl_clip: float = 0.05  # [paper], [card]
    drop_path: float = 0.1  # [paper]
    ema: float = 0.0
    augment: Augment = field(
        default_factory=Augment
    )  # [paper], [card]: finetune.data.augment names each number's source
    selection: str = "energy"  # [card]: "energy-based window selection (Perch 2.0)"
    prototype_lr: float = 0.04  # [paper]


LARGE = Recipe()
PAPER = replace(LARGE, batch_size=128, frozen_epochs=0, gamma_pos=1.0)  # Base and Huge: [paper]; no card has them
EFFICIENTNET = Recipe(
    learning_rate=5e-4,  # [birdset], [card]
    weight_decay=0.01,  # [card]; [birdset] 5e-4
    betas=(0.9, 0.999),  # AdamW's own: neither source names any
    layer_decay=1.0,
    epochs=50,  # [card]
    frozen_epochs=0,
    warmup=0.05,  # [birdset]
    min_lr=0.0,  # [birdset]: cosine to zero
    batch_size=64,  # [birdset], [card]
    clip_norm=0.0,  # neither source names any
    loss="bce",  # [birdset], [card]
    drop_path=0.2,  # drop_connect_rate of the published configuration
)
# Ours, for a few epochs from scratch on a CPU; says nothing about birds.
TINY = replace(LARGE, learning_rate=1e-3, layer_decay=1.0, epochs=10, frozen_epochs=0, batch_size=16, drop_path=0.0)
# Distilled SED: its published part is the architecture; where neither [panns] nor [birdset] says a number it is ours.
SED = replace(
    EFFICIENTNET,
    learning_rate=1e-3,  # [panns]
    batch_size=32,  # [panns]
    epochs=30,  # ours
    augment=Augment(mask_value=-40.0),  # ours: the dB that the front end centres to 0, so a masked band says nothing
    selection="random",  # ours: events lie anywhere in a window, not in its middle
)
