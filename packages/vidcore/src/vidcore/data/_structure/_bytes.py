"""Bytes of a file by place, and what a walk over them found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

# A walk gives up, and says nothing, where a file has more parts than this: hostile files are made of empty ones.
MOST_STEPS = 5_000_000


@dataclass(frozen=True, slots=True)
class Survey:
    """What a container says about itself.

    Attributes:
        fault: Why the file is not whole; None where nothing says so.
        pictures: Coded pictures in it, where it counts them; None where it does not.
        samples: The most samples that one of its tables declares without holding a byte for each.
        edited: It has an edit list, so that its sample tables count more pictures than are shown.
    """

    fault: str | None = None
    pictures: int | None = None
    samples: int = 0
    edited: bool = False


class Bytes:
    """Reads a file in steps that only go where bytes are.

    Attributes:
        size: Bytes in the file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def at(self, place: int, count: int) -> bytes:
        """``count`` bytes from ``place`` on, fewer where the file ends."""
        if place < 0 or place >= self.size:
            return b""
        self._file.seek(place)
        return self._file.read(min(count, self.size - place))

    def past_end(self, what: str, end: int) -> str:
        """The sentence for a part that ends where the file does not reach."""
        return f"it is cut short: {what} ends at byte {end}, the file at byte {self.size}"
