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
from vidcore.extract.views import Geometry, ViewBuilder, Views


class ClipJob:
    """A clip to decode, which then waits for its extractors.

    Args:
        todo: The clip and the extractors that lack it.
        sampling: How it is cut.
        views: What its frames are fitted to.
        meter: Counts the seconds.
        on_decoded: Hears when the views are there, or the clip has failed.
    """

    def __init__(
        self, todo: Todo, sampling: Sampling, views: Views, meter: Meter, on_decoded: Callable[[ClipJob], None]
    ) -> None:
        self.todo = todo
        self.failure: tuple[str, str] | None = None
        self.mask = torch.empty(0, dtype=torch.bool)
        self.waiting_for = len(todo.keys)
        self.bytes = 0
        self._views = views
        self._meter = meter
        self._on_decoded = on_decoded
        self._sampling = sampling
        self._builder: ViewBuilder | None = None
        self._fitted: dict[Geometry, Tensor] = {}

    @property
    def request(self) -> dict[str, Any]:
        """See ``DecodeJob``."""
        row = self.todo.row
        return {
            "path": str(row.video),
            "fps": row.fps,
            "start": row.start_seconds,
            "end": row.end_seconds,
            "sampling": asdict(self._sampling),
        }

    def view(self, extractor: str) -> Tensor:
        """The frames as ``extractor`` takes them, uint8 (T, 3, h, w)."""
        return self._fitted[self._views.of[extractor]]

    def begin(self, header: dict[str, Any]) -> None:
        """See ``DecodeJob``."""
        if FileState(*header["file"]) != self.todo.state:
            self.failure = ("read", "the file changed since it was looked at")
            return
        self.mask = torch.tensor(header["mask"])
        needed = self._views.needed(list(self.todo.keys))
        self._builder = ViewBuilder(self._views, needed, header["frames"], header["places"])

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
