"""The head of a ``.npy`` file with room for any number of rows, so that it can be corrected where it stands."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

# One page: rows that are whole pages then lie on whole pages, and a cold read touches no page in vain.
HEAD_BYTES = 4096


def npy_head(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """``HEAD_BYTES`` that make what follows a ``.npy`` file (version 1.0) of this shape.

    The format (NEP 1) pads its text with spaces to any length, so every count of rows gives a head of one size.

    Raises:
        ValueError: The description does not fit.
    """
    text = f"{{'descr': {np.lib.format.dtype_to_descr(dtype)!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    magic = np.lib.format.magic(1, 0)
    room = HEAD_BYTES - len(magic) - 2
    if len(text) + 1 > room:
        raise ValueError(f"a .npy head of {len(text)} characters does not fit {room} bytes")
    return magic + room.to_bytes(2, "little") + text.ljust(room - 1).encode("ascii") + b"\n"


def npy_rows(head: bytes, dtype: np.dtype[Any], row_shape: tuple[int, ...]) -> int:
    """How many rows a head states.

    Raises:
        ValueError: It is not, byte for byte, the head of rows of this type and shape.
    """
    count = re.search(rb"'shape': \((\d{1,15}),", head)
    rows = int(count[1]) if count else 0
    if head != npy_head(dtype, (rows, *row_shape)):
        raise ValueError(f"the head is not that of rows of {row_shape} {dtype}")
    return rows
