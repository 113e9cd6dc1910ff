"""Progress on the terminal: a bar that moves, or plain lines where nobody watches one."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

_LINE_SECONDS = 15.0


class Display(Protocol):
    """Shows how far a phase is."""

    def begin(self, phase: str, total: int, done: int) -> None:
        """A phase starts."""
        ...

    def advance(self, facts: Mapping[str, Any]) -> None:
        """``facts``: step, total, rate, eta_seconds and, in training, loss and epoch."""
        ...

    def line(self, text: str) -> None:
        """A line that stays."""
        ...

    def close(self) -> None:
        """The end of all phases."""
        ...


class Bar:
    """A bar with rate, loss and remaining time, redrawn in place."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            refresh_per_second=5,
        )
        self._task: Any = None

    def begin(self, phase: str, total: int, done: int) -> None:
        """Show a bar of its own for the phase."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(phase, total=total, completed=done, facts="")
        self._progress.start()

    def advance(self, facts: Mapping[str, Any]) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=facts["step"], facts=in_words(facts))

    def line(self, text: str) -> None:
        """Print above the bar."""
        self._progress.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._progress.stop()


class Lines:
    """Lines that stay; with ``verbose`` also one a phase, and one every quarter of a minute."""

    def __init__(self, verbose: bool = False) -> None:
        self._verbose = verbose
        self._phase, self._printed = "", 0.0

    def begin(self, phase: str, total: int, done: int) -> None:
        """Name the phase."""
        self._phase, self._printed = phase, time.monotonic()
        after = f", {done} done before" if done else ""
        if self._verbose:
            self.line(f"{phase}: {total} steps{after}")

    def advance(self, facts: Mapping[str, Any]) -> None:
        """Print now and then."""
        if self._verbose and time.monotonic() - self._printed >= _LINE_SECONDS:
            self._printed = time.monotonic()
            self.line(f"{self._phase}: {facts['step']}/{facts['total']}  {in_words(facts)}")

    def line(self, text: str) -> None:
        """Print."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        """Nothing is open."""


def in_words(facts: Mapping[str, Any]) -> str:
    """``epoch 3/10  31.2 clips/s  loss 0.42  ETA 1:05``."""
    parts = []
    if facts.get("epoch"):
        parts.append(f"epoch {facts['epoch']}/{facts['epochs']}" if facts.get("epochs") else f"epoch {facts['epoch']}")
    if facts.get("clips_per_second"):
        parts.append(f"{facts['clips_per_second']:.1f} clips/s")
    elif facts.get("rate"):
        parts.append(f"{facts['rate']:.1f}/s")
    if facts.get("loss") is not None:
        parts.append(f"loss {facts['loss']:.3f}")
    if facts.get("eta_seconds") is not None:
        minutes, seconds = divmod(round(facts["eta_seconds"]), 60)
        hours, minutes = divmod(minutes, 60)
        parts.append(f"ETA {hours}:{minutes:02}:{seconds:02}" if hours else f"ETA {minutes}:{seconds:02}")
    return "  ".join(parts)
