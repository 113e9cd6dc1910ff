"""Selection, clips of a collection under numbers, for loops that read them again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidcore.errors import StoreError

from ._batches import Batch

if TYPE_CHECKING:
    from vidcore.features import FeatureMap

    from .collection import Collection


class Selection:
    """Clips of a collection under the numbers 0 to N - 1; from ``Collection.select``.

    It may be sent to other processes.
    """

    def __init__(self, collection: Collection, keys: Sequence[str]) -> None:
        self.collection = collection
        self.keys = list(keys)
        self._generation = collection.generation
        self._at = collection.located(self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __reduce__(self) -> tuple[Any, ...]:
        return Selection, (self.collection, self.keys)

    def read(self, numbers: Sequence[int] | NDArray[np.integer[Any]], output: str | None = None) -> FeatureMap:
        """As ``Collection.read`` of the keys with these numbers (B,).

        Raises:
            StoreError: As ``Collection.read``, or a number is not in 0 .. N - 1.
        """
        wanted = np.asarray(numbers, np.int64)
        if not len(wanted) or wanted.min() < 0 or wanted.max() >= len(self.keys):
            raise StoreError(f"the clips of this selection have numbers 0 to {len(self) - 1}; got {wanted.tolist()}")
        keys = self.keys
        return to_map(
            self.collection.read_places(lambda: self._places()[wanted], lambda i: keys[int(wanted[i])], output)
        )

    def _places(self) -> NDArray[np.int64]:
        if self._generation != self.collection.generation:
            self._at = self.collection.located(self.keys)
            self._generation = self.collection.generation
        return self._at


def to_map(batch: Batch) -> FeatureMap:
    """Arrays as tensors that share their memory."""
    # torch only here: listing and checking a store does without.
    import torch

    from vidcore.features import FeatureMap

    mask = None if batch.mask is None else torch.from_numpy(batch.mask)
    return FeatureMap(torch.from_numpy(batch.data), torch.from_numpy(batch.times), mask)
