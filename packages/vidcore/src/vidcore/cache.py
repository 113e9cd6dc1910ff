"""Where vidcore keeps what it can make or fetch again."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def cache_dir(kind: str) -> Path:
    """``$VIDCORE_CACHE/<kind>``, by default ``~/.cache/vidcore/<kind>``: weights, features, runtimes. Not created."""
    from pathlib import Path

    return Path(cache_path(kind))


def cache_path(kind: str) -> str:
    """The folder of ``cache_dir`` as text, for a start that cannot afford to import pathlib."""
    own = os.environ.get("VIDCORE_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return f"{os.path.expanduser(own or f'{shared}/vidcore')}/{kind}"  # noqa: PTH111  see above


def share_like_folder(path: Path) -> None:
    """Let those read and write a file who may read and write its folder.

    Some libraries create files for their owner alone, which a group that shares a folder then cannot read.
    """
    # A file system without permissions refuses this, and has nothing to share.
    with suppress(OSError):
        path.chmod(path.parent.stat().st_mode & 0o666)
