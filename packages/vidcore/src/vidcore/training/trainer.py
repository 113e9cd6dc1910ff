"""The training loop: epochs, steps, validation, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vidcore.config import TrainConfig
from vidcore.errors import TrainingError
from vidcore.features import FeatureMap
from vidcore.heads.base import LOSS
from vidcore.model import VideoModel
from vidcore.training.averaging import WeightAverage
from vidcore.training.batches import Batch, BatchSource, Predictions, TrainingData
from vidcore.training.budget import with_budget
from vidcore.training.calibration import can_calibrate, divide_logits, temperature_of
from vidcore.training.callbacks import Callback
from vidcore.training.checkpoints import Checkpoints
from vidcore.training.compiling import compile_parts
from vidcore.training.deadline import Deadline
from vidcore.training.device import is_sharded, make_fabric, placed, precision_of
from vidcore.training.fitting import fit_head, is_fitted
from vidcore.training.interruption import Interruption, RunInterruptedError
from vidcore.training.nonfinite import report_step
from vidcore.training.optimisation import adamw, epoch_order, steps_of, warmup_cosine
from vidcore.training.predicting import predict
from vidcore.training.processes import Processes
from vidcore.training.progress import Progress
from vidcore.training.recomputing import recompute_blocks
from vidcore.training.saving import Saving
from vidcore.training.seeding import step_seed
from vidcore.training.solving import Solution, read_rows, solve
from vidcore.training.state import Row, TrainingState
from vidcore.training.statistics import fit_standardisation
from vidcore.training.stepping import NotFiniteError, Stepper
from vidcore.training.tracking import Tracker

if TYPE_CHECKING:
    from vidcore.training.device import Launched


class Trainer:
    """Trains a ``VideoModel``. One object is one training: ``fit`` once, then ``predict`` as often as wanted.

    Args:
        config: optimisation; ``device`` and ``precision`` decide where and how the model runs.
        checkpoints: where it saves; ``None``: the best weights stay in memory and nothing can be resumed.
        progress: who is told how far it is.
        trackers: who is told the numbers of steps and epochs.
        callbacks: your own code.
        fold: the number in the rows of ``metrics.csv``.
        last_epoch: stop after this epoch of the schedule; by default its last.
        later: steps that follow this training, for the remaining time.
        fabric: one that was made before; by default the configuration's own.
        deadline: when to stop; by default the configuration's time budget from now.
        wreck: folder for the clips of a step whose loss is not finite; ``None``: they are not kept.
        splits: into how many parts micro-batches are cut from the start, where memory ran out before.
        name_of: what an error calls the clip of a row.

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
        callbacks: Sequence[Callback] = (),
        fold: int = 0,
        last_epoch: int | None = None,
        later: int = 0,
        fabric: Launched | None = None,
        deadline: Deadline | None = None,
        wreck: Path | None = None,
        splits: int = 1,
        name_of: Callable[[int], str] = "row {}".format,
    ) -> None:
        self.config = config
        self.fabric = fabric or make_fabric(config)
        self.processes = Processes(self.fabric)
        self.epochs = 0
        """Of the schedule that are trained; known once ``fit`` begins."""
        self.solution: Solution | None = None
        """What was found, with ``solver=exact``."""
        self._last_epoch = last_epoch
        self._name_of = name_of
        self.state = TrainingState(splits=splits)
        self.trackers = trackers
        self.unfinished = False
        """Whether ``fit`` ended because its time was up."""
        self._callbacks = callbacks
        self._checkpoints = checkpoints or Checkpoints(None)
        self._progress = progress or Progress()
        self._fold, self._later, self._wreck = fold, later, wreck
        self._deadline = deadline or Deadline(config.time_budget)
        self._asked_to_stop = False
        self._prepared = False

    def prepare(self, model: VideoModel) -> None:
        """Move ``model`` to the device, for ``predict`` and ``encode`` before or without training."""
        self.model = model
        if self.config.compile:
            compile_parts(model, self.fabric.device)
        self._wrapped = placed(self.fabric, model)
        self._stepper = Stepper(
            self.fabric, self.processes, self._wrapped, model, None, self.config, self._progress.note, self.state.splits
        )
        self._prepared = True

    def fit(self, model: VideoModel, data: TrainingData, resume: Mapping[str, Any] | None = None) -> TrainingState:
        """Train ``model``; at the end it has the weights of the best epoch.

        Args:
            model: moved to the device, unless ``prepare`` did so before.
            data: batches of the training and validation clips.
            resume: a payload of ``Checkpoints.load_last``; training goes on as if it had never stopped.

        Raises:
            TrainingError: a loss that is not finite, too little memory, or another process that ended; the last
                checkpoint is from before it.
            RunInterruptedError: SIGINT, SIGTERM, or the time was up before an epoch was complete; a checkpoint was
                saved.
            RunError: the disk is full, or ``resume`` is of another model.
        """
        if not self._prepared:
            self.prepare(model)
        if resume is None:
            self.model.eval()
            fit_standardisation(self.model, data.train, self._maps, self._name_of)
        if is_fitted(self.model):
            return self._fit_at_once(data)
        if self.config.solver == "exact":
            return self._solve(data)
        self.config = self._stepper.config = with_budget(self.config, len(data.train))
        epochs = self.config.epochs or 1
        self.epochs = min(self._last_epoch or epochs, epochs)
        if self.config.gradient_checkpointing:
            recompute_blocks(self.model)
        steps = math.ceil(len(data.train) / self.config.batch_size)
        optimizer = adamw(self.model, self.config)
        self._stepper.optimizer = self.fabric.setup_optimizers(optimizer)
        self._scheduler = warmup_cosine(optimizer, epochs * steps, self.config.warmup)
        self._average = WeightAverage(self.model, self.config.ema) if self.config.ema is not None else None
        precision = precision_of(self.fabric)
        self._saving = Saving(
            self._checkpoints, self.processes, self.model, self._stepper.optimizer, self._scheduler, precision,
            self._average,
        )  # fmt: skip
        resume = self.processes.from_first(resume)
        if resume is not None:
            self.state = self._saving.restore(resume)
            self._stepper.splits = self.state.splits
        phase = f"training fold {self._fold}" if self._fold else "training"
        self._progress.begin(phase, self.epochs * steps, self.state.updates, self._later)
        with Interruption() as interruption, self.processes.watched(self._rescue):
            while self.state.epoch < self.epochs and not self._is_over():
                started = time.monotonic()
                self._train_epoch(data.train, interruption)
                if self.unfinished:
                    break
                self._close_epoch(data.val, time.monotonic() - started)
                self._stop_if_asked(interruption)
        if self.unfinished and self.state.best_epoch is None:
            raise RunInterruptedError(f"{self._where()}: the time budget of {self._deadline.in_words} was over before "
                                      "an epoch was complete, so there is no model yet")  # fmt: skip
        if self._last_epoch is None and self.state.epoch == self.epochs and self.state.still_improving:
            self._progress.note(f"the validation loss was still falling in the last of {self.epochs} epochs: "
                                f"more may be better, train.epochs={2 * self.epochs}")  # fmt: skip
        self._saving.load_best(self.state)
        return self.state

    def _fit_at_once(self, data: TrainingData) -> TrainingState:
        """Fit a head that is not trained; nothing is kept to go on from, for it takes one look at the clips."""
        started = time.monotonic()
        self.model.eval()
        self._progress.begin("fitting", len(data.train))
        loss = fit_head(self.model, data.train, self._maps, self.fabric.autocast, self._progress.advance)
        row: Row = {"fold": self._fold, "epoch": 1, "updates": 0, "lr": None, "train_loss": loss}
        judged = self.predict(data.val, "validation") if data.val is not None else None
        score = judged.scores[self.model.head.score] if judged is not None else None
        if judged is not None:
            row |= {"val_loss": judged.loss} | {f"val_{name}": value for name, value in judged.scores.items()}
        return self._close_at_once(row, score, judged.loss if judged is not None else None, started)

    def _solve(self, data: TrainingData) -> TrainingState:
        """Solve a linear head on the training and validation clips; in the first process, for all of them."""
        started = time.monotonic()
        self.model.eval()
        sources = [source for source in (data.train, data.val) if source is not None]
        self._progress.begin("solving", sum(map(len, sources)))
        found: Solution | None = None
        if self.processes.first:
            rows = read_rows(
                self.model, sources, self._maps, self.fabric.autocast, self._name_of, self._progress.advance
            )
            units = [data.units[row] for row in rows.rows] if data.units is not None else rows.rows
            found = solve(self.model.head, rows, units, self.config.seed, lambda: self._deadline.over)
        self.solution = found = self.processes.from_first(found)
        if found is None:
            raise TrainingError("the first process solved nothing")
        found.apply(self.model.head)
        row: Row = {"fold": self._fold, "epoch": 1, "updates": 0, "lr": None, "train_loss": found.train_loss}
        if found.loss is not None:
            row |= {"val_loss": found.loss} | {f"val_{name}": value for name, value in found.scores.items()}
        score = found.scores.get(self.model.head.score)
        return self._close_at_once(row, score, found.loss, started)

    def _close_at_once(self, row: Row, score: float | None, loss: float | None, started: float) -> TrainingState:
        """The state after a head that took no steps; there is one epoch, the best one."""
        self.epochs, seconds = 1, time.monotonic() - started
        row["seconds"] = round(seconds, 3)
        self.state = TrainingState(
            epoch=1, best_epoch=1, best_score=score, best_loss=loss, seconds=seconds, history=[row]
        )
        self._tell_epoch(row)
        return self.state

    @property
    def remaining_seconds(self) -> float | None:
        """Time that the rest of the run will take at the pace so far; ``None`` before the first step."""
        return self._progress.eta_seconds

    def calibrate(self, val: BatchSource | None, temperature: float | None = None) -> float:
        """Divide the head's logits so that its probabilities hold on ``val``; by ``temperature`` where it is given.

        Returns:
            The temperature: 1 where nothing was done, because there are no clips, the head gives no probabilities,
            or it was solved, which calibrates by itself.
        """
        head = self.model.head
        sharded = is_sharded(self.fabric)
        if not can_calibrate(head) or self.solution is not None or sharded or (val is None and temperature is None):
            return 1.0
        if temperature is None and val is not None:
            judged = self.predict(val, "calibration")
            temperature = temperature_of(judged.predictions, judged.targets, head.targets.kind)
        divide_logits(head, temperature or 1.0)
        return temperature or 1.0

    def stop(self) -> None:
        """End the training after the epoch that is running; the best epoch so far is what it leaves."""
        self._asked_to_stop = True

    def predict(self, source: BatchSource, phase: str, *, at_once: int | None = None) -> Predictions:
        """What the model says of every clip of ``source``, ``at_once`` at most in a forward; alike in all processes."""
        self._wrapped.eval()
        self._stepper.most = self._stepper.most or at_once
        with self._progress.within(phase, len(source)):
            return predict(self._stepper, source, self._progress.inner)

    def encode(self, batch: Batch) -> Mapping[str, FeatureMap]:
        """The streams' maps of a batch of clips, on the trainer's device."""
        here = batch.to(self.fabric.device)
        with self.fabric.autocast():
            maps: Mapping[str, FeatureMap] = self._wrapped.encode(here.clips, here.mask)
        return maps

    def _train_epoch(self, source: BatchSource, interruption: Interruption) -> None:
        state, config = self.state, self.config
        order = epoch_order(len(source), config.seed, state.epoch)
        where = {"rank": self.processes.rank, "processes": self.processes.count}
        steps = steps_of(order, config.batch_size, config.accumulate, **where)
        left = steps[state.step :]
        # An empty micro-batch reads a clip that does not count.
        batches = iter(source.batches([micro or order[:1] for step in left for micro in step], state.epoch))
        self._wrapped.train()
        for number, step in enumerate(left):
            started = time.monotonic()
            clips = min(config.batch_size, len(order) - (len(steps) - len(left) + number) * config.batch_size)
            loss = self._step(list(islice(batches, len(step))), [bool(micro) for micro in step])
            state.loss_sum += loss * clips
            state.loss_clips += clips
            state.step += 1
            state.updates += 1
            state.seconds += time.monotonic() - started
            self._tell_step(loss, clips)
            # The last step's state is saved once its epoch is closed.
            if state.step < len(steps) and self._pauses(interruption):
                return

    def _pauses(self, interruption: Interruption) -> bool:
        """Save where it is time to; whether to leave the epoch unfinished."""
        due = self._saving.seconds_ago >= self.config.checkpoint_seconds
        over, interruption.asked, due = self.processes.any(self._deadline.over, interruption.asked, due)
        if over or interruption.asked or due:
            self._saving.save(self.state)
        self._stop_if_asked(interruption)
        self.unfinished = over
        return over

    def _step(self, batches: list[Batch], counted: list[bool]) -> float:
        state = self.state
        if not self.processes.alone:
            # Each process draws its own dropout, from what a checkpoint of the first one knows as well.
            torch.manual_seed(step_seed(self.config.seed, state.updates, self.processes.rank))
        try:
            loss = self._stepper.step(batches, counted)
        except NotFiniteError as exc:
            name = f"epoch{state.epoch + 1}-step{state.step + 1}-process{self.processes.rank}.safetensors"
            path = self._wreck / name if self._wreck is not None else None
            raise TrainingError(report_step(f"{exc} in {self._where()}", batches, path, self.config.lr or 0.0)) from exc
        state.splits = self._stepper.splits
        self._scheduler.step()
        if self._average is not None:
            self._average.update(state.updates + 1)
        return loss

    def _where(self) -> str:
        fold = f"fold {self._fold}, " if self._fold else ""
        return f"{fold}epoch {self.state.epoch + 1}, step {self.state.step + 1}"

    def _close_epoch(self, val: BatchSource | None, seconds: float) -> None:
        state = self.state
        row: Row = {
            "fold": self._fold,
            "epoch": state.epoch + 1,
            "updates": state.updates,
            "lr": self._stepper.optimizer.param_groups[0]["lr"],
            "train_loss": state.loss_sum / max(state.loss_clips, 1),
        }
        score, loss = None, None
        if val is not None:
            with self._average.applied() if self._average is not None else nullcontext():
                judged = self.predict(val, "validation")
            row |= {"val_loss": judged.loss} | {f"val_{name}": value for name, value in judged.scores.items()}
            loss = judged.loss
            score = loss if self.model.head.score == LOSS else judged.scores[self.model.head.score]
        state.epoch += 1
        state.step, state.loss_sum, state.loss_clips = 0, 0.0, 0
        row["seconds"] = round(seconds, 3)
        state.history.append(row)
        if state.is_beaten_by(loss):
            state.best_score, state.best_loss, state.best_epoch, state.stale = score, loss, state.epoch, 0
            # Before the resumable checkpoint: one that names a best epoch always finds its weights.
            self._saving.save_best(state)
        else:
            state.stale += 1
        self._saving.save(state)
        self._tell_epoch(row)

    def _tell_epoch(self, row: Row) -> None:
        if self.processes.first:
            for tracker in self.trackers:
                tracker.epoch(self.state.history)
            for callback in self._callbacks:
                callback.on_epoch(self, row)
        words = self.solution.in_words() if self.solution else self.state.last_epoch_in_words(self.epochs)
        self._progress.detail(words)

    def _maps(self, batch: Batch) -> Mapping[str, FeatureMap]:
        """The streams' maps of a batch of clips or of features, on the device."""
        here = batch.to(self.fabric.device)
        return here.features if here.features is not None else self.encode(here)

    def _is_over(self) -> bool:
        """Whether the last epoch was the last one: patience, the clock, or somebody says so."""
        state, patience = self.state, self.config.patience
        if patience is not None and state.stale >= patience:
            self._progress.note(f"stopped early: no better epoch for {patience}; the best was {state.best_epoch}")
            return True
        over, stopped = self.processes.any(self._deadline.over, self._asked_to_stop)
        self.unfinished = over and not stopped
        return over or stopped

    def _tell_step(self, loss: float, clips: int) -> None:
        state = self.state
        self._progress.advance(clips=clips, loss=loss, epoch=state.epoch + 1, epochs=self.epochs)
        if not self.processes.first:
            return
        numbers = {"train/loss": loss, "train/lr": self._stepper.optimizer.param_groups[0]["lr"]}
        for tracker in self.trackers:
            tracker.step(state.updates, numbers)
        for callback in self._callbacks:
            callback.on_step(self, numbers)

    def _stop_if_asked(self, interruption: Interruption) -> None:
        if interruption.asked:
            fold = f"fold {self._fold}, " if self._fold else ""
            raise RunInterruptedError(f"stopped in {fold}epoch {self.state.epoch + 1} after {self.state.updates} steps")

    def _rescue(self) -> None:
        """Another process has ended: the first one saves where the last whole step left the training."""
        if self._stepper.started is not None:
            self._stepper.started.restore()
        if self.processes.first and not is_sharded(self.fabric):
            self._saving.save(self.state)
