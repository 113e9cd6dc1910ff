"""Which members of a grid read which clips at which step, and which of them can be one call."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidcore.config import TrainConfig
from vidcore.training.member import GridMember
from vidcore.training.optimisation import epoch_permutation, steps_of

Folds = Mapping[int, tuple[Tensor, Tensor]]
"""Rows of the training and of the validation clips of each fold."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Members that one call computes: U batches, each read by M members.

    names   their numbers, U-major
    shape   (U, M)
    index   (U*M,) the same as a tensor; ``None``: all members in their order, so that nothing is copied
    """

    names: tuple[int, ...]
    shape: tuple[int, int]
    index: Tensor | None

    def add_to(self, totals: Tensor, values: Tensor) -> None:
        """Add (U, M) ``values`` to the members' places in ``totals`` (K,)."""
        flat = values.detach().flatten().to(totals.dtype)
        if self.index is None:
            totals += flat
        else:
            totals.index_add_(0, self.index, flat)


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """Members that read the same batches: ``order`` (N,) of clips; every step is cut into (start, stop)."""

    members: tuple[int, ...]
    order: Tensor
    steps: list[list[tuple[int, int]]]

    def cut(self, step: int, micro: int) -> tuple[int, int] | None:
        """Where a micro-batch starts and stops; ``None`` where there is none."""
        there = step < len(self.steps) and micro < len(self.steps[step])
        return self.steps[step][micro] if there else None


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A call: ``group`` (U, M) reads ``rows`` (U*B,), U-major; ``clips`` is B."""

    group: Group
    rows: Tensor
    clips: int


class Lockstep:
    """Steps of all members side by side; each has the batches that it would have alone.

    At every step, members whose batches have one size are one call; those of another fold, whose last batch is
    smaller, are another: a mean over a batch is over the clips that a member would see alone, whatever takes it.

    Args:
        members: those of one fold and seed, who read the same batches, side by side.
        folds: rows of each fold, on the device.
        config: batch size and accumulation.
        device: where the members are.
    """

    def __init__(self, members: Sequence[GridMember], folds: Folds, config: TrainConfig, device: torch.device) -> None:
        self.share_batches = True
        """Whether members who read the same batch are given one copy of it."""
        self._members = members
        self._folds = folds
        self._config = config
        self._device = device
        self._groups: dict[tuple[tuple[int, ...], ...], Group] = {}

    def clips(self, member: int) -> int:
        """Training clips of a member."""
        return len(self._folds[self._members[member].fold][0])

    def steps(self, member: int) -> int:
        """Steps of a member per epoch."""
        return math.ceil(self.clips(member) / self._config.batch_size)

    def validation_rows(self, member: int) -> Tensor:
        """(N,) rows of the validation clips of a member."""
        return self._folds[self._members[member].fold][1]

    def training(self, members: Iterable[int], epoch: int) -> list[Unit]:
        """``members`` by the training batches that they read in ``epoch``."""
        together: dict[tuple[int, int], list[int]] = defaultdict(list)
        for k in members:
            together[self._members[k].fold, self._members[k].seed].append(k)
        units = []
        for (fold, seed), names in together.items():
            rows = self._folds[fold][0]
            order = rows[epoch_permutation(len(rows), seed, epoch).to(self._device)]
            steps = _steps(len(rows), self._config.batch_size, self._config.accumulate)
            units += [Unit(part, order, steps) for part in self._parts(names)]
        return units

    def validation(self, members: Iterable[int]) -> list[Unit]:
        """``members`` by the validation batches that they read; those without validation clips are left out."""
        together: dict[int, list[int]] = defaultdict(list)
        for k in members:
            together[self._members[k].fold].append(k)
        micro = math.ceil(self._config.batch_size / self._config.accumulate)
        units = []
        for fold, names in together.items():
            rows = self._folds[fold][1]
            if len(rows):
                units += [Unit(part, rows, _steps(len(rows), micro, 1)) for part in self._parts(names)]
        return units

    def readings(self, units: Sequence[Unit], step: int, micro: int) -> list[Reading]:
        """The calls of a micro-batch; none where no unit has it."""
        alike: dict[tuple[int, int], list[tuple[Unit, int, int]]] = defaultdict(list)
        for unit in units:
            if cut := unit.cut(step, micro):
                start, stop = cut
                alike[stop - start, len(unit.members)].append((unit, start, stop))
        readings = []
        for (clips, _), parts in alike.items():
            slices = [unit.order[start:stop] for unit, start, stop in parts]
            rows = slices[0] if len(slices) == 1 else torch.cat(slices)
            readings.append(Reading(self.group([unit for unit, _, _ in parts]), rows, clips))
        return readings

    def group(self, units: Sequence[Unit]) -> Group:
        """All members of ``units``, which have as many members each where a call is made of them."""
        key = tuple(unit.members for unit in units)
        if key not in self._groups:
            names = tuple(k for members in key for k in members)
            everybody = names == tuple(range(len(self._members)))
            index = None if everybody else torch.tensor(names, device=self._device)
            self._groups[key] = Group(names, (len(key), len(key[0])), index)
        return self._groups[key]

    def _parts(self, members: Sequence[int]) -> list[tuple[int, ...]]:
        return [tuple(members)] if self.share_batches else [(k,) for k in members]


@functools.lru_cache(maxsize=64)
def _steps(clips: int, batch_size: int, accumulate: int) -> list[list[tuple[int, int]]]:
    """``steps_of`` as places in an order, which is the same for any: for all members and epochs."""
    places = list(range(clips))
    return [[(part[0], part[-1] + 1) for part in step] for step in steps_of(places, batch_size, accumulate)]
