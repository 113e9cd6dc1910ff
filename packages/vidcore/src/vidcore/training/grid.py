"""A grid of learning rates, weight decays, folds and seeds, trained in one pass over stored features."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vidcore.config import TrainConfig
from vidcore.errors import DataError, TrainingError
from vidcore.features import FeatureMap
from vidcore.model import VideoModel
from vidcore.standardise import Standardise
from vidcore.training.batched import ModelStack, NotStackableError
from vidcore.training.batches import Batch, BatchSource, TrainingData, in_order
from vidcore.training.budget import with_budget
from vidcore.training.cohort import Cohort
from vidcore.training.deadline import Deadline
from vidcore.training.device import make_fabric, precision_of
from vidcore.training.encoded import EncodedClips, taken
from vidcore.training.footprint import member_bytes, memory_allowed
from vidcore.training.interruption import Interruption, RunInterruptedError
from vidcore.training.member import GridMember, MemberResult
from vidcore.training.progress import Progress
from vidcore.training.seeding import seed_all
from vidcore.training.selection import Selected
from vidcore.training.settled import from_readout, settled
from vidcore.training.statistics import fit_standardisation
from vidcore.training.trainer import Trainer

_READ_AT_ONCE = 256

Build = Callable[[GridMember], VideoModel]


@dataclass(frozen=True, slots=True, eq=False)
class GridData:
    """Features and targets of all clips, and which of them each fold trains on and is judged by.

    clips   in memory
    folds   {number: (training clips, validation clips)}, numbers of clips within ``clips``; without validation
            clips the last epoch of a member is its best one

    Raises:
        DataError: a fold without training clips, with a clip that is not there, or with one in both of its parts.
    """

    clips: EncodedClips
    folds: Mapping[int, tuple[Sequence[int], Sequence[int]]]

    def __post_init__(self) -> None:
        for fold, (train, val) in self.folds.items():
            wrong = [row for row in (*train, *val) if not 0 <= row < len(self.clips)]
            if wrong:
                raise DataError(f"fold {fold} names clip {wrong[0]}; there are {len(self.clips)}, from 0")
            if not train:
                raise DataError(f"fold {fold} has no clip to train on")
            if both := set(train) & set(val):
                raise DataError(f"fold {fold} trains on clip {min(both)} and is judged by it")

    @classmethod
    def read(cls, source: BatchSource, folds: Mapping[int, tuple[Sequence[int], Sequence[int]]]) -> GridData:
        """From a source of features, a store's for example; all of it is read into memory."""
        return cls(EncodedClips(list(source.batches(in_order(source, _READ_AT_ONCE), 0))), folds)

    @classmethod
    def of(
        cls,
        features: Mapping[str, FeatureMap],
        targets: Tensor,
        folds: Mapping[int, tuple[Sequence[int], Sequence[int]]],
    ) -> GridData:
        """From {stream: FeatureMap of all N clips} and targets (N,) or (N, C).

        Raises:
            DataError: no stream, or numbers of clips that differ.
        """
        counts = {name: len(fmap.data) for name, fmap in features.items()}
        if not counts or set(counts.values()) != {len(targets)}:
            raise DataError(
                f"features are of {counts or 'no'} clips, targets of {len(targets)}; must be the same clips"
            )
        mask = torch.ones(len(targets), 1, dtype=torch.bool)
        return cls(EncodedClips([Batch(targets, mask, tuple(range(len(targets))), features=features)]), folds)


def starting_from(make: Callable[[int, int], VideoModel]) -> Build:
    """A ``Build`` that calls ``make(seed, fold)`` once for all members that differ in rate and decay only.

    Those start from the same weights; making a model again, extractors included, may take seconds.
    """
    made: dict[tuple[int, int], VideoModel] = {}

    def build(member: GridMember) -> VideoModel:
        key = member.seed, member.fold
        if key not in made:
            model = make(*key)
            made[key] = VideoModel({}, model.fusion, model.readout, model.head, standardise=model.standardise)
        return copy.deepcopy(made[key])

    return build


@dataclass(frozen=True, slots=True, eq=False)
class GridResult:
    """What became of the members, in the order in which they were asked for.

    score    name of the metric that is shown beside the loss, and whether less of it is better
    notes    what a person should know: members that were not trained together, and why
    """

    members: tuple[MemberResult, ...]
    score: str
    lower_is_better: bool
    notes: tuple[str, ...] = ()


def fit_grid(
    build: Build,
    data: GridData,
    members: Sequence[GridMember],
    config: TrainConfig,
    *,
    progress: Progress | None = None,
    memory: int | None = None,
    deadline: Deadline | None = None,
) -> GridResult:
    """Train every member as ``Trainer`` trains it alone, all at once.

    Each has its own weights, order of clips, batches, schedule, clipping, best epoch and end (``patience``); they
    share the pass over the data, one forward, one backward and one AdamW. What a member becomes is what ``Trainer``
    makes of it, up to the rounding of sums. Dropout is the exception: it draws valid noise, another for each
    member, but not the numbers that the member would draw alone.

    Where torch cannot compute a module for many members at once (recurrent layers, control flow that depends on
    values, float16 with a scaled loss), the members are trained one after the other by ``Trainer``, and a note says
    so. One whose loss is no longer finite is given up and the others go on.

    Args:
        build: the model of a member as it is before training, fresh for every call. Its extractors are not used
            and may be shared or absent; seeding is its business.
        data: features, targets and folds.
        members: what to train.
        config: what the members have in common; its ``lr``, ``weight_decay`` and ``seed`` are not read.
        progress: who is told how far it is.
        memory: bytes that training may take besides the features; more members than fit are trained in several
            passes, with the same results. By default half of what is free.
        deadline: when to stop; by default the configuration's time budget from now.

    Raises:
        ConfigError: the device is not there or cannot do the precision.
        DataError: no members, or one of a fold that is not there.
        TrainingError: nothing is trained, or no member came to its end.
        RunInterruptedError: SIGINT or SIGTERM, at the end of an epoch.
    """
    missing = sorted({member.fold for member in members} - data.folds.keys())
    if not members or missing:
        folds = ", ".join(map(str, sorted(data.folds)))
        raise DataError(
            f"the grid names fold {missing[0]}; there are folds {folds}" if missing else "the grid has no members"
        )
    run = _GridRun(build, data, config, progress or Progress(), deadline or Deadline(config.time_budget))
    return run.carry_out(members, memory)


class _GridRun:
    """One call of ``fit_grid``."""

    def __init__(
        self, build: Build, data: GridData, config: TrainConfig, progress: Progress, deadline: Deadline
    ) -> None:
        self._build = build
        self._data = data
        self._config = with_budget(config, max(len(train) for train, _ in data.folds.values()))
        self._epochs = self._config.epochs or 0
        self._progress = progress
        # One process: what it computes is small, and split over several it would be smaller.
        self._fabric = make_fabric(config.model_copy(update={"devices": 1, "nodes": 1}))
        self._device: torch.device = self._fabric.device
        self._precision: Any = precision_of(self._fabric)
        self._clips = _placed(data.clips.whole, self._device)
        self._folds = {
            fold: (torch.tensor(train, device=self._device), torch.tensor(val, device=self._device, dtype=torch.long))
            for fold, (train, val) in data.folds.items()
        }
        self._settled = False
        self._scales: dict[int, Standardise] = {}
        self._deadline = deadline
        self._alone: str | None = None
        if config.precision == "16-mixed":
            self._alone = "train.precision=16-mixed scales the loss of each by a factor of its own"
        self._notes: list[str] = []

    def carry_out(self, members: Sequence[GridMember], memory: int | None) -> GridResult:
        # Side by side: what reads the same batches.
        order = sorted(range(len(members)), key=lambda i: (members[i].fold, members[i].seed))
        first = self._model(members[order[0]])
        if self._alone is None:
            self._read_out_once(members, first)
        at_once = self._at_once(self._stacked(first), members[order[0]], memory)
        parts = [order[start : start + at_once] for start in range(0, len(order), at_once)]
        if len(parts) > 1:
            self._note(f"{len(members)} members are trained in {len(parts)} passes, {at_once} at once fit into memory")
        self._progress.begin(f"training {len(members)} members", len(members) * self._epochs)
        found: dict[int, MemberResult] = {}
        for part in parts:
            found |= zip(part, self._train([members[i] for i in part]), strict=True)
        results = tuple(found[i] for i in range(len(members)))
        if all(result.failure for result in results):
            raise TrainingError(f"no member of the grid came to its end; the first one: {results[0].failure}")
        return GridResult(results, first.head.score, first.head.lower_is_better, tuple(self._notes))

    def _train(self, members: Sequence[GridMember]) -> list[MemberResult]:
        if self._alone is None:
            try:
                return self._together(members)
            except NotStackableError as exc:
                self._alone = str(exc)
            except torch.OutOfMemoryError:
                if len(members) == 1:
                    raise
        if self._alone is not None:
            self._note(f"the members are trained one after the other: {self._alone}")
            return [self._by_itself(member) for member in members]
        # Out of the except clause, which holds on to the tensors that did not fit.
        half = len(members) // 2
        self._note(f"{len(members)} members at once do not fit into memory: going on with {half}")
        return self._train(members[:half]) + self._train(members[half:])

    def _together(self, members: Sequence[GridMember]) -> list[MemberResult]:
        models = [self._stacked(self._model(member)) for member in members]
        # What was read out once was standardised before.
        scales = {} if self._settled else self._scales
        cohort = Cohort(
            models, members, self._clips, self._folds, self._config, self._precision, self._deadline, scales
        )
        # What the members' noise is drawn from.
        seed_all(self._config.seed)
        epochs = 0
        with Interruption() as interruption:
            for going in cohort.fit():
                epochs += 1
                self._progress.advance(len(members), epoch=epochs, epochs=self._epochs, members=going)
                if interruption.asked:
                    raise RunInterruptedError(f"stopped in the grid after {epochs} of {self._epochs} epochs")
        self._progress.advance(len(members) * (self._epochs - epochs))
        for result in cohort.results:
            if (scale := self._scales.get(result.member.fold)) and result.state:
                result.state |= {f"standardise.{name}": t.cpu().clone() for name, t in scale.state_dict().items()}
        return cohort.results

    def _by_itself(self, member: GridMember) -> MemberResult:
        model = self._model(member)
        train, val = (Selected(self._data.clips, rows) for rows in self._data.folds[member.fold])
        trainer = Trainer(member.config(self._config), fold=member.fold, fabric=self._fabric, deadline=self._deadline)
        trainer.prepare(model)
        seed_all(member.seed)
        failure, judged = None, None
        try:
            trainer.fit(model, TrainingData(train, val if len(val) else None))
            judged = trainer.predict(val, "validation") if len(val) else None
        except (TrainingError, RunInterruptedError) as exc:
            if not isinstance(exc, TrainingError) and not self._deadline.over:
                raise
            failure = str(exc).splitlines()[0]
        state = {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}
        self._progress.advance(self._epochs)
        return MemberResult(member, trainer.state, state, judged, failure)

    def _model(self, member: GridMember) -> VideoModel:
        model = self._build(member)
        # Without its extractors: they made the features and have no part in this.
        probe = VideoModel({}, model.fusion, model.readout, model.head, standardise=model.standardise)
        probe = probe.to(self._device)
        if not any(parameter.requires_grad for parameter in probe.parameters()):
            raise TrainingError("the model has no parameter to train: fusion, readout and head have none")
        return probe

    def _read_out_once(self, members: Sequence[GridMember], first: VideoModel) -> None:
        """Statistics of the streams by each fold's training clips; and readouts without parameters, once for all."""
        numbers = sorted({member.fold for member in members})
        if first.standardise.streams:
            for fold in numbers:
                train = Selected(self._data.clips, self._data.folds[fold][0])
                fit_standardisation(first, train, lambda batch: batch.to(self._device).features or {})
                self._scales[fold] = copy.deepcopy(first.standardise)
        read: list[Batch] = []
        for fold in numbers if self._scales else numbers[:1]:
            if self._scales:
                first.standardise.load_state_dict(self._scales[fold].state_dict())
            if not (one := settled(first, self._clips, self._config.batch_size)):
                return
            read.append(one)
        # A fold's clips follow those of the fold before, standardised in its own way.
        clips = len(self._clips)
        self._clips, self._settled = EncodedClips(read).whole, True
        if self._scales:
            self._folds = {
                fold: tuple(rows + place * clips for rows in self._folds[fold])  # type: ignore[misc]
                for place, fold in enumerate(numbers)
            }

    def _stacked(self, model: VideoModel) -> VideoModel:
        if self._settled:
            return from_readout(model, per_step=model.readout.output.per_step)
        return VideoModel({}, model.fusion, model.readout, model.head)

    def _at_once(self, model: VideoModel, member: GridMember, memory: int | None) -> int:
        if self._alone is not None:
            return 1
        try:
            stack = ModelStack([model], self._precision)
        except NotStackableError:
            return 1
        rows = self._folds[member.fold][0][: self._config.batch_size].to(self._clips.targets.device)
        maps = {name: taken(fmap, rows).to(self._device) for name, fmap in (self._clips.features or {}).items()}
        each = member_bytes(stack, maps, self._clips.targets[rows].to(self._device))
        return max(1, (memory if memory is not None else memory_allowed(self._device)) // each)

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)
            self._progress.note(text)


def _placed(clips: Batch, device: torch.device) -> Batch:
    """The clips on the device where they leave half of it free, else where they are."""
    maps = (clips.features or {}).values()
    fits = sum(fmap.data.numel() * fmap.data.element_size() for fmap in maps) <= memory_allowed(device)
    return clips.to(device) if device.type != "cpu" and fits else clips
