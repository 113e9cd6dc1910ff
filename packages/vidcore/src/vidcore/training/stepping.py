"""One optimiser step: the gradients of its clips, in as many parts as memory needs, and the update."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vidcore.config import TrainConfig
from vidcore.errors import TrainingError
from vidcore.model import VideoModel
from vidcore.training.batches import Batch
from vidcore.training.device import precision_of
from vidcore.training.memory import give_back_memory, is_out_of_memory, too_little_memory
from vidcore.training.one_device import OneDevice
from vidcore.training.processes import Processes
from vidcore.training.slicing import recut
from vidcore.training.snapshot import Snapshot, running_statistics

if TYPE_CHECKING:
    from vidcore.training.device import Launched

# Before a first step each process tries it alone: the second one also holds the optimiser's state.
_REHEARSED = 2
# Freed memory is given back so often: rarely enough to cost nothing.
_TRIM_SECONDS = 5.0


class NotFiniteError(TrainingError):
    """A loss or gradient is NaN or infinite."""


@dataclass(slots=True, eq=False)
class Stepper:
    """Takes the steps of one training.

    Attributes:
        splits: into how many parts each micro-batch is cut, since memory ran out.
        most: clips that are answered at once without gradients, since memory ran out.
        started: what the step that is running began with.
    """

    fabric: Launched
    processes: Processes
    wrapped: Any
    model: VideoModel
    optimizer: Any
    config: TrainConfig
    note: Callable[[str], None]
    splits: int = 1
    most: int | None = None
    started: Snapshot | None = None
    _taken: int = 0
    _statistics: list[Tensor] | None = None
    _direct: bool = False
    _trimmed: float = 0.0

    def __post_init__(self) -> None:
        # Fabric's wrappers take a tenth of the time of a small head's step, and one device needs none of them.
        self._direct = isinstance(self.fabric, OneDevice)

    def step(self, batches: Sequence[Batch], counted: Sequence[bool]) -> float:
        """One update from the micro-batches of this process; returns the mean loss over the clips of all processes.

        Args:
            batches: this process's.
            counted: whether each is part of the step, or only keeps the processes in step.

        Raises:
            NotFiniteError: a loss or gradient is not finite; nothing was updated.
            TrainingError: a single clip needs more memory than there is.
        """
        if self._statistics is None:
            self._statistics = running_statistics(self.model)
        self.started = Snapshot.take(self._statistics, self.fabric.device)
        if not self.processes.alone and self._taken < _REHEARSED and _can_rehearse(self.fabric):
            self._rehearse(batches, counted)
        while True:
            failure = None
            try:
                loss = self._accumulate(batches, counted)
            except RuntimeError as exc:
                # What the traceback holds is freed when this block ends.
                if not is_out_of_memory(exc) or not self.processes.alone:
                    raise
                failure = too_little_memory("with a single clip", exc)
            if failure is None:
                break
            self._halve(batches, failure)
        if not math.isfinite(loss):
            raise NotFiniteError(f"the loss is {loss}")
        self._update()
        self.started = None
        self._taken += 1
        if time.monotonic() - self._trimmed >= _TRIM_SECONDS:
            give_back_memory()
            self._trimmed = time.monotonic()
        return loss

    def outputs(self, batch: Batch) -> tuple[dict[str, Tensor], Batch]:
        """The head's outputs for a batch, and the batch on the device."""
        here = batch.to(self.fabric.device)
        # Fabric does not wrap methods on one device that scales its loss, and they would run at full precision.
        with self.fabric.autocast():
            if here.features is not None:
                outputs: dict[str, Tensor] = self.wrapped.decide(here.features)
            else:
                outputs = self.wrapped(here.clips, here.mask)
        return precision_of(self.fabric).convert_output(outputs), here

    def _accumulate(self, batches: Sequence[Batch], counted: Sequence[bool], *, alone: bool = False) -> float:
        """Gradients of the mean loss over the clips of all processes; ``alone``: without telling the others."""
        # What zero_grad does, without the profiler's mark that it leaves in each step.
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        head = self.model.head
        if self._direct and len(batches) == 1 and self.splits == 1:
            outputs, here = self.outputs(batches[0])
            loss = head.loss(outputs, here.targets)
            loss.backward()
            return float(loss.detach())
        parts = [(batch, True) for batch in self._cut([b for b, real in zip(batches, counted, strict=True) if real])]
        parts += [(batch, False) for batch, real in zip(batches, counted, strict=True) if not real]
        weights = [head.loss_weight(batch.targets.to(self.fabric.device)) if real else 0.0 for batch, real in parts]
        whole: float | Tensor = sum(weights)
        if alone:
            # A rehearsal's gradients are thrown away, and a process may have no clip that counts.
            whole = 1.0
        elif not self.processes.alone:
            whole = self.processes.sums([whole])[0]
        total = torch.zeros((), device=self.fabric.device)
        for number, ((part, real), weight) in enumerate(zip(parts, weights, strict=True), 1):
            with self.fabric.no_backward_sync(self.wrapped, enabled=alone or number < len(parts)):
                outputs, here = self.outputs(part)
                loss = head.loss(outputs, here.targets) * (weight / whole)
                # Gradients are averaged over the processes; the loss is a sum over them.
                self.fabric.backward(loss if self.processes.alone else loss * self.processes.count)
            if real:
                total += loss.detach()
        return float(total) if self.processes.alone or alone else self.processes.sums([total])[0]

    def _cut(self, batches: list[Batch]) -> list[Batch]:
        return recut(batches, len(batches) * self.splits) if self.splits > 1 and batches else batches

    def _halve(self, batches: Sequence[Batch], failure: str) -> None:
        """From now on twice as many parts; the step begins anew."""
        before = max(map(len, self._cut(list(batches))))
        self.optimizer.zero_grad(set_to_none=True)
        if self.fabric.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.started is not None:
            self.started.restore()
        if before == 1:
            raise TrainingError(failure)
        self.splits *= 2
        after = max(map(len, self._cut(list(batches))))
        self.note(f"out of memory with {before} clips at a time: the rest of the run takes {after} and accumulates "
                  f"{self.config.accumulate * self.splits} times; the steps stay what they were")  # fmt: skip

    def _rehearse(self, batches: Sequence[Batch], counted: Sequence[bool]) -> None:
        """Take the step without the others until it fits in all processes: they cannot retry one that they share."""
        while True:
            failure = None
            try:
                self._accumulate(batches, counted, alone=True)
            except RuntimeError as exc:
                if not is_out_of_memory(exc):
                    raise
                failure = too_little_memory("with a single clip", exc)
            if not self.processes.any(failure is not None)[0]:
                break
            self._halve(batches, failure or "another process is out of memory with a single clip")
        self.optimizer.zero_grad(set_to_none=True)
        if self.started is not None:
            self.started.restore()

    def _update(self) -> None:
        if self.config.clip_norm is not None:
            norm = self._clip(self.config.clip_norm)
            # Half precision scales its loss and skips a step whose gradients overflow; elsewhere that is fatal.
            if norm is not None and not math.isfinite(float(norm)) and self.config.precision != "16-mixed":
                raise NotFiniteError("a gradient is not finite")
        self.optimizer.step()

    def _clip(self, largest: float) -> Tensor | None:
        norm: Tensor | None = self.fabric.clip_gradients(
            self.wrapped, self.optimizer, max_norm=largest, error_if_nonfinite=False
        )
        return norm


def _can_rehearse(fabric: Launched) -> bool:
    """Whether a forward asks nothing of other processes, which sharded models do."""
    if isinstance(fabric, OneDevice):
        return True
    from lightning_fabric.strategies.ddp import DDPStrategy

    return isinstance(fabric.strategy, DDPStrategy)
