"""Several arrays of equal rows, each in a file of its own, mapped side by side so that numpy sees one array."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._npy import HEAD_BYTES

# Not in the standard library; the same on Linux, macOS and the BSDs.
_MAP_FIXED = 0x10
# Address space, not memory: an eighth of what a process has.
_LARGEST = 1 << 44


class Region:
    """Rows of several files in one address range.

    A batch from many shards is then one ``numpy.take``, as fast as from a single memory-mapped array; copying record
    by record is a fifth slower. Between two files there may be a gap: a row of the array must begin where a row of
    the file does, and a file can only be mapped at whole pages.

    Attributes:
        rows: (rows, ...) all of them, gaps included; read-only by contract.
        first: (files,) place of each file's first row.

    Raises:
        OSError: The system refuses the mapping.
    """

    def __init__(self, files: Sequence[tuple[Path, int]], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        row_bytes = int(np.prod(shape)) * dtype.itemsize
        step = math.lcm(row_bytes, mmap.ALLOCATIONGRANULARITY)
        starts, end = [], 0
        for _, count in files:
            starts.append(end)
            end += -(-(HEAD_BYTES + count * row_bytes) // step) * step
        if end > _LARGEST:
            raise OSError(f"{end} bytes of address space for rows of {row_bytes}")
        # Reserved at once and given back at once, when the last array on it has gone: files mapped over it included.
        self._reserved = mmap.mmap(-1, end, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)
        base = np.frombuffer(self._reserved, np.uint8).ctypes.data
        for (path, count), start in zip(files, starts, strict=True):
            _map_file(path, base + start, HEAD_BYTES + count * row_bytes)
        total = (end - HEAD_BYTES) // row_bytes
        self.rows: NDArray[Any] = np.ndarray((total, *shape), dtype, self._reserved, HEAD_BYTES)
        self.first = np.array(starts, np.int64) // row_bytes


def _map_file(path: Path, address: int, length: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_size < length:
            raise OSError(f"{path} is shorter than it was")
        libc_mmap = ctypes.CDLL(None, use_errno=True).mmap
        libc_mmap.restype = ctypes.c_void_p
        libc_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        if libc_mmap(address, length, mmap.PROT_READ, mmap.MAP_SHARED | _MAP_FIXED, fd, 0) != address:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    finally:
        os.close(fd)
