"""A store as files that other programs read, and the embeddings of other programs as a store."""

from .alignment import align_store
from .importing import import_features
from .joining import join_features

__all__ = ["align_store", "import_features", "join_features"]
