"""Record, the features of one clip from one output of an extractor, as the store keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Record:
    """Features of one clip.

    data   (D, T, H, W) float16 or float32
    times  (T,) float32, centre of each step in frames of the video that went in
    mask   (T,) bool, True where a step shows real frames; ``None``: all do
    """

    data: NDArray[Any]
    times: NDArray[np.float32]
    mask: NDArray[np.bool_] | None = None

    def __repr__(self) -> str:
        masked = "" if self.mask is None else ", masked"
        return f"Record(D, T, H, W = {tuple(self.data.shape)}, {self.data.dtype}{masked})"
