"""Ctrl-C and SIGTERM as a question that the loop answers between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from vidcore.errors import VidcoreError


class RunInterruptedError(VidcoreError):
    """Training was asked to stop; the message says how to go on."""

    exit_code = 130


class Interruption:
    """Within the block the first signal only sets ``asked``; the second one stops at once.

    A step that is half done would leave a state that no checkpoint describes. Outside the main thread
    signals cannot be caught, and nothing changes.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._answer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _answer(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
