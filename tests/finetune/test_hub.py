"""Weights from the hub: its cache answers, and every failure is one line that says what to do."""

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants, errors
from safetensors.torch import save_file

from birdprobe.features import InputError
from birdprobe.finetune.models.published_weights import (
    from_hub,
    read_config,
    read_safetensors,
)

REPO = "DBD-research-group/Bird-MAE-Base"


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's cache with Bird-MAE-Base's main branch in it, and no way to the hub."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repo = tmp_path / f"models--{REPO.replace('/', '--')}"
    for folder in ("refs", "blobs", f"snapshots/{COMMIT}"):
        (repo / folder).mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    save_file({"cls_token": torch.ones(3)}, repo / "blobs" / "weights")
    (repo / "snapshots" / COMMIT / "model.safetensors").symlink_to("../../blobs/weights")
    return repo


def test_the_hubs_cache_answers_with_the_commit(cache):
    for revision in (None, "main", COMMIT):
        path, commit = from_hub(REPO, revision=revision)
        assert commit == COMMIT
        assert read_safetensors(path)["cls_token"].sum() == 3


def test_config_lands_beside_the_weights_or_is_absent(cache):
    path, commit = from_hub(REPO)
    assert from_hub(REPO, "config.json", commit, optional=True) == (None, COMMIT)
    (cache / "snapshots" / COMMIT / "config.json").write_text('{"depth": 12}')
    beside, _ = from_hub(REPO, "config.json", commit, optional=True)
    assert beside == path.with_name("config.json")
    assert read_config(beside) == {"depth": 12}


def test_out_of_reach_says_what_to_download_and_where_to_put_it(cache):
    with pytest.raises(InputError, match="out of reach") as caught:
        from_hub("DBD-research-group/Bird-MAE-Large", revision="v1")
    told = str(caught.value)
    assert told.startswith("https://huggingface.co/DBD-research-group/Bird-MAE-Large/resolve/v1/model.safetensors: ")
    assert told.endswith("give it as --init FILE.")
    assert "\n" not in told
    with pytest.raises(InputError, match=r"/resolve/main/model.safetensors"):
        from_hub("DBD-research-group/Bird-MAE-Large")


def failing(error):
    def download(repo_id, filename, *, revision=None):
        raise error

    return download


def answer(kind):
    """One of the hub's errors, as it is raised for a refused request."""
    response = type("Response", (), {"headers": {}, "request": None, "status_code": 404})()
    return kind("404 Client Error.\nMore of it.", response=response)


@pytest.mark.parametrize(
    ("error", "match"),
    [
        (errors.OfflineModeIsEnabled("offline"), "the hub is out of reach"),
        (errors.LocalEntryNotFoundError("nothing here"), "the hub is out of reach"),
        (answer(errors.RepositoryNotFoundError), "no such repository, or a closed one"),
        (answer(errors.GatedRepoError), "no such repository, or a closed one"),
        (answer(errors.RevisionNotFoundError), "no such revision"),
        (answer(errors.HfHubHTTPError), r"expected the file, got HfHubHTTPError \(404 Client Error\)"),
        (PermissionError(13, "Permission denied", "/cache"), "PermissionError .*Permission denied"),
        (ConnectionResetError(), r"ConnectionResetError \(no reason given\)"),
    ],
)
def test_every_failure_of_the_hub_is_one_line(monkeypatch, error, match):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", failing(error))
    with pytest.raises(InputError, match=match):
        from_hub(REPO)


def test_a_slip_in_the_repositorys_name():
    with pytest.raises(InputError, match="HFValidationError"):
        from_hub("a/b/c")


def test_a_file_that_the_repository_lacks(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", failing(answer(errors.RemoteEntryNotFoundError)))
    assert from_hub(REPO, "config.json", COMMIT, optional=True) == (None, COMMIT)
    with pytest.raises(InputError, match=r"config.json: expected the file, got no such file in the repository"):
        from_hub(REPO, "config.json", COMMIT)
