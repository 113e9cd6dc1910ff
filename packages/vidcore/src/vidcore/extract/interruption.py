"""Ctrl-C and SIGTERM: what was begun is written, and a person is told that nothing is lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from vidcore.errors import VidcoreError


class ExtractionInterruptedError(VidcoreError):
    """Extraction was asked to stop."""

    exit_code = 130


@contextmanager
def interrupted_by_signals(store: Path) -> Iterator[None]:
    """Within the block, SIGTERM (a scheduler's word) does what Ctrl-C does. For the main thread.

    Raises:
        ExtractionInterruptedError: In place of ``KeyboardInterrupt``; says how to go on.
    """

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise ExtractionInterruptedError(
            f"stopped: every finished clip is in {store}\n  run the same command again to go on; only what is missing "
            "is done"
        ) from None
    finally:
        signal.signal(signal.SIGTERM, before)
