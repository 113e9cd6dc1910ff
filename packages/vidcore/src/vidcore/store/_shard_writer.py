"""ShardWriter, the one process and object that may change a shard."""

from __future__ import annotations

import os
import secrets
import shutil
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ._files import FORMAT, PENDING, sync, sync_folder, write_at, write_json
from ._layout import KEY_BYTES, Layout
from ._npy import HEAD_BYTES, npy_head
from ._owner import this_process
from ._shard import INDEX, STATE
from ._sources import append_sources, source_line
from .record import Record


class ShardWriter:
    """Appends records to a shard of its own.

    A record counts from the moment its entry is written, which is after its row: so a killed process loses nothing
    it has put. A flush makes what was put survive a power cut as well.

    Args:
        collection: Folder of the collection; it must exist.
        layout: What every record looks like.
    """

    def __init__(self, collection: Path, layout: Layout) -> None:
        # Names sort by time; of two records of a clip in finished shards the older one is read.
        self.name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{os.getpid():07}-{secrets.token_hex(4)}"
        self.folder = collection / self.name
        self.layout = layout
        self.rows = 0
        self.durable = 0
        self.keys: list[bytes] = []
        self._sources: list[str] = []
        self._fds: list[int] = []
        hidden = collection / f"{PENDING}{self.name}"
        try:
            hidden.mkdir(parents=True)
            for field in layout.fields:
                (hidden / field.file).write_bytes(npy_head(field.numpy, (0, *field.shape)))
            (hidden / INDEX).write_bytes(npy_head(layout.entry, (0,)))
            write_json(hidden / STATE, {**self._about(), "sealed": False})
            # A shard appears whole: whoever sees its folder finds every file of it.
            hidden.rename(self.folder)
        except OSError:
            shutil.rmtree(hidden, ignore_errors=True)
            raise

    @property
    def size(self) -> int:
        """Bytes of the rows, all outputs."""
        return self.rows * self.layout.row_bytes

    @property
    def removed(self) -> bool:
        """Whether the files were deleted under this writer, by a gc on a machine that took it for dead."""
        try:
            return os.fstat(self._open()[-1]).st_nlink == 0
        except FileNotFoundError:
            return True

    def append(self, key: bytes, records: Mapping[str, Record], source: str | None = None) -> None:
        """Write one record.

        Raises:
            OSError: It could not be written; the shard is as it was and goes on.
        """
        rows: list[memoryview] = []
        entry = [key]
        for field in self.layout.fields:
            record = records[field.name]
            row = np.ascontiguousarray(record.data, field.numpy).reshape(-1).view(np.uint8).data
            rows.append(row)
            mask = b"\1" * field.steps if record.mask is None else np.asarray(record.mask, bool).tobytes()
            entry += [zlib.crc32(row).to_bytes(4, "little"), np.asarray(record.times, "<f4").tobytes(), mask]
        self.append_rows(rows, b"".join(entry), source)

    def append_rows(self, rows: Sequence[memoryview | bytearray], entry: bytes, source: str | None) -> None:
        """Write a row of every output, then the line of the index that makes them count.

        Args:
            rows: The bytes of each output.
            entry: The line of the index without its own checksum.
            source: A name for people.

        Raises:
            OSError: As ``append``.
        """
        fds = self._open()
        line = entry + zlib.crc32(entry).to_bytes(4, "little")
        try:
            for fd, row in zip(fds, rows, strict=False):
                write_at(fd, row, HEAD_BYTES + self.rows * len(row))
            write_at(fds[-1], line, HEAD_BYTES + self.rows * len(line))
        except OSError:
            # A part of the row fills what was left of the disk, which the flush of the rows before it needs.
            for fd, size in zip(fds, [*map(len, rows), len(line)], strict=True):
                with suppress(OSError):
                    os.ftruncate(fd, HEAD_BYTES + self.rows * size)
            raise
        self.rows += 1
        key = entry[:KEY_BYTES]
        self.keys.append(key)
        if source is not None:
            self._sources.append(source_line(key, source))

    def flush(self) -> None:
        """Wait until everything put so far is on the disk.

        Raises:
            OSError: The disk refused; ``abandon`` the shard, what was flushed before is kept.
        """
        if self.rows == self.durable and not self._sources:
            return
        fds = self._open()
        if self._sources:
            append_sources(self.folder, self._sources)
            self._sources = []
        for fd, field in zip(fds, self.layout.fields, strict=False):
            write_at(fd, npy_head(field.numpy, (self.rows, *field.shape)), 0)
            sync(fd)
        # Only now, when the rows are on the disk, may the index say so.
        write_at(fds[-1], npy_head(self.layout.entry, (self.rows,)), 0)
        sync(fds[-1])
        if not self.durable:
            sync_folder(self.folder)
            sync_folder(self.folder.parent)
        self.durable = self.rows
        self.keys = []

    def seal(self) -> None:
        """Flush and say that nothing more will come; an empty shard is removed.

        Raises:
            OSError: The disk refused.
        """
        if not self.rows:
            self.close()
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        self.flush()
        self.close()
        seal_folder(self.folder, self.layout, self.rows, self._about())

    def abandon(self) -> list[bytes]:
        """Go back to the last flush after the disk refused one; the keys that are lost with it.

        After a failed fsync the kernel may have dropped the pages, and a second fsync would not tell.
        """
        lost, self.keys = self.keys, []
        self.rows, self._sources = self.durable, []
        with suppress(OSError):
            os.ftruncate(self._open()[-1], HEAD_BYTES + self.rows * self.layout.entry.itemsize)
        self.close()
        return lost

    def close(self) -> None:
        """Give the open files back; the next append opens them again."""
        while self._fds:
            os.close(self._fds.pop())

    def _open(self) -> list[int]:
        if not self._fds:
            try:
                for name in [*(field.file for field in self.layout.fields), INDEX]:
                    self._fds.append(os.open(self.folder / name, os.O_RDWR | os.O_CLOEXEC))
            except OSError:
                self.close()
                raise
        return self._fds

    def _about(self) -> dict[str, Any]:
        return {"format": FORMAT, "outputs": self.layout.to_json(), "owner": this_process()}


def seal_folder(folder: Path, layout: Layout, rows: int, about: Mapping[str, Any]) -> None:
    """Cut every file to ``rows``, state that number in every head, and mark the shard as finished.

    Raises:
        OSError: The disk refused; the shard stays unsealed and valid.
    """
    sizes = [(field.file, field.row_bytes, npy_head(field.numpy, (rows, *field.shape))) for field in layout.fields]
    for name, row_bytes, head in [*sizes, (INDEX, layout.entry.itemsize, npy_head(layout.entry, (rows,)))]:
        fd = os.open(folder / name, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, HEAD_BYTES + rows * row_bytes)
            write_at(fd, head, 0)
            sync(fd)
        finally:
            os.close(fd)
    write_sealed(folder, rows, about)


def write_sealed(folder: Path, rows: int, about: Mapping[str, Any]) -> None:
    """Write ``shard.json`` of a finished shard, with the checksum of its index."""
    index = (folder / INDEX).read_bytes()[HEAD_BYTES:]
    stated = {"sealed": True, "rows": rows, "index_bytes": len(index), "index_crc32": zlib.crc32(index)}
    write_json(folder / STATE, {**about, **stated})
