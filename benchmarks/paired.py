"""Paired timing: A B A B ..., so that a machine whose speed drifts does not decide the result."""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """CPU seconds (user and system, children included) and wall seconds of one run."""

    cpu_seconds: float
    wall_seconds: float


@dataclass(frozen=True)
class Paired:
    """Costs of two things run in turn."""

    ours: Sequence[Cost]
    peer: Sequence[Cost]

    def ratio(self, figure: str = "cpu_seconds") -> tuple[float, float, float]:
        """Median, smallest and largest of peer / ours over the pairs: above 1, ours is cheaper."""
        ratios = [getattr(p, figure) / getattr(o, figure) for o, p in zip(self.ours, self.peer, strict=True)]
        return statistics.median(ratios), min(ratios), max(ratios)

    def line(self, name: str, figure: str = "cpu_seconds") -> str:
        """One row: medians of both, and the ratio with its spread."""
        ours = statistics.median(getattr(c, figure) for c in self.ours)
        peer = statistics.median(getattr(c, figure) for c in self.peer)
        middle, low, high = self.ratio(figure)
        return (
            f"{name:<44} ours {ours:9.4f} s   peer {peer:9.4f} s   "
            f"peer/ours {middle:6.2f} ({low:.2f} to {high:.2f}, n={len(self.ours)})"
        )


def measure(run: Callable[[], object]) -> Cost:
    """The cost of one call, its child processes included."""
    before, started = _cpu_seconds(), time.perf_counter()
    run()
    return Cost(_cpu_seconds() - before, time.perf_counter() - started)


def pair(ours: Callable[[], object], peer: Callable[[], object], runs: int = 7, warmup: int = 1) -> Paired:
    """Run both in turn ``runs`` times after ``warmup`` uncounted turns; who goes first alternates."""
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for turn in range(-warmup, runs):
        for which in (0, 1) if turn % 2 else (1, 0):
            cost = measure((ours, peer)[which])
            if turn >= 0:
                costs[which].append(cost)
    return Paired(*costs)


def command(*arguments: str) -> Callable[[], object]:
    """A run of a whole process, its output thrown away; a failing process is an error."""
    return lambda: subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _cpu_seconds() -> float:
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total
