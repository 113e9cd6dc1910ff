"""How far an extraction is, and where its time goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

STAGES = ("decode", "fit", "model", "write")


@dataclass(frozen=True, slots=True)
class ExtractProgress:
    """A moment of an extraction.

    Attributes:
        done: Rows whose features were computed by this process.
        present: Rows that had all their features before.
        elsewhere: Rows that other processes have finished meanwhile.
        failed: Rows without features.
        total: Rows in all, where that is known.
        seconds: Since the start.
        clips_per_second: ``done`` by the time since the first clip began.
        shares: Stage -> its share of the busy seconds of all stages.
        model_busy: Share of the time in which a model was at work, from 0 to 1.
        notes: What happened that a person should know, such as a smaller batch after an out-of-memory error.
    """

    done: int
    present: int
    elsewhere: int
    failed: int
    total: int | None
    seconds: float
    clips_per_second: float
    shares: dict[str, float]
    model_busy: float
    notes: tuple[str, ...] = ()

    @property
    def seen(self) -> int:
        """Rows that need nothing more."""
        return self.done + self.present + self.elsewhere + self.failed

    @property
    def eta_seconds(self) -> float | None:
        """How long the rest will take at the rate so far, as if all of it were to be computed."""
        if self.total is None or not self.done or self.seconds <= 0:
            return None
        return max(0, self.total - self.seen) * self.seconds / (self.done + self.elsewhere + self.failed)


@dataclass(slots=True)
class Meter:
    """Counts rows and seconds, from any thread."""

    total: int | None = None
    lanes: int = 1
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("done", "present", "elsewhere", "failed"), 0))
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    notes: list[str] = field(default_factory=list)
    on_gpu: int = 0
    _began: float = field(default_factory=time.perf_counter)
    _first: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start_clips(self) -> None:
        """The first clip begins now: what came before is no part of the rate."""
        with self._lock:
            if self._first is None:
                self._first = time.perf_counter()

    def count(self, what: str, rows: int = 1) -> None:
        """Count rows as ``done``, ``present``, ``elsewhere`` or ``failed``."""
        with self._lock:
            self.counts[what] += rows

    def decoded(self, *, gpu: bool, note: str | None) -> None:
        """A clip was decoded, by a GPU or not; ``note`` says why not where it should have been."""
        with self._lock:
            self.on_gpu += gpu
        if note is not None:
            self.note(f"decoded on the CPU: {note}")

    def spend(self, stage: str, seconds: float) -> None:
        """Count the seconds a stage was busy."""
        with self._lock:
            self.seconds[stage] += seconds

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the seconds of a block."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spend(stage, time.perf_counter() - began)

    def note(self, text: str) -> None:
        """Something a person should know; said once."""
        with self._lock:
            if text not in self.notes:
                self.notes.append(text)

    def snapshot(self) -> ExtractProgress:
        """How it stands."""
        with self._lock:
            now = time.perf_counter()
            working = now - (self._first if self._first is not None else now)
            busy = sum(self.seconds.values())
            return ExtractProgress(
                **self.counts,
                total=self.total,
                seconds=now - self._began,
                clips_per_second=self.counts["done"] / working if working > 0 else 0.0,
                shares={stage: spent / busy if busy else 0.0 for stage, spent in self.seconds.items()},
                model_busy=min(1.0, self.seconds["model"] / (working * self.lanes)) if working > 0 else 0.0,
                notes=tuple(self.notes),
            )
