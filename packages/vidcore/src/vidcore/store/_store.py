"""FeatureStore, a folder of collections."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidcore.errors import StoreError

from ._files import FORMAT, PENDING, check_writable, explained, read_json, write_json
from ._gc import DEAD_SHARE, Cleaned, clean
from ._gc_lock import GcLock
from ._identity import folder_name, identity_digest
from ._info import CollectionInfo, collection_info
from ._owner import GRACE_SECONDS
from ._verify import Problem, verify_collection
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
    def open(cls, path: str | os.PathLike[str], write: bool | None = False) -> FeatureStore:
        """Open a store; with ``write`` it is made where nothing is yet.

        Args:
            path: Its folder.
            write: ``None``: for writing where it can be written, else for reading, which is enough where nothing is
                missing. What then needs to write says why it cannot.

        Raises:
            StoreError: It is not a store, was written by a newer vidcore, cannot be read, or cannot be written.
        """
        folder = Path(path).expanduser()
        with explained(f"open {folder}"):
            if not _marked(folder):
                _create(folder, write is not False)
        if write:
            check_writable(folder)
        return cls(folder, write=os.access(folder, os.W_OK) if write is None else write)

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

    def info(self) -> list[CollectionInfo]:
        """What each collection holds, in figures.

        Raises:
            StoreError: As ``collections``.
        """
        with explained(f"read {self.path}"):
            return [collection_info(collection) for collection in self.collections()]

    def verify(self, *, drop: bool = False, on_progress: Callable[[int, int], None] | None = None) -> list[Problem]:
        """Read every record and compare it with its checksum.

        Args:
            drop: Mark what does not agree as missing, so that it is extracted again.
            on_progress: Called with records checked and records in all, for each collection anew.

        Raises:
            StoreError: The disk does not give it, or a record cannot be marked.
        """
        if drop:
            self._check_writable("mark records as missing")
        folders = [collection.folder for collection in self.collections()]
        return [p for folder in folders for p in verify_collection(folder, drop=drop, on_progress=on_progress)]

    def gc(
        self, *, dead_share: float = DEAD_SHARE, grace_seconds: float = GRACE_SECONDS, dry_run: bool = False
    ) -> list[Cleaned]:
        """Finish what dead writers left, remove doubles and torn records, join small shards. Others may read and write.

        Args:
            dead_share: A shard is copied for the sake of its dead records when they are more than this share of it.
            grace_seconds: After how long without a change the writer of a shard is taken for dead that runs on another
                machine; on this machine the process table answers.
            dry_run: Only say what would be done.

        Raises:
            StoreError: Another gc is at work, the store was opened for reading, or the disk refuses; nothing is lost.
        """
        self._check_writable("clean it up")
        with explained(f"clean {self.path}"), GcLock(self.path, grace_seconds) as lock:
            folders = [collection.folder for collection in self.collections()]
            return [clean(folder, lock, dead_share=dead_share, dry_run=dry_run) for folder in folders]

    def export(
        self,
        format: str,  # noqa: A002
        out: str | os.PathLike[str],
        *,
        collections: Sequence[str] = (),
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Write features as files that other programs read; see ``vidcore.store.export``.

        Args:
            format: One of npy, h5, mat, parquet, webdataset.
            out: Where; nothing may be there yet.
            collections: Names of collections' folders, or how they begin; by default all.
            on_progress: Called with clips written and clips in all.

        Raises:
            StoreError: No collection has such a name, a library is not installed, or the disk refuses.
        """
        from .export import export

        return export(self._named(collections), format, out, on_progress)

    def _named(self, names: Sequence[str]) -> list[Collection]:
        found = self.collections()
        for name in names:
            if not any(collection.folder.name.startswith(name) for collection in found):
                there = ", ".join(collection.folder.name for collection in found) or "none"
                raise StoreError(f"{self.path} has no collection {name!r}; it has: {there}")
        return [c for c in found if not names or c.folder.name.startswith(tuple(names))]

    def _check_writable(self, what: str) -> None:
        if not self.write:
            raise StoreError(f"{self.path} was opened for reading\n  to {what}: FeatureStore.open(path, write=True)")


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
