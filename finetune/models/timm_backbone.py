"""Any backbone of timm as a member's network, in its own tensor names behind `net.`.

    picture [N, 1, F, T] -> zero-padded to whole patches -> the timm model

Transformers with position embeddings of a fixed grid get the grid of this picture; a checkpoint's embeddings of another
grid are resampled on loading. A published member failed there: "size mismatch for pos_embed: [1, 1370, 384] from
checkpoint, [1, 856, 384] in current model", DINOv2's 37 x 37 patches of a photograph against those of a spectrogram.
"""

import inspect
from dataclasses import dataclass
from difflib import get_close_matches
from math import ceil, isqrt
from typing import Any

from torch import Tensor, nn

from ...features import InputError
from .batch_norm import BatchNormed
from .published_weights import check_config, load_strict
from .timm_import import import_timm

PICTURE = (256, 626)  # what finetune.frontends.melspec makes of 5 s


@dataclass(frozen=True)
class About:
    """What timm says of a backbone. fixed: its position embeddings belong to one size of picture."""

    fixed: bool
    hub_id: str | None
    licence: str


def about(name: str) -> About:
    """InputError, naming near matches: timm has no such backbone, or no such weights of it (`NAME.TAG`)."""
    timm = import_timm()
    architecture, _, tag = name.partition(".")
    if not known(name):
        found = ", ".join(near(architecture)) or "a name of timm.list_models()"
        raise InputError(f"timm backbone: expected {found}, got {name!r}. A typo?")
    tags = [full.partition(".")[2] for full in timm.list_models(f"{architecture}.*", pretrained=True)]
    if tag and tag not in tags:
        raise InputError(f"timm backbone {name!r}: expected the weights {', '.join(tags) or 'none'}, got {tag!r}.")
    config = timm.get_pretrained_cfg(name)
    return About(bool(config.fixed_input_size), config.hf_hub_id or None, config.license or "not stated")


def known(name: str) -> bool:
    """Whether timm has a backbone of this name, with or without a tag."""
    return import_timm().is_model(name.partition(".")[0])


def near(name: str, count: int = 4) -> list[str]:
    """Backbones of timm whose names resemble this one."""
    names = import_timm().list_models()
    return get_close_matches(name, names, n=count, cutoff=0.75)


class TimmBackbone(BatchNormed):
    """float32 [N, 1, F, T] -> logits [N, n_classes]. drop_path has no effect on the few models that have no such thing.

    picture: (F, T) that the network is built for.
    """

    net: Any  # timm's networks share their methods, but no type that has them

    def __init__(self, name: str, n_classes: int, *, drop_path: float = 0.0, picture: tuple[int, int] = PICTURE):
        super().__init__()
        self.name, self.fixed, self.picture = name, about(name).fixed, picture
        self.net = _create(name, self.fixed, picture, num_classes=n_classes, in_chans=1, drop=drop_path)
        self.ids = _layer_ids(self.net)
        self.depth = max(self.ids.values()) - 1
        classifier = self.net.pretrained_cfg["classifier"]
        self.heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)

    def prepare(self, x: Tensor) -> Tensor:
        """Padded with the mean (0 after normalisation) to the size that the network is built for."""
        if self.fixed:
            height, width = _whole(self.picture, _patch(self.net))
            x = nn.functional.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))
        return x

    def tokens(self, x: Tensor) -> Tensor:
        """[N, 1, F, T] -> what timm calls features: the last map, or the tokens after the last norm."""
        return self.net.forward_features(self.prepare(x))

    def embedding(self, tokens: Tensor) -> Tensor:
        """[N, D], the vector before the classifier."""
        return self.net.forward_head(tokens, pre_logits=True)

    def logits(self, tokens: Tensor) -> Tensor:
        return self.net.forward_head(tokens)

    @property
    def classifier(self) -> nn.Module | None:
        """The last matrix product; None where the model's head is more than that."""
        last = self.net.get_classifier()
        return last if isinstance(last, nn.Linear) else None

    def layer_id(self, name: str) -> int:
        return self.ids[name.removeprefix("net.")]

    def is_head(self, name: str) -> bool:
        return name.removeprefix("net.").startswith((*(f"{head}." for head in self.heads), "fc_norm."))

    def load_weights(self, state: dict[str, Tensor], place: str, config: dict | None = None) -> str:
        """Everything but the head from a file with timm's names, the stem and the position embeddings fitted to this
        picture; says what was changed. config: the config.json beside the file. InputError: another architecture; any
        tensor missing, extra or misshapen; position embeddings of no square."""
        check_config(config or {}, {"architecture": self.name.partition(".")[0]}, f"{place}: config.json")
        state = {name.removeprefix("net."): tensor for name, tensor in state.items()}
        notes = [*self._fit_stem(state), *self._fit_positions(state, place)]
        heads = tuple(f"{head}." for head in self.heads)
        load_strict(self.net, self.settled(state, "net."), place, drop=heads, prefixes=("model.",))
        return "; ".join(["head replaced", *notes])

    def _fit_stem(self, state: dict[str, Tensor]) -> list[str]:
        from timm.models._manipulate import adapt_input_conv

        first = self.net.pretrained_cfg["first_conv"]
        notes = []
        for name in (first,) if isinstance(first, str) else first or ():
            weight = state.get(f"{name}.weight")
            if weight is not None and weight.ndim == 4 and weight.shape[1] == 3:
                state[f"{name}.weight"] = adapt_input_conv(1, weight)
                notes.append(f"{name} summed over its 3 channels")
        return notes

    def _fit_positions(self, state: dict[str, Tensor], place: str) -> list[str]:
        """Bicubic, antialiased; the rows of cls and register tokens stay. Changes `state`."""
        mine, found = getattr(self.net, "pos_embed", None), state.get("pos_embed")
        if mine is None or found is None or mine.ndim != 3 or mine.shape == found.shape:
            return []
        from timm.layers import resample_abs_pos_embed

        grid = tuple(self.net.patch_embed.grid_size)
        prefix = mine.shape[1] - grid[0] * grid[1]  # 0 where positions are the patches' alone
        patches = found.shape[1] - prefix if found.ndim == 3 and found.shape[2] == mine.shape[2] else 0
        side = isqrt(max(patches, 0))
        if side < 1 or side * side != patches:
            raise InputError(
                f"{place}: pos_embed: expected {list(mine.shape)}, got {list(found.shape)} ({grid[0]} x {grid[1]} "
                "patches of the spectrogram); only a square of the same width can be resampled. Another model?"
            )
        state["pos_embed"] = resample_abs_pos_embed(found, list(grid), [side, side], prefix)
        return [f"position embeddings of {side} x {side} patches resampled to {grid[0]} x {grid[1]}, the spectrogram's"]


def _create(name: str, fixed: bool, picture: tuple[int, int], drop: float, **options) -> Any:
    timm = import_timm()
    if fixed:
        import torch

        with torch.device("meta"):  # its patches are known once it is built; this costs nothing
            options["img_size"] = _whole(picture, _patch(timm.create_model(name, pretrained=False)))
    try:
        return timm.create_model(name, pretrained=False, drop_path_rate=drop, **options)
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
    return timm.create_model(name, pretrained=False, **options)


def _patch(net: nn.Module) -> tuple[int, int]:
    size = getattr(getattr(net, "patch_embed", None), "patch_size", 32)  # without patches: 32 pixels, the usual stride
    return (size, size) if isinstance(size, int) else tuple(size)


def _whole(picture: tuple[int, int], patch: tuple[int, int]) -> tuple[int, int]:
    height, width = (ceil(length / step) * step for length, step in zip(picture, patch))
    return height, width


def _layer_ids(net: Any) -> dict[str, int]:
    """Parameter -> 0 (stem) .. depth + 1 (classifier), as timm groups them for layer-wise rates."""
    from timm.models._manipulate import group_parameters

    names = [name for name, _ in net.named_parameters()]
    if not inspect.ismethod(getattr(net, "group_matcher", None)):
        return dict.fromkeys(names, 1)
    ids = group_parameters(net, net.group_matcher(coarse=False), reverse=True)
    return {name: ids[name] for name in names}
