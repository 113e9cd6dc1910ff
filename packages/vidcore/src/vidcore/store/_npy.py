"""The head of a ``.npy`` file with room for any number of rows, so that it can be corrected where it stands."""

from __future__ import annotations

import io
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
        ValueError: It is not the head of rows of this type and shape.
    """
    file = io.BytesIO(head)
    if len(head) < HEAD_BYTES or np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("not a head of a .npy file of the store")
    shape, fortran, stated = np.lib.format.read_array_header_1_0(file)
    if fortran or file.tell() != HEAD_BYTES or stated != dtype or shape[1:] != row_shape:
        raise ValueError(f"the head states rows of {shape[1:]} {stated}, expected {row_shape} {dtype}")
    return int(shape[0])
