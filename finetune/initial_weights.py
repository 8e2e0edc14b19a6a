"""Where a member's weights begin: drawn at random, read from a file, or fetched from the hub; recorded either way."""

from pathlib import Path

from ..features import InputError
from ..features.files import sha256
from .models import published_weights
from .models.members import Member
from .models.network import Network


def begin(network: Network, member: Member, init: Path | None = None, pretrained: bool = False) -> dict:
    """Load what was asked for into a fresh network; its description, for checkpoints.

    "source" is "random", "file" or "hub"; of weights that were read also path, repo, revision (commit hash), sha256 and
    what was done to fit them. InputError: both asked for; no published weights; whatever the file does not fit in.
    """
    about: dict[str, str | None]
    if init is not None and pretrained:
        raise InputError(f"expected --init or --pretrained, got both (--init {init}).")
    if init is None and not pretrained:
        return {"source": "random"}
    if init is None:
        if member.hub_id is None:
            raise InputError(
                f"--pretrained: {member.name} has no published weights. Leave it out, or give --init FILE?"
            )
        path, revision = published_weights.from_hub(member.hub_id)
        published_weights.from_hub(
            member.hub_id, published_weights.CONFIG, revision, optional=True
        )  # lies beside the weights afterwards
        about = {"source": "hub", "repo": member.hub_id, "revision": revision}
    else:
        path, about = Path(init), {"source": "file", "repo": None, "revision": None}
    if path is None:
        raise ValueError(f"{member.hub_id}: no weights")
    config = published_weights.read_config(path.with_name(published_weights.CONFIG))
    note = network.load_weights(published_weights.read_safetensors(path), str(path), config)
    return {**about, "path": str(path), "sha256": sha256(path), "note": note}
