"""What a model says about every clip of a source."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vidcore.errors import TrainingError
from vidcore.heads.base import Head
from vidcore.training.batches import Batch, BatchSource, Predictions
from vidcore.training.memory import is_out_of_memory, too_little_memory
from vidcore.training.slicing import chunks
from vidcore.training.stepping import Stepper


@torch.no_grad()
def predict(stepper: Stepper, source: BatchSource, told: Callable[[int], None]) -> Predictions:
    """Answers, loss and metrics over every clip of ``source``, each counted once however many processes share them.

    Args:
        stepper: runs the model, which must be in eval mode.
        source: the clips.
        told: hears how many clips were answered.

    Raises:
        TrainingError: a single clip needs more memory than there is.
    """
    head, processes, config = stepper.model.head, stepper.processes, stepper.config
    micro = math.ceil(config.batch_size / (config.accumulate * stepper.splits * processes.count))
    plan, counted = processes.plan(len(source), micro)
    rows: list[int] = []
    answers: list[Tensor] = []
    targets: list[Tensor] = []
    loss, weights = 0.0, 0.0
    for number, batch in enumerate(source.batches(plan, 0)):
        for outputs, here in _answered(stepper, batch):
            if number >= counted:
                continue
            weight = float(head.loss_weight(here.targets))
            loss += float(head.loss(outputs, here.targets)) * weight
            weights += weight
            answers.append(head.predictions(outputs).cpu())
            targets.append(here.targets.cpu())
            rows += here.rows
            told(len(here))
    parts = processes.gathered((rows, answers, targets))
    if not processes.alone:
        loss, weights = processes.sums([loss, weights])
    said = torch.cat([tensor for part in parts for tensor in part[1]])
    true = torch.cat([tensor for part in parts for tensor in part[2]])
    return Predictions(said, true, [row for part in parts for row in part[0]], loss / weights, scored(head, said, true))


def scored(head: Head, predictions: Tensor, targets: Tensor) -> dict[str, float]:
    """The head's metrics of all predictions (N, ...) against all targets."""
    metrics = head.metrics()
    for metric in metrics.values():
        # Every process has all clips already; adding them up over processes would count each several times.
        metric.distributed_available_fn = _never
    metrics.update(predictions, targets)
    return {name: float(value) for name, value in metrics.compute().items()}


def _never() -> bool:
    return False


def _answered(stepper: Stepper, batch: Batch) -> Iterator[tuple[dict[str, Tensor], Batch]]:
    """The outputs of a batch, in parts where memory is too small for it; the parts' size is remembered."""
    waiting = list(chunks(batch, stepper.most or len(batch)))
    while waiting:
        part, failure = waiting.pop(0), None
        try:
            answer = stepper.outputs(part)
        except RuntimeError as exc:
            if not is_out_of_memory(exc) or not stepper.processes.alone:
                raise
            failure = too_little_memory("with a single clip", exc)
        if failure is None:
            yield answer
            continue
        if len(part) == 1:
            raise TrainingError(failure)
        stepper.most = math.ceil(len(part) / 2)
        stepper.note(f"out of memory with {len(part)} clips at a time: from now on {stepper.most} are answered at once")
        waiting = [smaller for larger in [part, *waiting] for smaller in chunks(larger, stepper.most)]
