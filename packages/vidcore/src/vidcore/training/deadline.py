"""How long a sitting may take."""

from __future__ import annotations

import time


class Deadline:
    """``seconds`` from now; ``None``: never."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self._began = time.monotonic()

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.seconds is not None and time.monotonic() - self._began >= self.seconds

    @property
    def in_words(self) -> str:
        """``2h``, ``1h 30m``, ``45s``."""
        seconds = round(self.seconds or 0)
        parts = [(seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
        return " ".join(f"{value}{unit}" for value, unit in parts if value) or "0s"
