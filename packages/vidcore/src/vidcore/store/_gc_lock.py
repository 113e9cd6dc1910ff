"""GcLock: one gc at a time. Writers and readers need no lock, so nothing else ever waits for it."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from types import TracebackType

from vidcore.errors import StoreError

from ._owner import GRACE_SECONDS, in_words, is_live, this_process

LOCK = "gc.lock"


class GcLock:
    """A file that only one process can create, on network disks too; a dead gc's is taken over.

    Attributes:
        now: The disk's own idea of the time, which the times of other files are compared with.
        grace_seconds: After how long without a sign of life a process on another machine is taken for dead.
    """

    def __init__(self, store: Path, grace_seconds: float = GRACE_SECONDS) -> None:
        self.grace_seconds = grace_seconds
        self.now = 0.0
        self._path = store / LOCK
        self._token = secrets.token_hex(8)

    def touch(self) -> None:
        """Give a sign of life."""
        os.utime(self._path)
        self.now = self._path.stat().st_mtime

    def __enter__(self) -> GcLock:
        """Take the lock.

        Raises:
            StoreError: Another gc is at work.
            OSError: The store cannot be written.
        """
        if not self._create():
            self._break_stale()
            if not self._create():
                raise self._taken()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._holder().get("token") == self._token:
            self._path.unlink(missing_ok=True)

    def _create(self) -> bool:
        try:
            fd = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump({**this_process(), "token": self._token}, file)
        self.now = self._path.stat().st_mtime
        return True

    def _break_stale(self) -> None:
        probe = self._path.with_name(f".new-{LOCK}-{self._token}")
        try:
            probe.touch()
            idle = probe.stat().st_mtime - self._path.stat().st_mtime
        except FileNotFoundError:
            return
        finally:
            probe.unlink(missing_ok=True)
        if is_live(self._holder(), idle, self.grace_seconds):
            raise self._taken()
        self._path.unlink(missing_ok=True)

    def _holder(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):
            return {}

    def _taken(self) -> StoreError:
        return StoreError(
            f"another gc is at work in {self._path.parent}: {in_words(self._holder())}\n  wait until it has ended"
        )
