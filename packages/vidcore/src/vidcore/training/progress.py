"""How far a run is: a bar or lines for a person here, ``progress.json`` for one elsewhere."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vidcore.errors import RunError
from vidcore.training.display import Bar, Display, Lines
from vidcore.training.files import write_text

# The file is rewritten this often by a thread of its own, also while one step takes minutes.
HEARTBEAT_SECONDS = 10.0
# And after a step, at most this often.
_FILE_SECONDS = 0.5


class Progress:
    """Counts steps, tells their rate and how long the rest will take.

    Args:
        file: ``progress.json`` to keep up to date; ``None``: none.
        show: print to the terminal: a bar, or plain lines where the output is no terminal.
        log: ``log.txt`` to append notes to.
        verbose: also print details, one line an epoch among them; where the output is no terminal, steps now and then.
    """

    def __init__(
        self, file: Path | None = None, *, show: bool = False, log: Path | None = None, verbose: bool = False
    ) -> None:
        self._file = file
        self._log = log
        self._display: Display | None = (Bar() if sys.stdout.isatty() else Lines(verbose)) if show else None
        self._verbose = verbose
        self._facts: dict[str, Any] = {"state": "running", "phase": "starting", "step": 0, "total": 0}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._written = 0.0
        self._began, self._first, self._clips = time.monotonic(), 0, 0
        self._later = 0

    def __enter__(self) -> Self:
        if self._file is not None:
            self._write()
            self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._display is not None:
            self._display.close()
        if self._file is not None:
            self._write()

    def begin(self, phase: str, total: int, done: int = 0, later: int = 0) -> None:
        """Start counting ``total`` steps of ``phase``, of which ``done`` were done before.

        ``later`` steps of phases that follow are in the remaining time.
        """
        self._began, self._first, self._clips = time.monotonic(), done, 0
        self._later = later
        self._facts |= {"phase": phase, "step": done, "total": total}
        for name in ("rate", "clips_per_second", "eta_seconds"):
            self._facts[name] = None
        if self._display is not None:
            self._display.begin(phase, total, done)
        self._write_now_and_then(force=True)

    def advance(self, count: int = 1, *, clips: int = 0, **facts: float | int) -> None:
        """Count steps; ``clips`` were seen in them, and ``facts`` (loss, epoch) are shown."""
        self._clips += clips
        step = int(self._facts["step"]) + count
        elapsed = max(time.monotonic() - self._began, 1e-9)
        rate = (step - self._first) / elapsed
        self._facts |= {
            "step": step,
            "rate": round(rate, 4),
            "clips_per_second": round(self._clips / elapsed, 2) if self._clips else None,
            "eta_seconds": round((int(self._facts["total"]) - step + self._later) / rate, 1),
            **{name: value if value == value else None for name, value in facts.items()},
        }
        if self._display is not None:
            self._display.advance(self._facts)
        self._write_now_and_then()

    def tell(self, **facts: float | int | str) -> None:
        """Facts that stay in ``progress.json`` until they are told anew."""
        self._facts |= facts

    @contextmanager
    def within(self, phase: str, total: int) -> Iterator[None]:
        """A phase inside another one (validation inside training): named, counted apart, not in the ETA's steps."""
        outer = self._facts["phase"]
        self._facts |= {"phase": phase, "phase_step": 0, "phase_total": total}
        self._write_now_and_then(force=True)
        try:
            yield
        finally:
            self._facts["phase"] = outer
            for name in ("phase_step", "phase_total"):
                self._facts.pop(name, None)

    @contextmanager
    def counting(self, phase: str) -> Iterator[Callable[[int, int], None]]:
        """A phase whose callee reports ``(done, total)``; one that never does is not shown."""
        shown = False

        def told(done: int, total: int) -> None:
            nonlocal shown
            if not shown:
                # What was there at the first report was not made in this sitting.
                self.begin(phase, total)
                shown = True
            self.advance(done - int(self._facts["step"]))

        yield told

    def inner(self, count: int) -> None:
        """Count within ``within``."""
        self._facts["phase_step"] = int(self._facts["phase_step"]) + count
        self._write_now_and_then()

    def note(self, text: str) -> None:
        """A line for the terminal and the log."""
        if self._display is not None:
            self._display.line(text)
        self.log(text)

    def detail(self, text: str) -> None:
        """A line for the log, and for the terminal of a person who asked for all of them."""
        if self._display is not None and self._verbose:
            self._display.line(text)
        self.log(text)

    @property
    def eta_seconds(self) -> float | None:
        """Time that the phase and those that follow it will take, as far as is known."""
        found: float | None = self._facts.get("eta_seconds")
        return found

    def log(self, text: str) -> None:
        """A line for the log only."""
        if self._log is not None:
            stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
            with self._log.open("a", encoding="utf-8") as file:
                file.write(f"{stamp} {text}\n")

    def end(self, state: str, message: str = "") -> None:
        """The final state: ``done``, ``stopped`` or ``failed``, and why."""
        self._facts |= {"state": state, "message": message, "eta_seconds": 0.0 if state == "done" else None}

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                self._write()
            except RunError:
                # A full disk stops the run where a checkpoint is written; a heartbeat cannot tell anybody.
                continue

    def _write_now_and_then(self, *, force: bool = False) -> None:
        if self._file is not None and (force or time.monotonic() - self._written >= _FILE_SECONDS):
            self._write()

    def _write(self) -> None:
        if self._file is None:
            return
        with self._lock:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            facts = {**self._facts, "heartbeat": now, "pid": os.getpid(), "host": socket.gethostname()}
            write_text(self._file, json.dumps(facts, indent=2) + "\n")
            self._written = time.monotonic()
