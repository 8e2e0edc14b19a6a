"""A store as files that other programs read, and the embeddings of other programs as a store."""

from .export import FORMATS, export
from .importing import import_features

__all__ = ["FORMATS", "export", "import_features"]
