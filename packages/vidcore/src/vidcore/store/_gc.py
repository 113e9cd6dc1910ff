"""Give back what no reader needs: leftovers, doubles, dropped records, many small shards.

Safe while others read and write. A shard whose writer lives is left alone. Records are first copied to a new shard that
is on the disk, then the old one is renamed away and removed: a reader finds one or the other, and what it has already
mapped stays readable. A gc that is killed leaves doubles, which the next one removes.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ._files import PENDING, TRASH, explained, read_json, sync_folder, write_at
from ._gc_lock import GcLock
from ._index import KeyIndex
from ._layout import Layout
from ._npy import HEAD_BYTES
from ._owner import in_words, is_live
from ._scan import scan, shard_folders
from ._shard import INDEX, STATE, Shard, read_rows, shard_state
from ._shard_writer import ShardWriter, seal_folder
from ._sources import read_sources
from ._verify import row_agrees
from ._writer import SHARD_BYTES

# A shard is copied for the sake of its dead records when they are more than this share of it.
DEAD_SHARE = 0.1
# Shards smaller than this share of a full one are copied together.
_SMALL_SHARE = 0.25


@dataclass(slots=True)
class Cleaned:
    """What a gc did, or would do.

    Attributes:
        collection: Name of the collection's folder.
        sealed: Shards finished on behalf of writers that died.
        rewritten: Shards whose living records were copied together.
        removed: Records that no reader needs: doubles, torn, dropped or corrupt ones.
        bytes_freed: By how much the collection has become smaller.
        skipped: Shards left alone, with the reason.
    """

    collection: str
    sealed: int = 0
    rewritten: int = 0
    removed: int = 0
    bytes_freed: int = 0
    skipped: list[str] = field(default_factory=list)


def clean(folder: Path, lock: GcLock, *, dead_share: float = DEAD_SHARE, dry_run: bool = False) -> Cleaned:
    """Clean one collection.

    Raises:
        StoreError: The disk is full, read-only or does not give a record; nothing is lost.
    """
    report = Cleaned(folder.name)
    before = folder_bytes(folder)
    with explained(f"clean {folder}"):
        if not dry_run:
            _remove_leftovers(folder, lock)
        _settle_shards(folder, lock, report, dry_run)
        shards, _ = scan(folder)
        seen = _Snapshot(shards, KeyIndex(shards))
        for layout, chosen in _worth_copying(seen, dead_share).items():
            report.rewritten += len(chosen)
            report.removed += sum(seen.dead(i) for i in chosen)
            if not dry_run:
                report.removed += _rewrite(folder, layout, seen, chosen, lock)
    report.bytes_freed = before - folder_bytes(folder)
    return report


def folder_bytes(folder: Path) -> int:
    """What the files of a collection take on the disk."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_blocks * 512
    return total


def _remove_leftovers(folder: Path, lock: GcLock) -> None:
    for path in folder.iterdir():
        if path.name.startswith((PENDING, TRASH)):
            with suppress(FileNotFoundError):
                if path.name.startswith(TRASH) or lock.now - path.stat().st_mtime >= lock.grace_seconds:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _settle_shards(folder: Path, lock: GcLock, report: Cleaned, dry_run: bool) -> None:
    """Finish the shards of writers that died; remove those in which nothing can be trusted."""
    shards, _ = scan(folder)
    trusted = {shard.name: shard for shard in shards}
    for path in shard_folders(folder):
        shard = trusted.get(path.name)
        if shard is not None and shard.sealed:
            continue
        try:
            changed = max((file.stat().st_mtime for file in path.iterdir()), default=path.stat().st_mtime)
        except FileNotFoundError:
            # Its writer had put nothing and took it back.
            continue
        owner = _owner(path) if shard is None else shard.owner
        if is_live(owner, lock.now - changed, lock.grace_seconds):
            report.skipped.append(f"{path.name}: in use by {in_words(owner)}")
            continue
        report.removed += 0 if shard is None else shard.torn
        if shard is None or not shard.valid.any():
            if not dry_run:
                _remove(path)
        else:
            report.sealed += 1
            if not dry_run:
                _seal(shard)


def _owner(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path / STATE)["owner"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _seal(shard: Shard) -> None:
    """Finish a dead writer's shard where it stands; entries that cannot be trusted are cleared."""
    size = shard.layout.entry.itemsize
    rows = int(np.flatnonzero(shard.valid)[-1]) + 1
    fd = os.open(shard.folder / INDEX, os.O_RDWR | os.O_CLOEXEC)
    try:
        for row in np.flatnonzero(~shard.valid[:rows]).tolist():
            write_at(fd, bytes(size), HEAD_BYTES + row * size)
    finally:
        os.close(fd)
    about = read_json(shard.folder / STATE)
    seal_folder(shard.folder, shard.layout, rows, about)


@dataclass(frozen=True)
class _Snapshot:
    shards: Sequence[Shard]
    index: KeyIndex

    def living(self, number: int) -> list[int]:
        """Rows of a shard that readers see, in their order."""
        rows: list[int] = np.sort(self.index.row[self.index.shard == number]).tolist()
        return rows

    def dead(self, number: int) -> int:
        """How many rows of a shard no reader needs."""
        return len(self.shards[number].entries) - int((self.index.shard == number).sum())


def _worth_copying(seen: _Snapshot, dead_share: float) -> dict[Layout, list[int]]:
    """Finished shards to be copied together: those with many dead records, and small ones where there are several."""
    dead: dict[Layout, list[int]] = {}
    small: dict[Layout, list[int]] = {}
    for number, shard in enumerate(seen.shards):
        rows = len(shard.entries)
        if not shard.sealed:
            continue
        if shard.torn or seen.dead(number) > dead_share * rows:
            dead.setdefault(shard.layout, []).append(number)
        elif rows * shard.layout.row_bytes < _SMALL_SHARE * SHARD_BYTES:
            small.setdefault(shard.layout, []).append(number)
    for layout, numbers in small.items():
        if len(numbers) + len(dead.get(layout, [])) > 1:
            dead.setdefault(layout, []).extend(numbers)
    return dead


def _rewrite(folder: Path, layout: Layout, seen: _Snapshot, chosen: Sequence[int], lock: GcLock) -> int:
    """Copy the living records of some shards and remove the shards; how many were corrupt and are left behind."""
    shards = seen.shards
    states = {i: shard_state(shards[i].folder) for i in chosen}
    written: list[ShardWriter] = []
    corrupt = 0
    try:
        for i in chosen:
            lock.touch()
            sources = read_sources(shards[i].folder)
            files = {f.name: os.open(shards[i].path(f.name), os.O_RDONLY | os.O_CLOEXEC) for f in layout.fields}
            try:
                for row in seen.living(i):
                    if not written or written[-1].size >= SHARD_BYTES:
                        written.append(ShardWriter(folder, layout))
                    corrupt += not _copy(shards[i], row, files, written[-1], sources)
            finally:
                for fd in files.values():
                    os.close(fd)
        for writer in written:
            writer.seal()
    except BaseException:
        for writer in written:
            writer.close()
            shutil.rmtree(writer.folder, ignore_errors=True)
        raise
    sync_folder(folder)
    for i in chosen:
        if shard_state(shards[i].folder) == states[i]:
            _remove(shards[i].folder)
    return corrupt


def _copy(shard: Shard, row: int, files: dict[str, int], writer: ShardWriter, sources: dict[bytes, str]) -> bool:
    """Copy a record as it is; one that does not have its checksum is left behind."""
    data = {f.name: read_rows(files[f.name], f.row_bytes, range(row, row + 1)) for f in shard.layout.fields}
    if not all(row_agrees(shard, name, row, data[name]) for name in data):
        return False
    entry = shard.entries[row].tobytes()
    key = bytes(shard.entries["key"][row])
    writer.append_rows(list(data.values()), entry[:-4], sources.get(key))
    return True


def _remove(folder: Path) -> None:
    """Out of sight at once, then gone."""
    trash = folder.with_name(f"{TRASH}{folder.name}-{time.time_ns()}")
    folder.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)
