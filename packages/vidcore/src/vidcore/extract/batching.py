"""Batches across videos: how large, and of which clips."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

# A larger batch must be faster by this factor, or it only costs memory.
WORTH = 1.05
# Batches measured at each size; the first one pays for what a new shape sets up.
_MEASURED = 3


class BatchSizer:
    """Finds the batch size of one extractor while it works; from several threads.

    It doubles the size as long as clips a second grow, and never goes above a size that ran out of memory.

    Args:
        fixed: The size asked for; ``None``: to be found.
        start: First size tried.
        ceiling: Largest size tried.
    """

    def __init__(self, fixed: int | None, *, start: int, ceiling: int) -> None:
        self._lock = threading.Lock()
        self._ceiling = fixed or ceiling
        self._settled = fixed is not None
        self._target = fixed or min(start, ceiling)
        self._best_size, self._best_rate = self._target, 0.0
        self._seconds: list[float] = []

    @property
    def target(self) -> int:
        """Clips to put into the next batch."""
        return self._target

    def record(self, clips: int, seconds: float) -> None:
        """A batch of ``clips`` took ``seconds``; those that were not full tell nothing."""
        with self._lock:
            if self._settled or clips != self._target:
                return
            self._seconds.append(seconds)
            if len(self._seconds) <= _MEASURED:
                return
            rate = clips / statistics.median(self._seconds[1:])
            self._seconds = []
            if rate < self._best_rate * WORTH:
                self._settle(self._best_size)
                return
            self._best_size, self._best_rate = clips, rate
            if clips * 2 > self._ceiling:
                self._settle(clips)
            else:
                self._target = clips * 2

    def shrink(self, clips: int) -> int:
        """A batch of ``clips`` ran out of memory: the size from now on."""
        with self._lock:
            self._ceiling = min(self._ceiling, max(1, clips // 2))
            self._settle(min(self._target, self._ceiling))
            return self._target

    def _settle(self, size: int) -> None:
        self._settled, self._target = True, size


class BatchQueue(Generic[T]):
    """Clips that wait for an extractor, in groups of one shape; the group that waits longest is served first.

    Args:
        sizers: Extractor -> its sizer.
        linger_seconds: How long a batch that is not full waits for more.
    """

    def __init__(self, sizers: Mapping[str, BatchSizer], linger_seconds: float) -> None:
        self._sizers = sizers
        self._linger = linger_seconds
        self._groups: dict[tuple[str, Hashable], deque[tuple[float, T]]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._stopped = False

    def put(self, name: str, shape: Hashable, clip: T) -> None:
        """A clip for the extractor ``name``; only clips of one shape meet in a batch."""
        with self._changed:
            self._groups.setdefault((name, shape), deque()).append((time.monotonic(), clip))
            self._changed.notify()

    def close(self) -> None:
        """No more clips will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Give nothing more out."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def take(self) -> tuple[str, list[T]] | None:
        """The next batch and its extractor; waits for one. None at the end."""
        with self._changed:
            while not self._stopped:
                wait = None
                for key in sorted(self._groups, key=lambda key: self._groups[key][0][0]):
                    group = self._groups[key]
                    target = self._sizers[key[0]].target
                    left = group[0][0] + self._linger - time.monotonic()
                    if len(group) >= target or self._closed or left <= 0:
                        return key[0], self._pop(key, target)
                    wait = left if wait is None else min(wait, left)
                if self._closed and not self._groups:
                    return None
                self._changed.wait(wait)
            return None

    def _pop(self, key: tuple[str, Hashable], target: int) -> list[T]:
        group = self._groups[key]
        batch = [group.popleft()[1] for _ in range(min(target, len(group)))]
        if not group:
            del self._groups[key]
        return batch


class Gate:
    """Bounds how many clips are under way.

    Attributes:
        limit: May be changed at any time.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._inside = 0
        self._stopped = False
        self._changed = threading.Condition()

    def enter(self) -> bool:
        """Wait for room; False when stopped."""
        with self._changed:
            while self._inside >= self.limit and not self._stopped:
                self._changed.wait()
            self._inside += not self._stopped
            return not self._stopped

    def leave(self) -> None:
        """A clip is done."""
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Let nobody in any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
