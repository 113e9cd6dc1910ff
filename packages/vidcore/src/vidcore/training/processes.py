"""The processes that train one model together: what each of them reads, and what all of them know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from vidcore.errors import TrainingError
from vidcore.training.optimisation import part_bounds

if TYPE_CHECKING:
    from vidcore.training.device import Launched

T = TypeVar("T")

# Gloo raises plain RuntimeErrors; these are in their texts.
_TRANSPORTS = ("gloo", "Connection closed by peer", "Connection reset by peer")


def is_lost_contact(error: RuntimeError) -> bool:
    """Whether processes could not speak to each other."""
    return isinstance(error, torch.distributed.DistError) or any(word in str(error) for word in _TRANSPORTS)


class Processes:
    """This process among those of ``fabric``; alone, every method is free."""

    def __init__(self, fabric: Launched) -> None:
        self._fabric: Any = fabric
        self.rank = int(fabric.global_rank)
        self.count = int(fabric.world_size)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.count == 1

    def sums(self, values: Sequence[float | Tensor]) -> list[float]:
        """Each value summed over all processes."""
        found: Any = torch.stack(
            [torch.as_tensor(value, dtype=torch.float64, device=self._fabric.device) for value in values]
        )
        if not self.alone:
            found = self._fabric.all_reduce(found, reduce_op="sum")
        summed: list[float] = found.tolist()
        return summed

    def any(self, *flags: bool) -> list[bool]:
        """Of each flag, whether it is set in one of them."""
        return list(flags) if self.alone else [total > 0 for total in self.sums([float(flag) for flag in flags])]

    def gathered(self, item: T) -> list[T]:
        """The item of every process, in the order of their ranks."""
        if self.alone:
            return [item]
        items: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(items, item)
        return items

    def from_first(self, item: T) -> T:
        """The first process's item, in all of them."""
        if self.alone:
            return item
        shared: T = self._fabric.broadcast(item)
        return shared

    @contextmanager
    def watched(self, rescue: Callable[[], None]) -> Iterator[None]:
        """Within the block the end of another process is an error of one line; ``rescue`` runs before it.

        Raises:
            TrainingError: another process ended.
        """
        try:
            yield
        except RuntimeError as exc:
            if self.alone or not is_lost_contact(exc):
                raise
            rescue()
            raise TrainingError(
                f"process {self.rank} of {self.count} lost another one, which ended or cannot be reached: "
                f"{str(exc).splitlines()[0]}"
            ) from exc

    def plan(self, clips: int, batch_size: int) -> tuple[list[list[int]], int]:
        """Batches of clip numbers for this process so that all together visit every clip once, in order.

        Returns:
            The batches and how many of them count. The others repeat a clip: where a forward makes processes
            wait for each other, each of them must make as many.
        """
        bounds = part_bounds(clips, self.count)
        first, last = bounds[self.rank], bounds[self.rank + 1]
        own = [list(range(a, min(a + batch_size, last))) for a in range(first, last, batch_size)]
        longest = max(b - a for a, b in pairwise(bounds))
        return own + [[0]] * (-(-longest // batch_size) - len(own)), len(own)
