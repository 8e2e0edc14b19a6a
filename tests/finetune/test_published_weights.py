"""Strict loading: what fits is taken whole, what does not is named; nothing is unpickled."""

import json

import pytest
import torch
from safetensors.torch import save_file

from birdprobe.features import InputError
from birdprobe.finetune.models.birdmae import BirdMAE, build
from birdprobe.finetune.models.published_weights import (
    check_config,
    load_strict,
    read_config,
    read_safetensors,
)
from tests import birdmae_checkpoint


def tiny():
    return build("tiny", 3)


def checkpoint(**changes):
    """The tensors of a tiny checkpoint; changes: name (dots as __) -> tensor, or None to leave it out."""
    state = birdmae_checkpoint.tensors("tiny")
    for name, value in changes.items():
        name = name.replace("__", ".")
        state.pop(name, None)
        if value is not None:
            state[name] = value
    return state


def body(network):
    return {name: value for name, value in network.state_dict().items() if not name.startswith("head.")}


def assert_refused(state, match):
    """The line says so, and the network is as it was."""
    net = tiny()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(InputError, match=match) as caught:
        load_strict(net, state, "file.safetensors")
    assert str(caught.value).startswith("file.safetensors: ")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


# --- what fits ---


def test_a_checkpoint_of_base_loads_whole(tmp_path):
    path = birdmae_checkpoint.write(tmp_path / "model.safetensors", "base")
    state = read_safetensors(path)
    assert len(state) == 152
    net = build("base", 3)
    assert "152 tensors loaded, 0 left out" in net.load_weights(state, str(path))
    assert all(torch.equal(value, state[name]) for name, value in body(net).items())
    assert len(body(net)) == 152


@pytest.mark.slow
def test_a_checkpoint_of_large_loads_whole(tmp_path):
    path = birdmae_checkpoint.write(tmp_path / "model.safetensors", "large")
    state = read_safetensors(path)
    assert len(state) == 296
    net = build("large", 3)
    net.load_weights(state, str(path))
    assert all(torch.equal(value, state[name]) for name, value in body(net).items())


@pytest.mark.parametrize("prefix", ["", "model.", "encoder.", "model.encoder."])
@pytest.mark.parametrize("head", ["plain", "attentive", "prototype"])
def test_prefixes_and_the_decoder_are_left_out(prefix, head):
    state = {prefix + name: value for name, value in checkpoint().items()}
    further = ["decoder.blocks.0.norm1.weight", "mask_token", "head.weight", prefix + "head.bias"]
    state |= {name: torch.ones(5) for name in further}
    net = build("tiny", 3, head=head)
    fresh = {name: value.clone() for name, value in net.state_dict().items() if name.startswith("head.")}
    assert sorted(load_strict(net, state, "file")) == sorted(further)
    assert all(torch.equal(value, checkpoint()[name]) for name, value in body(net).items())
    assert all(torch.equal(value, fresh[name]) for name, value in net.state_dict().items() if name in fresh)


def test_a_name_of_the_networks_own_is_not_stripped():
    net = torch.nn.ModuleDict({"encoder": torch.nn.Linear(2, 2)})
    state = {name: torch.ones_like(value) for name, value in net.state_dict().items()}
    load_strict(net, state, "file")
    assert (net["encoder"].weight == 1).all()


def test_nothing_is_dropped_when_asked_so():
    net = tiny()
    state = {name: torch.full_like(value, 0.5) for name, value in net.state_dict().items()}
    assert load_strict(net, state, "file", drop=()) == ()
    assert (net.head.weight == 0.5).all()
    with pytest.raises(InputError, match=r"got 2 missing \(head.weight, head.bias\)"):
        load_strict(tiny(), checkpoint(), "file", drop=())


def test_half_precision_is_converted():
    net = tiny()
    load_strict(net, {name: value.half() for name, value in checkpoint().items()}, "file")
    assert net.cls_token.dtype == torch.float32
    assert torch.equal(net.cls_token, checkpoint()["cls_token"].half().float())


def test_loading_does_not_tie_the_network_to_the_state():
    net, state = tiny(), checkpoint()
    load_strict(net, state, "file")
    state["cls_token"].zero_()
    assert net.cls_token.abs().sum() > 0
    assert net.cls_token.requires_grad


# --- what does not ---


def test_missing_tensors_are_named_and_counted():
    assert_refused(
        checkpoint(norm__bias=None), r"expected exactly the 56 tensors of BirdMAE, got 1 missing \(norm.bias\)"
    )
    shallow = {name: value for name, value in checkpoint().items() if not name.startswith("blocks.3.")}
    assert_refused(shallow, r"12 missing \(blocks.3.norm1.weight, .* and 9 more\).*A shallower network")


def test_extra_tensors_are_named():
    assert_refused(
        checkpoint(blocks__4__norm1__bias=torch.ones(128)), r"1 extra \(blocks.4.norm1.bias\).*A deeper network"
    )


def test_misshapen_tensors_are_named_with_both_shapes():
    assert_refused(
        checkpoint(patch_embed__proj__weight=torch.ones(128, 3, 16, 16)),
        r"1 of another shape \(patch_embed.proj.weight: expected \[128, 1, 16, 16\], got \[128, 3, 16, 16\]\)",
    )
    assert_refused(
        checkpoint(pos_embed=torch.ones(1, 513, 128)),
        r"pos_embed: expected \[1, 257, 128\], got \[1, 513, 128\].*another input size\?",
    )


def test_all_kinds_of_faults_are_told_at_once():
    state = checkpoint(norm__bias=None, norm__bais=torch.ones(128), cls_token=torch.ones(1, 1, 64))
    assert_refused(state, r"1 missing \(norm.bias\), 1 extra \(norm.bais\), 1 of another shape \(cls_token")


def test_another_networks_weights():
    assert_refused({"conv_stem.weight": torch.ones(3)}, r"56 missing .*1 extra \(conv_stem.weight\).*another network\?")


def test_weights_of_another_size():
    assert_refused(birdmae_checkpoint.tensors("base"), r"96 extra .*56 of another shape .* and 53 more.*another size")


def test_one_tensor_under_two_names():
    assert_refused(checkpoint() | {"encoder.norm.bias": torch.ones(128)}, r"1 stored twice \(encoder.norm.bias\)")


def test_numbers_of_another_kind():
    assert_refused(
        checkpoint(norm__bias=torch.ones(128, dtype=torch.int64)), r"1 of another kind of number \(norm.bias int64\)"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none(value):
    broken = torch.ones(128)
    broken[7] = value
    assert_refused(checkpoint(norm__bias=broken), r"1 not finite \(norm.bias\).*diverged")


# --- files ---


def test_files_that_are_no_safetensors(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.safetensors: expected weights in safetensors, got no such file"):
        read_safetensors(tmp_path / "nowhere.safetensors")
    with pytest.raises(InputError, match="no such file"):
        read_safetensors(tmp_path)
    path = birdmae_checkpoint.write(tmp_path / "model.safetensors", "tiny")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(
        InputError, match=r"model.safetensors: expected a whole safetensors file, got .*An interrupted download\?"
    ):
        read_safetensors(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="interrupted download"):
        read_safetensors(path)
    path.write_text("<!DOCTYPE html> Sign in to continue")
    with pytest.raises(InputError, match="interrupted download"):
        read_safetensors(path)


class Bomb:
    fell = False

    def __setstate__(self, state):
        Bomb.fell = True


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_never_opened(tmp_path, zipped):  # whatever its name says
    path = tmp_path / "model.safetensors"
    bomb = Bomb()
    bomb.state = 1
    torch.save({"norm.weight": torch.ones(3), "bomb": bomb}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match="expected safetensors, got a PyTorch pickle"):
        read_safetensors(path)
    assert not Bomb.fell


def test_a_file_that_begins_like_a_pickle_is_not_one(tmp_path):  # safetensors begins with the length of its header
    path = tmp_path / "model.safetensors"
    for pad in range(0, 256, 8):
        save_file({"x": torch.ones(2)}, path, metadata={"pad": "." * pad})
        if path.read_bytes()[0] == 0x80:
            break
    else:
        pytest.fail("no such header made")
    assert read_safetensors(path)["x"].tolist() == [1, 1]


def test_config_of_another_member(tmp_path):
    config = BirdMAE(3, "tiny").published_config() | {"model_type": "birdmae", "global_pool": "mean"}
    check_config(config, tiny().published_config(), "file")
    tiny().load_weights(checkpoint(), "file", config)
    with pytest.raises(
        InputError, match=r"^file: config.json beside it: embed_dim: expected 128, got 768; depth: expected 4, got 12"
    ):
        tiny().load_weights(checkpoint(), "file", config | {"embed_dim": 768, "depth": 12})


def test_config_files(tmp_path):
    path = tmp_path / "config.json"
    assert read_config(path) is None
    path.write_text(json.dumps({"depth": 4}))
    assert read_config(path) == {"depth": 4}
    for text, match in {"{": "cannot be read as JSON", "[1]": "expected a JSON object, got list"}.items():
        path.write_text(text)
        with pytest.raises(InputError, match=match):
            read_config(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        read_config(path)
