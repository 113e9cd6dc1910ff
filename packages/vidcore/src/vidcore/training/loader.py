"""Clips from video files, decoded by worker processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vidcore.catalog import ClipFormat
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.data.streams import StreamReader
from vidcore.errors import DataError, TrainingError, VidcoreError
from vidcore.frames import Frames
from vidcore.training.batches import Batch
from vidcore.training.memory import is_out_of_memory

if TYPE_CHECKING:
    from vidcore.data.augment import Augment

# (number of the row, epoch; or -1 for the clip that is the same in every epoch)
Key = tuple[int, int]
_FIXED = -1


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    row: int
    views: list[Frames]
    target: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class ClipDataset(Dataset[list[_Sample] | VidcoreError]):
    """Clips of rows, fitted to every extractor, still uint8: of each row as many as the reader cuts.

    A random clip depends on (seed, epoch, number of the row) and on nothing else, so the number of
    workers and the order of the batches change nothing.
    """

    rows: Sequence[Row]
    targets: Tensor
    reader: StreamReader
    seed: int
    jitter: bool = True
    augment: Augment | None = None

    def __getitem__(self, key: Key) -> list[_Sample] | VidcoreError:
        """The clips, or the error: one that is raised in a worker would come back as text with a traceback."""
        number, epoch = key
        generator = None if epoch == _FIXED else np.random.default_rng((self.seed, epoch, number))
        target = self.targets[number]

        def change(frames: Tensor) -> Tensor:
            nonlocal target
            if self.augment is None or generator is None:
                return frames
            frames, mirrored = self.augment(frames, generator, target)
            target = target if mirrored is None else mirrored
            return frames

        try:
            looks = self.reader.read(self.rows[number], generator=generator if self.jitter else None, change=change)
        except VidcoreError as exc:
            return exc
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is this row's: a DataLoader would not name it
            return TrainingError(_failed_clip(self.rows[number], exc))
        return [_Sample(number, views, target) for views in looks]


class ClipLoader:
    """One pool of workers for all splits of a run.

    ``targets`` holds one row per row of the data: (N,) or (N, C). Streams that look at frames in the same
    way share one tensor.

    Args:
        rows: of the data.
        targets: of the rows.
        sampling: how clips are cut, for each stream by its own format; where it cuts several of a row, each is a clip
            of the batch, side by side.
        streams: the clip each stream takes.
        seed: of what is drawn.
        size: side in pixels for extractors that take any.
        jitter: where a split draws clips anew in every epoch, whether their places in time are drawn too.
        augment: changes those clips.
        crops: of each clip, side by side in the batch.
        workers: processes.
        pin: copy batches to memory from which a GPU reads faster.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        targets: Tensor,
        sampling: Sampling,
        streams: Mapping[str, ClipFormat],
        *,
        seed: int = 0,
        size: int | None = None,
        jitter: bool = True,
        augment: Augment | None = None,
        crops: int = 1,
        workers: int | None = None,
        pin: bool = False,
    ) -> None:
        self._reader = StreamReader(sampling, streams, size=size, crops=crops)
        self._plan: list[list[Key]] = []
        self.workers = min(workers if workers is not None else default_workers(), len(rows))
        self._loader = DataLoader(
            ClipDataset(rows, targets, self._reader, seed, jitter, augment),
            batch_sampler=_Plan(self),
            num_workers=self.workers,
            collate_fn=_collate,
            persistent_workers=self.workers > 0,
            worker_init_fn=_start_worker,
            pin_memory=pin,
            # A generator of its own: otherwise every epoch draws from the one that dropout draws from.
            generator=torch.Generator(),
        )

    def read(self, plan: Sequence[Sequence[Key]]) -> Iterator[Batch]:
        """One batch per entry of ``plan``.

        Raises:
            VideoError: a video cannot be read.
            DataError: frames of different sizes meet in one batch.
            TrainingError: a worker died.
        """
        self._plan = [list(keys) for keys in plan]
        iterator = iter(self._loader)
        while True:
            try:
                answer = next(iterator)
            except StopIteration:
                return
            except RuntimeError as exc:
                if "DataLoader worker" not in str(exc):
                    raise
                raise TrainingError(_dead_worker(exc)) from exc
            if isinstance(answer, VidcoreError):
                raise answer
            seen, targets, rows = answer
            # Pinning makes lists of tuples.
            clips = self._reader.named([v._replace(shapes=tuple((k, n) for k, n in v.shapes)) for v in seen])
            yield Batch(targets, torch.ones(len(rows), 0, dtype=torch.bool), rows, clips)


class ClipSplit:
    """Some rows of a ``ClipLoader``: a ``BatchSource``. ``jitter``: other clips in every epoch."""

    def __init__(self, loader: ClipLoader, rows: Sequence[int], *, jitter: bool = False) -> None:
        self.rows = list(rows)
        self._loader = loader
        self._jitter = jitter

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, plan: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        """See ``BatchSource``."""
        when = epoch if self._jitter else _FIXED
        return self._loader.read([[(self.rows[number], when) for number in numbers] for numbers in plan])


def default_workers() -> int:
    """One process per core this process may use but one, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores - 1, 8))


class _Plan:
    """The batch sampler: the plan that the loader holds at the moment."""

    def __init__(self, loader: ClipLoader) -> None:
        self._owner = loader

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self._owner._plan)

    def __len__(self) -> int:
        return len(self._owner._plan)


_Stacked = tuple[list[Frames], Tensor, tuple[int, ...]]


def _collate(answers: list[list[_Sample] | VidcoreError]) -> _Stacked | VidcoreError:
    samples: list[_Sample] = []
    for answer in answers:
        if isinstance(answer, VidcoreError):
            return answer
        samples += answer
    return _stacked(samples)


def _stacked(samples: list[_Sample]) -> _Stacked | VidcoreError:
    stacked = []
    for kind in zip(*(sample.views for sample in samples), strict=True):
        sizes = {tuple(view.video.shape[-2:]) for view in kind}
        if len(sizes) > 1:
            shown = " and ".join(f"{h}x{w}" for h, w in sorted(sizes)[:2])
            return DataError(
                f"videos of different sizes ({shown}) meet in one batch, and the extractor takes any size; "
                "set one for all: data.size=128"
            )
        stacked.append(Frames.together(kind))
    return stacked, torch.stack([sample.target for sample in samples]), tuple(sample.row for sample in samples)


def _start_worker(_: int) -> None:
    # Ctrl-C reaches every process of the terminal; only the one that saves the checkpoint may answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _failed_clip(row: Row, exc: Exception) -> str:
    if isinstance(exc, MemoryError) or is_out_of_memory(exc):
        return (
            f"{row.video}: there is not enough memory for a clip of it: {exc}\n"
            "  use fewer processes, smaller batches or shorter clips: data.workers=0 train.accumulate=2 data.frames=8"
        )
    return (
        f"{row.video}: a clip of it cannot be made: {type(exc).__name__}: {exc}\n"
        "  look at the file with: vidcore data check; or take its row out"
    )


def _dead_worker(exc: RuntimeError) -> str:
    what = str(exc).splitlines()[0]
    if any(name in what for name in ("Segmentation fault", "Aborted", "Illegal instruction")):
        return f"a loader process crashed: {what}\n  a damaged video is the usual cause; vidcore data check names it"
    return (
        f"a loader process died: {what}\n  not enough memory, or shared memory (/dev/shm), is the "
        "usual cause; use fewer processes or smaller batches: data.workers=0 train.accumulate=2"
    )
