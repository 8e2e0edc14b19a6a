"""The members of a blend: what each is built of, and the recipe that it was published with.

waveform [N, S] -> front end -> picture [N, 1, ., .] -> network -> logits [N, K]

member                front end        network                      weights to begin with (--pretrained)
birdmae-base          Kaldi fbank      ViT-B/16, 85 M parameters    Bird-MAE, self-supervised on XCL
birdmae-large         Kaldi fbank      ViT-L/16, 303 M              the same; 0.6 of the published ensemble
birdmae-huge          Kaldi fbank      ViT-H/16, 630 M              the same
efficientnet-b1       dB mel           EfficientNet-B1, 6.5 M       BirdSet, supervised on XCL; 0.4 of the ensemble
tf_efficientnet_b1    dB mel           the same of timm             ImageNet
sed-b0                dB mel, 128      EfficientNet-B0 of timm, then attention over time; ImageNet
birdmae-tiny          Kaldi fbank      ViT, 4 blocks, 0.8 M         none: small enough for a CPU and for tests
timm:NAME             dB mel           any timm backbone            timm's, if it has any
sed:NAME              dB mel, 128      any convolutional one of timm, then attention over time; timm's
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from inspect import signature

from torch import Tensor, nn

from ...features import InputError
from ..frontends.fbank import KaldiFbank
from ..frontends.melspec import BirdsetMelSpec, sed_mel_spec
from ..losses import LOSSES
from . import birdmae, sed, timm_backbone
from .efficientnet import BirdSetEfficientNet
from .network import Frontend, Network
from .recipes import EFFICIENTNET, LARGE, PAPER, SED, TINY, Recipe

TIMM, SED_ON = "timm:", "sed:"


@dataclass(frozen=True)
class Member:
    """A front end and a network that fit, and how to train them.

    frontend(): the module waveform -> picture. network(n_classes, **options): the module picture -> logits. hub_id:
    where the published weights lie, None where there are none. licence: of those weights. losses: that it can learn by.
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
    losses: tuple[str, ...] = LOSSES

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
    known = list(signature(member.network).parameters)[1:]  # behind n_classes
    if odd := sorted(set(options) - set(known)):
        raise InputError(f"{member.name}: expected the options {' or '.join(known) or 'none'}, got {', '.join(odd)}.")
    return Model(member.frontend(), member.network(n_classes, **options))


def get(name: str) -> Member:
    """The member of this name; `timm:NAME` is any backbone of timm, `sed:NAME` a sound event detector on it.

    InputError names the nearest there are.
    """
    if name.startswith(TIMM):
        return _timm(name.removeprefix(TIMM))
    if name.startswith(SED_ON):
        return _sed(name.removeprefix(SED_ON))
    if name in MEMBERS:
        return MEMBERS[name]
    near = get_close_matches(name, MEMBERS, n=3, cutoff=0.5)
    near += [TIMM + other for other in timm_backbone.near(name)]
    raise InputError(
        f"member: expected {_wanted(near, tuple(MEMBERS))}, got {name!r}. {TIMM}NAME is any timm backbone, "
        f"{SED_ON}NAME a sound event detector on it."
    )


def _wanted(near: list[str], otherwise: tuple[str, ...]) -> str:
    return "one of " + ", ".join(near or otherwise)


def _timm(name: str) -> Member:
    about = timm_backbone.about(name)
    return replace(
        MEMBERS["tf_efficientnet_b1"],
        name=TIMM + name,
        title=f"{name} of timm",
        source="timm (Wightman); a recipe of our own, after the two published ones",
        network=partial(timm_backbone.TimmBackbone, name),
        recipe=replace(EFFICIENTNET, layer_decay=0.75, clip_norm=2.0) if about.fixed else EFFICIENTNET,
        hub_id=about.hub_id,
        licence=about.licence,
    )


def _sed(name: str) -> Member:
    about = timm_backbone.about(name)
    sed.check(name)
    return replace(
        MEMBERS["sed-b0"],
        name=SED_ON + name,
        title=f"a sound event detector on {name} of timm",
        network=partial(sed.SoundEventDetector, name),
        hub_id=about.hub_id,
        licence=about.licence,
    )


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
                frontend=KaldiFbank,
                network=partial(birdmae.build, size),
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
            frontend=BirdsetMelSpec,
            network=BirdSetEfficientNet,
            recipe=EFFICIENTNET,
            hub_id="DBD-research-group/EfficientNet-B1-BirdSet-XCL",
            licence="see the page of the weights",
        ),
        Member(
            name="tf_efficientnet_b1",
            title="EfficientNet-B1 of timm",
            source="Tan & Le 2019, arXiv 1905.11946; weights as timm has them",
            frontend=BirdsetMelSpec,
            network=partial(timm_backbone.TimmBackbone, "tf_efficientnet_b1"),
            recipe=EFFICIENTNET,
            hub_id="timm/tf_efficientnet_b1.ns_jft_in1k",
            licence="Apache-2.0",
        ),
        Member(
            name="sed-b0",
            title="a sound event detector on EfficientNet-B0",
            source="attention over time: Kong et al. 2020, arXiv 1912.10211; "
            "GeM: Radenović et al. 2018, arXiv 1711.02512",
            frontend=sed_mel_spec,
            network=partial(sed.SoundEventDetector, "tf_efficientnet_b0"),
            recipe=SED,
            hub_id="timm/tf_efficientnet_b0.ns_jft_in1k",
            licence="Apache-2.0",
            losses=("asl", "bce"),  # frames hear any number of classes at once
        ),
        Member(
            name="birdmae-tiny",
            title="a small network of Bird-MAE's form, for tests and CPUs",
            source="this project; no published weights exist",
            frontend=KaldiFbank,
            network=partial(birdmae.build, "tiny"),
            recipe=TINY,
        ),
    )
}
