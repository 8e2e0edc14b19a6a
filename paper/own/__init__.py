"""`birdprobe paper --about mine`: a short paper of one's own runs, without the published note."""

from .build import build

__all__ = ["build"]
