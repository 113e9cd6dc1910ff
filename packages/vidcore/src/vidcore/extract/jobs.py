"""One clip on its way through the engine: decoded, fitted, encoded by every extractor that lacks it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from vidcore.data.sampling import Sampling
from vidcore.errors import VidcoreError
from vidcore.extract.hashing import FileState
from vidcore.extract.plan import Todo
from vidcore.extract.progress import Meter
from vidcore.extract.views import Look, ViewBuilder, Views
from vidcore.frames import Frames


class ClipJob:
    """A clip to decode, which then waits for its extractors.

    Args:
        todo: The clip and the extractors that lack it.
        views: How it is cut, and what its frames are fitted to.
        meter: Counts the seconds.
        on_decoded: Hears when the views are there, or the clip has failed.
    """

    def __init__(self, todo: Todo, views: Views, meter: Meter, on_decoded: Callable[[ClipJob], None]) -> None:
        self.todo = todo
        self.failure: tuple[str, str] | None = None
        self.waiting_for = len(todo.keys)
        self.bytes = 0
        self._views = views
        self._meter = meter
        self._on_decoded = on_decoded
        self._needed = views.needed(list(todo.keys))
        self._samplings = list(dict.fromkeys(sampling for _, sampling in self._needed))
        self._told: dict[Sampling, dict[str, Any]] = {}
        self._builder: ViewBuilder | None = None
        self._fitted: dict[Look, Tensor] = {}

    @property
    def request(self) -> dict[str, Any]:
        """See ``DecodeJob``."""
        row = self.todo.row
        return {
            "path": str(row.video),
            "fps": row.fps,
            "start": row.start_seconds,
            "end": row.end_seconds,
            "samplings": [asdict(sampling) for sampling in self._samplings],
        }

    def view(self, extractor: str) -> Frames:
        """The clip as ``extractor`` takes it."""
        look = self._views.of[extractor]
        told = self._told[look[1]]
        times, mask = torch.tensor(told["times"]), torch.tensor(told["mask"])
        return Frames.of(self._fitted[look], times, mask, told["windows"])

    def shape(self, extractor: str) -> tuple[int, ...]:
        """Of the view of ``extractor``, windows first: clips of one shape can be one batch."""
        look = self._views.of[extractor]
        return (self._told[look[1]]["windows"], *self._fitted[look].shape)

    def begin(self, header: dict[str, Any]) -> None:
        """See ``DecodeJob``."""
        if FileState(*header["file"]) != self.todo.state:
            self.failure = ("read", "the file changed since it was looked at")
            return
        self._told = dict(zip(self._samplings, header["clips"], strict=True))
        places = {sampling: told["places"] for sampling, told in self._told.items()}
        self._builder = ViewBuilder(self._views, self._needed, places)

    def put(self, frames: Tensor) -> None:
        """See ``DecodeJob``; frames that cannot be fitted are the clip's failure, not the run's."""
        if self.failure is not None or self._builder is None:
            return
        began = time.perf_counter()
        try:
            self._builder.put(frames)
        except VidcoreError as error:
            self.failure = ("preprocess", str(error))
        self._meter.spend("fit", time.perf_counter() - began)

    def finish(self, after: Sequence[int], seconds: float, *, gpu: bool, note: str | None) -> None:
        """See ``DecodeJob``."""
        self._meter.spend("decode", seconds)
        self._meter.decoded(gpu=gpu, note=note)
        if FileState(*after) != self.todo.state:
            self.failure = self.failure or ("read", "the file changed while it was read")
        if self.failure is None and self._builder is not None:
            self._fitted = self._builder.finish()
            self.bytes = sum(view.nbytes for view in self._fitted.values())
        self._builder = None
        self._on_decoded(self)

    def fail(self, stage: str, reason: str, seconds: float = 0.0) -> None:
        """See ``DecodeJob``."""
        self._meter.spend("decode", seconds)
        self.failure = self.failure or (stage, reason)
        self._builder = None
        self._on_decoded(self)

    def free(self) -> None:
        """The views are needed no more."""
        self._fitted = {}
