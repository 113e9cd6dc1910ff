"""FeatureStore, a folder of collections."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidcore.errors import StoreError

from ._files import FORMAT, PENDING, explained, read_json, refusal, write_json
from ._identity import folder_name, identity_digest
from .collection import ABOUT, Collection

MARK = "vidcore-store.json"


class FeatureStore:
    """Features once computed, on disk; see ``docs/feature-store.md``.

    Any number of processes, on any number of machines that share the disk, may read and write at once.
    """

    def __init__(self, path: Path, *, write: bool) -> None:
        self.path = path
        self.write = write

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.path)!r}, write={self.write})"

    @classmethod
    def open(cls, path: str | os.PathLike[str], write: bool = False) -> FeatureStore:
        """Open a store; with ``write`` it is made where nothing is yet.

        Raises:
            StoreError: It is not a store, was written by a newer vidcore, cannot be read, or cannot be written.
        """
        folder = Path(path).expanduser()
        with explained(f"open {folder}"):
            if not _marked(folder):
                _create(folder, write)
        if write and not os.access(folder, os.W_OK):
            code = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
            raise refusal(OSError(code, os.strerror(code)), f"write to {folder}")
        return cls(folder, write=write)

    def collection(self, identity: Mapping[str, Any]) -> Collection:
        """The features of one identity: everything their values depend on. Empty where nothing was put yet.

        Raises:
            StoreError: The identity is not plain JSON data, or the folder is damaged.
        """
        digest = identity_digest(identity)
        return Collection(self.path / folder_name(identity, digest), identity, digest, write=self.write)

    def collections(self) -> list[Collection]:
        """Every collection, by name of its folder.

        Raises:
            StoreError: One was written by a newer vidcore, or is damaged.
        """
        found = []
        with explained(f"read {self.path}"):
            folders = sorted(about.parent for about in self.path.glob(f"*/{ABOUT}"))
        for folder in folders:
            try:
                about = read_json(folder / ABOUT)
                identity, digest = dict(about["identity"]), str(about["sha256"])
            except (ValueError, KeyError, TypeError) as exc:
                raise StoreError(f"{folder / ABOUT} is damaged: {exc}\n  delete that folder, or move it away") from exc
            found.append(Collection(folder, identity, digest, write=self.write))
        return found


def _marked(folder: Path) -> bool:
    """Whether the folder says that it is a store that this vidcore can read."""
    try:
        read_json(folder / MARK)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError as exc:
        raise StoreError(f'{folder / MARK} is damaged: {exc}\n  write into it: {{"format": {FORMAT}}}') from exc
    return True


def _create(folder: Path, write: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file, not a feature store; a store is a folder")
    filled = folder.is_dir() and any(not path.name.startswith(PENDING) for path in folder.iterdir())
    # Looked for again: another process may have made it in between.
    if filled and not _marked(folder):
        raise StoreError(
            f"{folder} is not a feature store: it has no {MARK}\n  give the store's own folder, or a new one"
        )
    if filled:
        return
    if not write:
        raise StoreError(f"there is no feature store at {folder}\n  fill one with: vidcore extract --out {folder} ...")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / MARK, {"format": FORMAT})
