"""Some clips of a source: how folds share what was read or encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vidcore.training.batches import Batch, BatchSource


class Selected:
    """The clips of ``source`` at ``places``: a ``BatchSource``. A batch keeps the row numbers of the whole data."""

    def __init__(self, source: BatchSource, places: Sequence[int]) -> None:
        self._source = source
        self._places = list(places)

    def __len__(self) -> int:
        return len(self._places)

    def batches(self, plan: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        """See ``BatchSource``."""
        return self._source.batches([[self._places[number] for number in numbers] for numbers in plan], epoch)
