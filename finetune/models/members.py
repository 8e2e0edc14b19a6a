"""The members of a blend: what each is built of, and the recipe that it was published with.

    waveform [N, S] -> front end -> picture [N, 1, ., .] -> network -> logits [N, K]

    member                front end        network                      weights to begin with (--pretrained)
    birdmae-base          Kaldi fbank      ViT-B/16, 85 M parameters    Bird-MAE, self-supervised on XCL
    birdmae-large         Kaldi fbank      ViT-L/16, 303 M              the same; 0.6 of the published ensemble
    birdmae-huge          Kaldi fbank      ViT-H/16, 630 M              the same
    efficientnet-b1       dB mel           EfficientNet-B1, 6.5 M       BirdSet, supervised on XCL; 0.4 of the ensemble
    tf_efficientnet_b1    dB mel           the same of timm             ImageNet
    birdmae-tiny          Kaldi fbank      ViT, 4 blocks, 0.8 M         none: small enough for a CPU and for tests
    timm:NAME             dB mel           any timm backbone            timm's, if it has any

Sources, named in the comments below: [paper] Bird-MAE, arXiv 2504.12880, and its published fine-tuning configuration;
[card] the model card "BirdCLEF 2026: multi-model ensemble"; [birdset] arXiv 2403.10380 and its configuration.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from torch import Tensor, nn

from ...features import InputError
from ..data.augment import Augment
from .network import Frontend, Network

TIMM = "timm:"


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


@dataclass(frozen=True)
class Member:
    """A front end and a network that fit, and how to train them.

    frontend(): the module waveform -> picture. network(n_classes, **options): the module picture -> logits. hub_id:
    where the published weights lie, None where there are none. licence: of those weights.
    """

    name: str
    title: str
    source: str
    frontend: Callable[[], Frontend]
    network: Callable[..., Network]
    recipe: Recipe
    hub_id: str | None = None
    licence: str = ""
    sample_rate: int = 32000  # Hz
    window_s: float = 5.0

    @property
    def window_samples(self) -> int:
        return round(self.sample_rate * self.window_s)


class Model(nn.Module):
    """Front end and network: waveform float32 [N, S] -> logits [N, K]."""

    frontend: Frontend
    network: Network

    def __init__(self, frontend: Frontend, network: Network):
        super().__init__()
        self.frontend = frontend
        self.network = network

    def forward(self, waveform: Tensor) -> Tensor:
        return self.network(self.frontend(waveform))


def assemble(member: Member, n_classes: int, **options) -> Model:
    """The member with fresh weights and `n_classes` outputs. options: the network's further arguments.

    InputError: an option that the network does not have.
    """
    return Model(member.frontend(), member.network(n_classes, **options))


def get(name: str) -> Member:
    """The member of this name; `timm:NAME` is any backbone of timm. InputError names the nearest there are."""
    if name.startswith(TIMM):
        return _timm(name.removeprefix(TIMM))
    if name in MEMBERS:
        return MEMBERS[name]
    near = get_close_matches(name, MEMBERS, n=3, cutoff=0.5)
    from . import timm_backbone

    near += [TIMM + other for other in timm_backbone.near(name)]
    raise InputError(
        f"member: expected {_wanted(near, tuple(MEMBERS))}, got {name!r}. {TIMM}NAME is any timm backbone."
    )


def _wanted(near: list[str], otherwise: tuple[str, ...]) -> str:
    return "one of " + ", ".join(near or otherwise)


def _timm(name: str) -> Member:
    from . import timm_backbone

    about = timm_backbone.about(name)
    return Member(
        name=TIMM + name,
        title=f"{name} of timm",
        source="timm (Wightman); a recipe of our own, after the two published ones",
        frontend=_db_mel,
        network=_Timm(name),
        recipe=replace(EFFICIENTNET, layer_decay=0.75, clip_norm=2.0) if about.fixed else EFFICIENTNET,
        hub_id=about.hub_id,
        licence=about.licence,
    )


@dataclass(frozen=True)
class _BirdMAE:
    size: str

    def __call__(self, n_classes: int, **options) -> Network:
        from .birdmae import build

        return build(self.size, n_classes, **options)


@dataclass(frozen=True)
class _Timm:
    name: str

    def __call__(self, n_classes: int, **options) -> Network:
        from .timm_backbone import TimmBackbone

        return TimmBackbone(self.name, n_classes, **options)


def _efficientnet(n_classes: int, **options) -> Network:
    from .efficientnet import BirdSetEfficientNet

    return BirdSetEfficientNet(n_classes, **options)


def _fbank() -> Frontend:
    from ..frontends.fbank import KaldiFbank

    return KaldiFbank()


def _db_mel() -> Frontend:
    from ..frontends.melspec import BirdsetMelSpec

    return BirdsetMelSpec()


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

BIRDMAE = "Rauch et al. 2025, arXiv 2504.12880"
NOT_STATED = "the licence of the weights is not stated"
MEMBERS: dict[str, Member] = {
    member.name: member
    for member in (
        *(
            Member(
                name=f"birdmae-{size}",
                title=f"Bird-MAE-{size.title()}",
                source=BIRDMAE,
                frontend=_fbank,
                network=_BirdMAE(size),
                recipe=LARGE if size == "large" else PAPER,
                hub_id=f"DBD-research-group/Bird-MAE-{size.title()}",
                licence=NOT_STATED,
            )
            for size in ("base", "large", "huge")
        ),
        Member(
            name="efficientnet-b1",
            title="EfficientNet-B1 of BirdSet",
            source="Rauch et al., arXiv 2403.10380",
            frontend=_db_mel,
            network=_efficientnet,
            recipe=EFFICIENTNET,
            hub_id="DBD-research-group/EfficientNet-B1-BirdSet-XCL",
            licence="see the page of the weights",
        ),
        Member(
            name="tf_efficientnet_b1",
            title="EfficientNet-B1 of timm",
            source="Tan & Le 2019, arXiv 1905.11946; weights as timm has them",
            frontend=_db_mel,
            network=_Timm("tf_efficientnet_b1"),
            recipe=EFFICIENTNET,
            hub_id="timm/tf_efficientnet_b1.ns_jft_in1k",
            licence="Apache-2.0",
        ),
        Member(
            name="birdmae-tiny",
            title="a small network of Bird-MAE's form, for tests and CPUs",
            source="this project; no published weights exist",
            frontend=_fbank,
            network=_BirdMAE("tiny"),
            recipe=TINY,
        ),
    )
}
