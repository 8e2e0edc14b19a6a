"""Where this user's caches lie: downloaded models, and what was proven about files."""

import os
import sys
from pathlib import Path

OFF = "off"  # BIRDPROBE_CACHE: keep no proofs; downloads still need a place


def user_cache() -> Path:
    """The folder: BIRDPROBE_CACHE, else `birdprobe` in the platform's folder for caches. It may not exist yet."""
    said = os.environ.get("BIRDPROBE_CACHE")
    if said and said != OFF:
        return Path(said).expanduser()
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "birdprobe"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "birdprobe"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "birdprobe"


def caching() -> bool:
    """Whether anything may be kept there without being asked for."""
    return os.environ.get("BIRDPROBE_CACHE") != OFF
