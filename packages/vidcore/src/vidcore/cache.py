"""Where vidcore keeps what it can make or fetch again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir(kind: str) -> Path:
    """``$VIDCORE_CACHE/<kind>``, by default ``~/.cache/vidcore/<kind>``: weights, features, runtimes. Not created."""
    own = os.environ.get("VIDCORE_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(own or f"{shared}/vidcore").expanduser() / kind
