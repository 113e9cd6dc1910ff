"""RowReader, batches of rows of one output from many shards: mapped where cached, read ahead where not.

A memory map is the fastest way to copy what the system has cached and the slowest to fetch what it has not: it faults
page by page. So a few rows of every batch are probed without waiting (``RWF_NOWAIT``); when one of them is not cached,
the whole batch is announced (``POSIX_FADV_WILLNEED``) and read row by row in the order it lies on the disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._layout import Field
from ._npy import HEAD_BYTES
from ._region import Region
from ._shard import Shard

_PROBES = 4
_OPEN_FILES = 256
# What is announced at once: enough to keep a disk busy, little enough not to push it out of the cache unread.
_AHEAD_BYTES = 64 << 20
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)


class RowReader:
    """Reads rows of one output.

    Args:
        shards: Shards of one layout.
        field: The output.
    """

    def __init__(self, shards: Sequence[Shard], field: Field) -> None:
        self._shards = shards
        self._field = field
        self._fds: dict[int, int] = {}
        self._region: Region | None = None
        self._can_map = bool(_NOWAIT)

    def __del__(self) -> None:
        _close(self._fds)

    def read(self, shards: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[Any]:
        """(B, D, T, H, W): row ``rows[i]`` of shard ``shards[i]``. May be called from several threads.

        Raises:
            FileNotFoundError: A shard has gone since it was opened.
            EOFError: A shard has become shorter.
            OSError: The disk does not give it.
        """
        out = np.empty((len(rows), *self._field.shape), self._field.numpy)
        more: dict[int, int] = {}
        try:
            if self._can_map and self._cached(shards, rows, more) and (region := self._mapped()) is not None:
                np.take(region.rows, region.first[shards] + rows, axis=0, out=out, mode="clip")
            else:
                self._fetch(shards, rows, out, more)
        finally:
            _close(more)
        return out

    def _cached(self, shards: NDArray[np.int64], rows: NDArray[np.int64], more: dict[int, int]) -> bool:
        """Whether a sample of the rows can be had without waiting."""
        step = -(-len(rows) // _PROBES)
        middle = HEAD_BYTES + self._field.row_bytes // 2
        byte = bytearray(1)
        for shard, row in zip(shards[::step].tolist(), rows[::step].tolist(), strict=True):
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

    def _mapped(self) -> Region | None:
        if self._region is None:
            files = [(shard.path(self._field.name), len(shard.entries)) for shard in self._shards]
            try:
                self._region = Region(files, self._field.numpy, self._field.shape)
            except FileNotFoundError:
                raise
            except OSError:
                self._can_map = False
        return self._region

    def _fetch(
        self, shards: NDArray[np.int64], rows: NDArray[np.int64], out: NDArray[Any], more: dict[int, int]
    ) -> None:
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
