"""Compare every record with its checksum."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ._files import explained, read_json, sync, write_at
from ._npy import HEAD_BYTES
from ._scan import scan
from ._shard import INDEX, STATE, Shard, read_rows
from ._shard_writer import write_sealed

_CHUNK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that does not have its checksum, or is not whole.

    Attributes:
        collection: Name of the collection's folder.
        shard: Name of the shard.
        reason: What was found.
        key: The clip, where it can be told.
        row: The row in the shard, where a record is concerned.
    """

    collection: str
    shard: str
    reason: str
    key: str | None = None
    row: int | None = None


def verify_collection(
    folder: Path, *, drop: bool = False, on_progress: Callable[[int, int], None] | None = None
) -> list[Problem]:
    """Read every record of a collection.

    Args:
        folder: The collection.
        drop: Mark what does not agree as missing, so that it is extracted again.
        on_progress: Called with records checked and records in all.

    Raises:
        StoreError: The disk does not give it, or a record cannot be marked.
    """
    with explained(f"read {folder}"):
        shards, damage = scan(folder)
        problems = [Problem(folder.name, d.shard, _counted(d.reason, d.rows)) for d in damage]
        total, done = sum(int(shard.valid.sum()) for shard in shards), 0
        for shard in shards:
            corrupt: dict[int, str] = {}
            for rows, output in _corrupt(shard):
                for row in rows:
                    corrupt.setdefault(row, f"{output!r} does not have its checksum")
            keys = {row: bytes(shard.entries["key"][row]).hex() for row in corrupt}
            problems += [Problem(folder.name, shard.name, corrupt[row], keys[row], row) for row in sorted(corrupt)]
            if drop and corrupt:
                _drop(shard, sorted(corrupt))
            done += int(shard.valid.sum())
            if on_progress:
                on_progress(done, total)
    return problems


def row_agrees(shard: Shard, output: str, row: int, data: bytes | bytearray | memoryview) -> bool:
    """Whether bytes of a row have the checksum that the index states."""
    return bool(zlib.crc32(data) == shard.entries[f"{output}.crc32"][row])


def _corrupt(shard: Shard) -> Iterator[tuple[list[int], str]]:
    for field in shard.layout.fields:
        fd = os.open(shard.path(field.name), os.O_RDONLY | os.O_CLOEXEC)
        size, together = field.row_bytes, max(_CHUNK_BYTES // field.row_bytes, 1)
        try:
            for start in range(0, len(shard.entries), together):
                rows = range(start, min(start + together, len(shard.entries)))
                data = memoryview(read_rows(fd, size, rows))
                yield (
                    [
                        row
                        for place, row in enumerate(rows)
                        if shard.valid[row]
                        and not row_agrees(shard, field.name, row, data[place * size : (place + 1) * size])
                    ],
                    field.name,
                )
        finally:
            os.close(fd)


def _drop(shard: Shard, rows: list[int]) -> None:
    """Clear the entries: a key of zeros names no clip."""
    size = shard.layout.entry.itemsize
    fd = os.open(shard.folder / INDEX, os.O_RDWR | os.O_CLOEXEC)
    try:
        for row in rows:
            write_at(fd, bytes(size), HEAD_BYTES + row * size)
        sync(fd)
    finally:
        os.close(fd)
    if shard.sealed:
        about = read_json(shard.folder / STATE)
        write_sealed(shard.folder, len(shard.entries), about)


def _counted(reason: str, rows: int | None) -> str:
    return reason if rows is None else f"{rows} record{'s' if rows != 1 else ''} {reason}"
