"""The training loop: epochs, steps, validation, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vidcore.config import TrainConfig
from vidcore.errors import RunError, TrainingError
from vidcore.features import FeatureMap
from vidcore.model import VideoModel
from vidcore.training.batches import Batch, BatchSource, Predictions, TrainingData, in_order
from vidcore.training.checkpoints import Checkpoints, load_trained_state, trained_state
from vidcore.training.device import make_fabric
from vidcore.training.interruption import Interruption, RunInterruptedError
from vidcore.training.optimisation import adamw, epoch_order, steps_of, warmup_cosine
from vidcore.training.progress import Progress
from vidcore.training.seeding import restore_rng, rng_state
from vidcore.training.state import Row, TrainingState
from vidcore.training.tracking import Tracker

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Trainer:
    """Trains a ``VideoModel``. One object is one training: ``fit`` once, then ``predict`` as often as wanted.

    Args:
        config: optimisation; ``device`` and ``precision`` decide where and how the model runs.
        checkpoints: where it saves; ``None``: the best weights stay in memory and nothing can be resumed.
        progress: who is told how far it is.
        trackers: who is told the numbers of steps and epochs.
        fold: the number in the rows of ``metrics.csv``.
        last_epoch: stop after this epoch of the schedule; by default its last.
        later: steps that follow this training, for the remaining time.
        fabric: one that was made before; by default the configuration's own.

    Raises:
        ConfigError: the device is not there or cannot do the precision.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        checkpoints: Checkpoints | None = None,
        progress: Progress | None = None,
        trackers: Sequence[Tracker] = (),
        fold: int = 0,
        last_epoch: int | None = None,
        later: int = 0,
        fabric: Fabric | None = None,
    ) -> None:
        self.config = config
        self.fabric = fabric or make_fabric(config)
        self.epochs = min(last_epoch or config.epochs, config.epochs)
        self.state = TrainingState()
        self._checkpoints = checkpoints or Checkpoints(None)
        self._progress = progress or Progress()
        self.trackers = trackers
        self._fold = fold
        self._later = later
        self._saved_at = time.monotonic()

    def prepare(self, model: VideoModel) -> None:
        """Move ``model`` to the device, for ``predict`` and ``encode`` before or without training."""
        self.model = model
        self._wrapped = self.fabric.setup_module(model)
        self._wrapped.mark_forward_method("encode")
        self._wrapped.mark_forward_method("decide")

    def fit(self, data: TrainingData, resume: Mapping[str, Any] | None = None) -> TrainingState:
        """Train the prepared model; at the end it has the weights of the best epoch.

        Args:
            data: batches of the training and validation clips.
            resume: a payload of ``Checkpoints.load_last``; training goes on as if it had never stopped.

        Raises:
            TrainingError: a loss that is not finite; the last checkpoint is from before it.
            RunInterruptedError: SIGINT or SIGTERM; a checkpoint was saved.
            RunError: the disk is full, or ``resume`` is of another model.
        """
        config, steps = self.config, math.ceil(len(data.train) / self.config.batch_size)
        optimizer = adamw(self.model, config)
        self._optimizer: Any = self.fabric.setup_optimizers(optimizer)
        self._scheduler = warmup_cosine(optimizer, config.epochs * steps, config.warmup)
        score = self.model.head.metrics()[self.model.head.score]
        self._lower_is_better = score.higher_is_better is False
        if resume is not None:
            self._restore(resume)
        phase = f"training fold {self._fold}" if self._fold else "training"
        self._progress.begin(phase, self.epochs * steps, self.state.updates, self._later)
        with Interruption() as interruption:
            while self.state.epoch < self.epochs and not self._patience_is_over():
                started = time.monotonic()
                self._train_epoch(data.train, interruption)
                self._close_epoch(data.val, time.monotonic() - started)
                self._stop_if_asked(interruption)
        self._load_best()
        return self.state

    @torch.no_grad()
    def predict(self, source: BatchSource, phase: str) -> Predictions:
        """Answers, loss and metrics over every clip of ``source``, in eval mode."""
        self._wrapped.eval()
        metrics = self.model.head.metrics().to(self.fabric.device)
        micro = math.ceil(self.config.batch_size / self.config.accumulate)
        rows: list[int] = []
        answers, targets, loss = [], [], 0.0
        with self._progress.within(phase, len(source)):
            for batch in source.batches(in_order(source, micro), 0):
                outputs, here = self._outputs(batch)
                loss += float(self.model.head.loss(outputs, here.targets)) * len(batch)
                answer = self.model.head.predictions(outputs)
                metrics.update(answer, here.targets)
                answers.append(answer.cpu())
                targets.append(batch.targets)
                rows += batch.rows
                self._progress.inner(len(batch))
        scores = {name: float(value) for name, value in metrics.compute().items()}
        return Predictions(torch.cat(answers), torch.cat(targets), rows, loss / max(len(rows), 1), scores)

    def encode(self, batch: Batch) -> Mapping[str, FeatureMap]:
        """The streams' maps of a batch of clips, on the trainer's device."""
        here = batch.to(self.fabric.device)
        maps: Mapping[str, FeatureMap] = self._wrapped.encode(here.clips, here.mask)
        return maps

    def _outputs(self, batch: Batch) -> tuple[dict[str, Tensor], Batch]:
        here = batch.to(self.fabric.device)
        if here.features is not None:
            outputs: dict[str, Tensor] = self._wrapped.decide(here.features)
        else:
            outputs = self._wrapped(here.clips, here.mask)
        return outputs, here

    def _train_epoch(self, source: BatchSource, interruption: Interruption) -> None:
        state, config = self.state, self.config
        steps = steps_of(epoch_order(len(source), config.seed, state.epoch), config.batch_size, config.accumulate)
        left = steps[state.step :]
        batches = source.batches([micro for step in left for micro in step], state.epoch)
        self._wrapped.train()
        for step in left:
            started = time.monotonic()
            loss = self._step(batches, step)
            clips = sum(map(len, step))
            state.loss_sum += loss * clips
            state.loss_clips += clips
            state.step += 1
            state.updates += 1
            state.seconds += time.monotonic() - started
            self._tell_step(loss, clips)
            last = state.step == len(steps)
            # The last step's state is saved once its epoch is closed.
            if not last and (interruption.asked or self._checkpoint_is_due()):
                self._save()
            if not last:
                self._stop_if_asked(interruption)

    def _step(self, batches: Iterator[Batch], step: Sequence[Sequence[int]]) -> float:
        """One update from the micro-batches of ``step``; its loss is the mean over all their clips."""
        self._optimizer.zero_grad(set_to_none=True)
        clips = sum(map(len, step))
        total = torch.zeros((), device=self.fabric.device)
        for number, _ in enumerate(step, 1):
            batch = next(batches)
            with self.fabric.no_backward_sync(self._wrapped, enabled=number < len(step)):
                outputs, here = self._outputs(batch)
                loss = self.model.head.loss(outputs, here.targets) * (len(batch) / clips)
                self.fabric.backward(loss)
            total += loss.detach()
        value = float(total)
        if not math.isfinite(value):
            raise TrainingError(self._not_finite(f"the loss is {value}"))
        if self.config.clip_norm is not None:
            norm = self.fabric.clip_gradients(
                self._wrapped, self._optimizer, max_norm=self.config.clip_norm, error_if_nonfinite=False
            )
            # Half precision scales its loss and skips a step whose gradients overflow; elsewhere that is fatal.
            if norm is not None and not torch.isfinite(norm) and self.config.precision != "16-mixed":
                raise TrainingError(self._not_finite("a gradient is not finite"))
        self._optimizer.step()
        self._scheduler.step()
        return value

    def _not_finite(self, what: str) -> str:
        return (
            f"{what} in epoch {self.state.epoch + 1}, step {self.state.step + 1}\n"
            f"  try a lower learning rate (train.lr={self.config.lr / 10:g}) or train.precision=32-true"
        )

    def _close_epoch(self, val: BatchSource | None, seconds: float) -> None:
        state = self.state
        row: Row = {
            "fold": self._fold,
            "epoch": state.epoch + 1,
            "updates": state.updates,
            "lr": self._optimizer.param_groups[-1]["lr"],
            "train_loss": state.loss_sum / max(state.loss_clips, 1),
        }
        score, loss = None, None
        if val is not None:
            judged = self.predict(val, "validation")
            row |= {"val_loss": judged.loss} | {f"val_{name}": value for name, value in judged.scores.items()}
            loss = judged.loss
            score = judged.scores[self.model.head.score]
        state.epoch += 1
        state.step, state.loss_sum, state.loss_clips = 0, 0.0, 0
        row["seconds"] = round(seconds, 3)
        state.history.append(row)
        if state.is_beaten_by(score, loss, self._lower_is_better):
            state.best_score, state.best_loss, state.best_epoch, state.stale = score, loss, state.epoch, 0
            # Before the resumable checkpoint: one that names a best epoch always finds its weights.
            self._checkpoints.save_best({"model": trained_state(self.model), "epoch": state.epoch})
        else:
            state.stale += 1
        self._save()
        for tracker in self.trackers:
            tracker.epoch(state.history)
        self._progress.note(state.last_epoch_in_words(self.epochs))

    def _patience_is_over(self) -> bool:
        patience = self.config.patience
        if patience is None or self.state.stale < patience:
            return False
        self._progress.note(f"stopped early: no better epoch for {patience}; the best was {self.state.best_epoch}")
        return True

    def _tell_step(self, loss: float, clips: int) -> None:
        state, rate = self.state, self._optimizer.param_groups[-1]["lr"]
        self._progress.advance(clips=clips, loss=loss, epoch=state.epoch + 1, epochs=self.epochs)
        for tracker in self.trackers:
            tracker.step(state.updates, {"train/loss": loss, "train/lr": rate})

    def _checkpoint_is_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self.config.checkpoint_seconds

    def _stop_if_asked(self, interruption: Interruption) -> None:
        if interruption.asked:
            raise RunInterruptedError(f"stopped in epoch {self.state.epoch + 1} after {self.state.updates} steps")

    def _save(self) -> None:
        self._checkpoints.save_last(
            {
                "model": trained_state(self.model),
                "optimizer": self._optimizer.state_dict(),
                "scheduler": self._scheduler.state_dict(),
                "precision": self.fabric.strategy.precision.state_dict(),
                "rng": rng_state(),
                "state": self.state.as_dict(),
            }
        )
        self._saved_at = time.monotonic()

    def _restore(self, payload: Mapping[str, Any]) -> None:
        load_trained_state(self.model, payload["model"])
        self._optimizer.load_state_dict(payload["optimizer"])
        self._scheduler.load_state_dict(payload["scheduler"])
        self.fabric.strategy.precision.load_state_dict(payload["precision"])
        self.state = TrainingState.from_dict(payload["state"])
        restore_rng(payload["rng"])

    def _load_best(self) -> None:
        best = self._checkpoints.load_best()
        if best["epoch"] != self.state.best_epoch:
            raise RunError(
                f"the best checkpoint is of epoch {best['epoch']} and the training says {self.state.best_epoch}; "
                "it was written by another training of this run: train again under another --name"
            )
        load_trained_state(self.model, best["model"])
