"""RowReader, batches of rows of one output from many shards: mapped where cached, read ahead where not.

A memory map is the fastest way to copy what the system has cached and the slowest to fetch what it has not: it faults
page by page. So a batch is copied from the map as long as that waits for no page. When it did (the system counts such
faults), and in the beginning, a few rows of the next batch are probed without waiting (``RWF_NOWAIT``); as long as one
of them is not cached, batches are announced (``POSIX_FADV_WILLNEED``) and read row by row in the order they lie on the
disk.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._index import KeyIndex
from ._layout import Field
from ._npy import HEAD_BYTES
from ._region import Region
from ._shard import Shard

_PROBES = 4
_OPEN_FILES = 256
# What is announced at once: enough to keep a disk busy, little enough not to push it out of the cache unread.
_AHEAD_BYTES = 64 << 20
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
# Of the calling thread where the system counts so.
_WHOSE_FAULTS = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)


class RowReader:
    """Reads rows of one output.

    Args:
        shards: Shards in which the output has one shape.
        field: The output.
        index: Where in the collection's shards the records lie.
        within: (collection's shards,) which of ``shards`` each of them is; ``None`` where they are the same.
    """

    def __init__(
        self, shards: Sequence[Shard], field: Field, index: KeyIndex, within: NDArray[np.int64] | None
    ) -> None:
        self._shards = shards
        self._field = field
        self._index = index
        self._within = within
        self._fds: dict[int, int] = {}
        self._region: Region | None = None
        self._can_map = bool(_NOWAIT)
        self._cached = False

    def __del__(self) -> None:
        _close(self._fds)

    def read(self, at: NDArray[np.int64]) -> NDArray[Any]:
        """(B, D, T, H, W): the records at (B,) places. May be called from several threads.

        Raises:
            FileNotFoundError: A shard has gone since it was opened.
            EOFError: A shard has become shorter.
            OSError: The disk does not give it.
        """
        out = np.empty((len(at), *self._field.shape), self._field.numpy)
        more: dict[int, int] = {}
        try:
            if not (self._can_map and (self._cached or self._probe(at, more)) and self._copy(at, out)):
                self._fetch(at, out, more)
        finally:
            _close(more)
        return out

    def _where(self, at: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        shards = self._index.shard[at]
        return shards if self._within is None else self._within[shards], self._index.row[at]

    def _probe(self, at: NDArray[np.int64], more: dict[int, int]) -> bool:
        """Whether a sample of the rows can be had without waiting."""
        sample = at[:: -(-len(at) // _PROBES)]
        middle = HEAD_BYTES + self._field.row_bytes // 2
        byte = bytearray(1)
        for shard, row in zip(*(part.tolist() for part in self._where(sample)), strict=True):
            try:
                got = os.preadv(self._fd(shard, more), [byte], middle + row * self._field.row_bytes, _NOWAIT)
            except BlockingIOError:
                return False
            except OSError as exc:
                if exc.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise
                # This file system cannot tell (NFS): reading is right everywhere, mapping only where it is cached.
                self._can_map = False
                return False
            if not got:
                raise self._shorter(shard)
        return True

    def _copy(self, at: NDArray[np.int64], out: NDArray[Any]) -> bool:
        """Copy from the mapping; False where the system refuses one."""
        if self._region is None:
            files = [(shard.path(self._field.name), len(shard.entries)) for shard in self._shards]
            try:
                self._region = Region(files, self._field.numpy, self._field.shape)
            except FileNotFoundError:
                raise
            except OSError:
                self._can_map = False
                return False
        shards, rows = self._where(at)
        faults = resource.getrusage(_WHOSE_FAULTS).ru_majflt
        np.take(self._region.rows, self._region.first[shards] + rows, axis=0, out=out, mode="clip")
        self._cached = resource.getrusage(_WHOSE_FAULTS).ru_majflt == faults
        return True

    def _fetch(self, at: NDArray[np.int64], out: NDArray[Any], more: dict[int, int]) -> None:
        shards, rows = self._where(at)
        size = self._field.row_bytes
        view = out.reshape(-1).view(np.uint8).data
        order = np.lexsort((rows, shards))
        todo = list(
            zip(order.tolist(), shards[order].tolist(), (HEAD_BYTES + rows[order] * size).tolist(), strict=True)
        )
        together = max(_AHEAD_BYTES // size, 1)
        for start in range(0, len(todo), together):
            group = todo[start : start + together]
            if hasattr(os, "posix_fadvise"):
                for _, shard, offset in group:
                    os.posix_fadvise(self._fd(shard, more), offset, size, os.POSIX_FADV_WILLNEED)
            for place, shard, offset in group:
                self._fill(self._fd(shard, more), view[place * size : (place + 1) * size], offset, shard)

    def _fill(self, fd: int, target: memoryview, offset: int, shard: int) -> None:
        while target:
            got = os.preadv(fd, [target], offset)
            if got == 0:
                raise self._shorter(shard)
            target, offset = target[got:], offset + got

    def _shorter(self, shard: int) -> EOFError:
        return EOFError(f"{self._shards[shard].path(self._field.name)} is shorter than it was")

    def _fd(self, shard: int, more: dict[int, int]) -> int:
        """An open file; those beyond what stays open go to ``more``, which the caller closes."""
        fd = self._fds.get(shard) or more.get(shard)
        if fd is not None:
            return fd
        fd = os.open(self._shards[shard].path(self._field.name), os.O_RDONLY | os.O_CLOEXEC)
        # Rows are asked for out of order: no reading ahead of what was not announced.
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError):
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        files = self._fds if len(self._fds) < _OPEN_FILES else more
        kept = files.setdefault(shard, fd)
        if kept != fd:
            # Another thread was first.
            os.close(fd)
        return kept


def _close(files: dict[int, int]) -> None:
    while files:
        os.close(files.popitem()[1])
