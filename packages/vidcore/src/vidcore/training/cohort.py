"""Members of a grid that are trained together, epoch by epoch, as one computation."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from vidcore.config import TrainConfig
from vidcore.features import FeatureMap
from vidcore.model import VideoModel
from vidcore.standardise import Standardise, standardised
from vidcore.training.batched import MixedPrecision, ModelStack, NotStackableError
from vidcore.training.batches import Batch, Predictions
from vidcore.training.deadline import Deadline
from vidcore.training.encoded import taken
from vidcore.training.lockstep import Folds, Group, Lockstep, Unit
from vidcore.training.member import GridMember, MemberResult
from vidcore.training.stacked_adamw import StackedAdamW, schedule, step_facts
from vidcore.training.stacked_average import StackedAverage
from vidcore.training.state import Row


class Cohort:
    """Members that fit into memory together; the rules of an epoch are those of ``Trainer``.

    Args:
        models: one per member, fresh and on the device; the first one is used up.
        members: their numbers; those of one fold and seed side by side.
        clips: features and targets of all clips, on the device or in main memory.
        folds: rows of each fold, on the device.
        config: what the members have in common.
        precision: Fabric's precision plugin.
        deadline: when to stop; an epoch that is not complete by then does not count.
        scales: how the streams of each fold's clips are standardised; folds that are absent have theirs done.

    Raises:
        NotStackableError: the models cannot be one computation.
        TrainingError: nothing is trained.
    """

    def __init__(
        self,
        models: Sequence[VideoModel],
        members: Sequence[GridMember],
        clips: Batch,
        folds: Folds,
        config: TrainConfig,
        precision: MixedPrecision,
        deadline: Deadline,
        scales: Mapping[int, Standardise] | None = None,
    ) -> None:
        self.members = members
        # Resolved: see ``with_budget``.
        self.config = config
        self._epochs = config.epochs or 0
        self._scales = scales or {}
        self.results = [MemberResult(member) for member in members]
        self._stack = ModelStack(models, precision)
        self._device = self._stack.flat.device
        self._steps = Lockstep(members, folds, config, self._device)
        self._clips = clips
        self._head = models[0].head
        self._metrics: Any = self._head.metrics()
        self._optimizer = StackedAdamW(self._stack.flat, self._stack.decayed, config.clip_norm)
        self._average = StackedAverage(self._stack, config.ema) if config.ema is not None else None
        self._deadline = deadline
        self._rehearse(models)

    def fit(self) -> Iterator[int]:
        """Train to the end. After every epoch: how many members go on."""
        for epoch in range(self._epochs):
            alive = [k for k, result in enumerate(self.results) if not self._is_over(result)]
            if not alive:
                return
            started = time.monotonic()
            losses = self._train_epoch(epoch, alive)
            if losses is None:
                self._close_early(alive)
                return
            seconds = time.monotonic() - started
            going = [k for k in alive if self.results[k].failure is None]
            with self._average.applied() if self._average is not None else nullcontext():
                self._close_epoch(going, losses, self._validate(going), seconds)
            yield sum(not self._is_over(result) for result in self.results)

    def _close_early(self, members: Sequence[int]) -> None:
        for k in members:
            if self.results[k].best_epoch is None:
                self.results[
                    k
                ].failure = f"the time budget of {self._deadline.in_words} was over before an epoch was complete"

    def _is_over(self, result: MemberResult) -> bool:
        patience = self.config.patience
        return result.failure is not None or (patience is not None and result.training.stale >= patience)

    def _rehearse(self, models: Sequence[VideoModel]) -> None:
        """Compute a first batch together and one by one.

        A module that keeps numbers outside of its tensors would take those of the first member for all of them,
        without an error; that is found here.
        """
        alone = torch.zeros(len(models), device=self._device)
        for unit in self._steps.training(range(len(models)), 0):
            start, stop = unit.steps[0][0]
            maps, targets = self._taken(unit.order[start:stop], [self.members[unit.members[0]].fold])
            for k in unit.members:
                alone[k] = self._stack.alone(models[k], maps, targets)
        try:
            self._try(alone)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            # Noise drawn in place on what members share has no rule; with a copy for each of them it has.
            self._steps.share_batches = False
            try:
                self._try(alone)
            except RuntimeError as exc:
                raise NotStackableError(str(exc).strip().splitlines()[0]) from exc

    def _try(self, alone: Tensor) -> None:
        before = {name: tensor.clone() for name, tensor in self._stack.fixed.items()}
        together = torch.zeros_like(alone)
        for reading in self._steps.readings(self._steps.training(range(len(alone)), 0), 0, 0):
            maps, targets = self._taken(reading.rows, self._folds_of(reading.group))
            with torch.no_grad():
                reading.group.add_to(together, self._stack.losses(reading.group, maps, targets, train=False)[0])
            self._stack.losses(reading.group, maps, targets, train=True)[0].sum().backward()
        self._stack.flat.grad = None
        for name, tensor in before.items():
            self._stack.fixed[name].copy_(tensor)
        # Wide enough for half precision, and far below what another member's number makes of a loss.
        if not torch.allclose(together, alone, rtol=2e-2, atol=1e-3, equal_nan=True):
            raise NotStackableError("members differ in more than their tensors")

    def _train_epoch(self, epoch: int, alive: Sequence[int]) -> list[float] | None:
        """Mean loss of each member, or ``None`` where the time was up; one that is not finite is given up."""
        units = self._steps.training(alive, epoch)
        sums = torch.zeros(len(self.members), dtype=torch.float64, device=self._device)
        finite = torch.zeros_like(sums, dtype=torch.int64)
        updates = torch.tensor([result.training.updates for result in self.results], device=self._device)
        for step, facts in enumerate(self._facts(alive)):
            if self._deadline.over:
                return None
            here = [unit for unit in units if step < len(unit.steps)]
            group = self._steps.group(here)
            self._gradients(here, step, sums)
            norm = self._optimizer.step(facts, group.index)
            # A sum that was not finite once stays so, and the host asks once an epoch only.
            good = (sums if group.index is None else sums[group.index]).isfinite()
            group.add_to(finite, good & norm.isfinite() if self.config.clip_norm is not None else good)
            if self._average is not None:
                self._average.update(updates + step + 1, group.index)
        for k, steps in zip(alive, finite[list(alive)].tolist(), strict=True):
            self.results[k].training.updates += self._steps.steps(k)
            if steps < self._steps.steps(k):
                self.results[k].failure = f"a loss or gradient is not finite in epoch {epoch + 1}, step {steps + 1}"
        return [total / self._steps.clips(k) for k, total in enumerate(sums.tolist())]

    def _gradients(self, units: Sequence[Unit], step: int, sums: Tensor) -> None:
        """Gradients of the mean loss of every unit's step; the loss times its clips is added to ``sums`` (K,)."""
        if self.config.accumulate == 1:
            for reading in self._steps.readings(units, step, 0):
                maps, targets = self._taken(reading.rows, self._folds_of(reading.group))
                losses, _, _ = self._stack.losses(reading.group, maps, targets, train=True)
                losses.sum().backward()
                reading.group.add_to(sums, losses * reading.clips)
            return
        total, whole, clips = (torch.zeros_like(sums) for _ in range(3))
        micro = 0
        while readings := self._steps.readings(units, step, micro):
            for reading in readings:
                maps, targets = self._taken(reading.rows, self._folds_of(reading.group))
                losses, weights, _ = self._stack.losses(reading.group, maps, targets, train=True)
                (losses * weights).sum().backward()
                reading.group.add_to(total, losses * weights)
                reading.group.add_to(whole, weights)
                reading.group.add_to(clips, torch.full_like(weights, reading.clips))
            micro += 1
        # Members that take no part have no weight, and no gradient to divide.
        whole.masked_fill_(clips == 0, 1)
        sums += total / whole * clips
        if self._stack.flat.grad is not None:
            self._stack.flat.grad /= whole.to(self._stack.flat.dtype)[:, None]

    def _facts(self, alive: Sequence[int]) -> Tensor:
        """(S, K, 3): what AdamW needs to know of every step of an epoch."""
        facts = torch.zeros(max(map(self._steps.steps, alive)), len(self.members), 3, dtype=torch.float64)
        for k in alive:
            first, steps = self.results[k].training.updates, self._steps.steps(k)
            scale = schedule(steps * self._epochs, self.config.warmup)
            rates = [self.members[k].lr * scale(first + step) for step in range(steps)]
            facts[:steps, k] = step_facts(rates, self.members[k].weight_decay, first)
        return facts.to(self._device, self._stack.flat.dtype)

    def _rate(self, k: int, updates: int) -> float:
        whole = self._steps.steps(k) * self._epochs
        return self.members[k].lr * schedule(whole, self.config.warmup)(updates)

    @torch.no_grad()
    def _validate(self, members: Sequence[int]) -> dict[int, Predictions]:
        """What ``members`` say about the validation clips of their fold."""
        units = self._steps.validation(members)
        sums, whole = torch.zeros(2, len(self.members), dtype=torch.float64, device=self._device)
        answers: dict[int, list[Tensor]] = defaultdict(list)
        for step in range(max((len(unit.steps) for unit in units), default=0)):
            for reading in self._steps.readings(units, step, 0):
                maps, targets = self._taken(reading.rows, self._folds_of(reading.group))
                losses, weights, said = self._stack.losses(reading.group, maps, targets, train=False)
                reading.group.add_to(sums, losses * weights)
                reading.group.add_to(whole, weights)
                if said is not None:
                    for k, answer in zip(reading.group.names, said.flatten(0, 1).cpu(), strict=True):
                        answers[k].append(answer)
        means = (sums / whole).tolist()
        return {k: self._judged(k, torch.cat(parts), means[k]) for k, parts in answers.items()}

    def _judged(self, k: int, answers: Tensor, loss: float) -> Predictions:
        rows = self._steps.validation_rows(k)
        targets = self._clips.targets[rows.to(self._clips.targets.device)].cpu()
        numbers = [self._clips.rows[row] for row in rows.tolist()]
        # Made once: making a collection of metrics takes as long as using it.
        self._metrics.reset()
        self._metrics.update(answers, targets)
        scores = {name: float(value) for name, value in self._metrics.compute().items()}
        return Predictions(answers, targets, numbers, loss, scores)

    def _close_epoch(
        self, members: Sequence[int], losses: Sequence[float], judged: Mapping[int, Predictions], seconds: float
    ) -> None:
        better = []
        for k in members:
            training, said = self.results[k].training, judged.get(k)
            row: Row = {
                "fold": self.members[k].fold,
                "epoch": training.epoch + 1,
                "updates": training.updates,
                "lr": self._rate(k, training.updates),
                "train_loss": losses[k],
            }
            score, loss = None, None
            if said is not None:
                row |= {"val_loss": said.loss} | {f"val_{name}": value for name, value in said.scores.items()}
                score, loss = said.scores[self._head.score], said.loss
            row["seconds"] = round(seconds, 3)
            training.epoch += 1
            training.seconds += seconds
            training.history.append(row)
            if training.is_beaten_by(loss):
                training.best_score, training.best_loss = score, loss
                training.best_epoch, training.stale = training.epoch, 0
                self.results[k].validation = said
                better.append(k)
            else:
                training.stale += 1
        for k, state in self._stack.states(better).items():
            self.results[k].state = state

    def _folds_of(self, group: Group) -> list[int]:
        """The fold whose clips each unit reads."""
        units, readers = group.shape
        return [self.members[group.names[unit * readers]].fold for unit in range(units)]

    def _taken(self, rows: Tensor, folds: Sequence[int]) -> tuple[dict[str, FeatureMap], Tensor]:
        """Features and targets of ``rows`` (U*B,), standardised as those of each unit's fold."""
        held, targets = self._clips.features or {}, self._clips.targets
        if targets.device == self._device:
            maps, targets = {name: taken(fmap, rows) for name, fmap in held.items()}, targets[rows]
        else:
            here = rows.to(targets.device)
            maps = {name: taken(fmap, here).to(self._device) for name, fmap in held.items()}
            targets = targets[here].to(self._device)
        scales = [self._scales[fold] for fold in folds if fold in self._scales]
        return standardised(maps, scales) if scales else maps, targets
