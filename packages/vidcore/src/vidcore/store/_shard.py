"""Shard, one folder of records of one layout: what of it can be trusted is decided here, when it is opened.

A shard is ``data.<output>.npy`` (rows, D, T, H, W) for each output, ``index.npy`` with one entry for each row, and
``shard.json``. Only its writer changes it, and only in this order: row, entry; at a flush: rows to the disk, then the
index with its number of rows. So an entry within the number that the head of ``index.npy`` states has its row on the
disk; a later one (the writer lives, or was killed) counts only when the checksums of its row agree.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ._files import read_json
from ._layout import KEY_BYTES, Layout
from ._npy import HEAD_BYTES, npy_rows

INDEX = "index.npy"
STATE = "shard.json"
SOURCES = "sources.jsonl"


class DamagedShardError(Exception):
    """A shard none of whose rows can be trusted; its clips are missing and extracted again."""


@dataclass(frozen=True, eq=False)
class Shard:
    """A shard as it was when it was opened.

    Attributes:
        folder: Where it is.
        layout: What its records look like.
        sealed: Its writer has finished; it never grows again.
        owner: The process that writes or wrote it.
        entries: (rows,) the index.
        valid: (rows,) bool, whether the row can be trusted.
        torn: How many entries or rows were begun and not finished, or have lost their row.
        state: When ``shard.json`` and the index were last changed, to tell whether to open it anew.
    """

    folder: Path
    layout: Layout
    sealed: bool
    owner: dict[str, Any]
    entries: NDArray[Any]
    valid: NDArray[np.bool_]
    torn: int
    state: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the folder; names sort by the time of creation."""
        return self.folder.name

    def path(self, output: str) -> Path:
        """The array of one output."""
        return self.folder / self.layout.by_name[output].file


def shard_state(folder: Path) -> tuple[int, ...]:
    """Changes whenever the shard does.

    Raises:
        OSError: The shard has gone.
    """
    state, index = (folder / STATE).stat(), (folder / INDEX).stat()
    return state.st_mtime_ns, state.st_ino, index.st_mtime_ns, index.st_size


def open_shard(folder: Path, before: Shard | None = None) -> Shard:
    """Open a shard and decide which rows can be trusted; ``before`` spares what was checked then.

    Raises:
        DamagedShardError: Nothing in it can be trusted.
        StoreError: A newer vidcore wrote it.
        FileNotFoundError: It has gone.
        OSError: It cannot be read.
    """
    # Taken first: what changes from here on is found by the next refresh.
    state = shard_state(folder)
    try:
        about = read_json(folder / STATE)
        layout = Layout.from_json(about["outputs"])
        sealed, owner = bool(about["sealed"]), dict(about["owner"])
        stored = _rows_stored(folder, layout)
        durable, raw = _read_index(folder, layout)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise DamagedShardError(f"{folder.name}: {exc}") from exc
    begun = -(-len(raw) // layout.entry.itemsize)
    whole = min(len(raw) // layout.entry.itemsize, stored)
    entries: NDArray[Any] = np.frombuffer(raw, layout.entry, whole)
    if sealed:
        begun = max(begun, int(about["rows"]))
        # One checksum for all entries: a million of them are checked in a tenth of a second.
        intact = len(raw) == about.get("index_bytes") and zlib.crc32(raw) == about.get("index_crc32")
        valid = np.ones(whole, bool) if intact else _entries_intact(entries)
        # Beyond what was sealed lies only what a writer that was taken for dead has gone on to put.
        _check_rows(folder, layout, entries, valid, range(int(about["rows"]), whole))
    else:
        begun = max(begun, durable)
        known = 0 if before is None or before.sealed else _trusted_prefix(before, whole)
        valid = np.ones(whole, bool)
        valid[known:] = _entries_intact(entries[known:])
        _check_rows(folder, layout, entries, valid, range(max(durable, known), whole))
    keys = np.ascontiguousarray(entries["key"]).view(np.uint64).reshape(whole, KEY_BYTES // 8)
    present = keys.any(axis=1)
    torn = begun - whole + int((~valid & present).sum())
    return Shard(folder, layout, sealed, owner, entries, valid & present, torn, state)


def read_rows(fd: int, row_bytes: int, rows: range) -> bytearray:
    """Consecutive rows as bytes; shorter where the file ends."""
    buffer = bytearray(len(rows) * row_bytes)
    view, offset = memoryview(buffer), HEAD_BYTES + rows.start * row_bytes
    got = 0
    while got < len(buffer):
        step = os.preadv(fd, [view[got:]], offset + got)
        if step == 0:
            break
        got += step
    view.release()
    del buffer[got:]
    return buffer


def _rows_stored(folder: Path, layout: Layout) -> int:
    """How many whole rows every array of the shard holds."""
    stored = []
    for field in layout.fields:
        with (folder / field.file).open("rb") as file:
            _stated_rows(file, field.numpy, field.shape)
            stored.append((os.fstat(file.fileno()).st_size - HEAD_BYTES) // field.row_bytes)
    return min(stored)


def _read_index(folder: Path, layout: Layout) -> tuple[int, bytes]:
    with (folder / INDEX).open("rb", buffering=0) as file:
        durable = _stated_rows(file, layout.entry, ())
        file.seek(HEAD_BYTES)
        return durable, file.read()


def _stated_rows(file: IO[bytes], dtype: np.dtype[Any], row_shape: tuple[int, ...]) -> int:
    # A head may be read just while its writer corrects it: then it is whole the next time.
    for _ in range(2):
        with suppress(ValueError):
            return npy_rows(os.pread(file.fileno(), HEAD_BYTES, 0), dtype, row_shape)
    return npy_rows(os.pread(file.fileno(), HEAD_BYTES, 0), dtype, row_shape)


def _entries_intact(entries: NDArray[Any]) -> NDArray[np.bool_]:
    size = entries.dtype.itemsize
    raw = memoryview(entries.tobytes())
    covered = size - 4
    computed = (zlib.crc32(raw[at : at + covered]) for at in range(0, len(raw), size))
    intact: NDArray[np.bool_] = np.fromiter(computed, np.uint32, len(entries)) == entries["entry_crc32"]
    return intact


def _trusted_prefix(before: Shard, whole: int) -> int:
    doubtful = np.flatnonzero(~before.valid)
    return min(int(doubtful[0]) if len(doubtful) else len(before.valid), whole)


def _check_rows(folder: Path, layout: Layout, entries: NDArray[Any], valid: NDArray[np.bool_], rows: range) -> None:
    """Clear ``valid`` where a row does not have its checksum."""
    if not rows:
        return
    for field in layout.fields:
        fd = os.open(folder / field.file, os.O_RDONLY)
        try:
            stated = entries[f"{field.name}.crc32"]
            for row in rows:
                if valid[row] and zlib.crc32(read_rows(fd, field.row_bytes, range(row, row + 1))) != stated[row]:
                    valid[row] = False
        finally:
            os.close(fd)
