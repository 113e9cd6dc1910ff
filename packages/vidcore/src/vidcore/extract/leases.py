"""Leases: how processes that work on one data set at once share its chunks, with nothing but files on a shared disk.

A chunk is leased by creating a file that must not exist; the file says who holds it and its time stamp is renewed
while that process lives. When the chunk is done a mark takes the lease's place, so that the others pass it over. A
lease whose holder has died is taken over: on the same machine the process table tells, on another one, or where the
holder was suspended, a time stamp that was not renewed does. Time stamps
are compared with each other, never with a local clock.

Should two processes take over one lease within the same instant, a chunk is computed twice; the store keeps one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from pathlib import Path
from typing import Any, Literal

from vidcore.errors import StoreError
from vidcore.store._owner import is_live, this_process

RENEW_SECONDS = 5.0
# A holder on another machine that did not renew for so long is taken for dead: long enough for a slow shared disk.
STALE_SECONDS = 60.0

Answer = Literal["mine", "held", "done"]


class Leases:
    """The leases of one job, in a folder of their own; a context manager.

    Args:
        folder: Made if it is not there. Processes share work when they are given the same one.
        stale_seconds: See ``STALE_SECONDS``.

    Raises:
        StoreError: The folder cannot be written.
    """

    def __init__(self, folder: Path, *, stale_seconds: float = STALE_SECONDS) -> None:
        self._folder = folder
        self._stale_seconds = stale_seconds
        self._me = {**this_process(), "token": secrets.token_hex(8)}
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="leases", daemon=True)
        self.taken_over = 0

    def __enter__(self) -> Leases:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._member.write_text(json.dumps(self._me), encoding="utf-8")
            self._began = self._member.stat().st_mtime
        except OSError as error:
            raise StoreError(f"cannot share work in {self._folder}: {error.strerror}") from error
        self._renewer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._renewer.join()
        for name in list(self._held):
            self._drop(name)
        self._tidy()

    def acquire(self, name: str) -> Answer:
        """Try to get a chunk; ``done`` where another process has finished it since this one began."""
        if self._is_done(name):
            return "done"
        if not self._create(name) and not self._take_over(name):
            return "held"
        if self._is_done(name):  # finished between the two looks
            self._drop(name)
            return "done"
        return "mine"

    def release(self, name: str) -> None:
        """A chunk that was acquired is done."""
        with contextlib.suppress(OSError):  # the mark saves others a look at the store, no more
            self._done(name).touch()
        self._drop(name)

    @property
    def _member(self) -> Path:
        return self._folder / f"{self._me['token']}.member"

    def _lease(self, name: str) -> Path:
        return self._folder / f"{name}.lease"

    def _done(self, name: str) -> Path:
        return self._folder / f"{name}.done"

    def _is_done(self, name: str) -> bool:
        try:
            return self._done(name).stat().st_mtime >= self._began
        except OSError:
            return False

    def _create(self, name: str) -> bool:
        try:
            with self._lease(name).open("x", encoding="utf-8") as file:
                json.dump(self._me, file)
        except FileExistsError:
            return False
        except OSError as error:
            raise StoreError(f"cannot share work in {self._folder}: {error.strerror}") from error
        with self._lock:
            self._held.add(name)
        return True

    def _take_over(self, name: str) -> bool:
        lease = self._lease(name)
        holder = self._holder(lease)
        if holder is None or self._lives(lease, holder):
            return False
        # Of several that see a dead lease, one succeeds in moving it away.
        aside = lease.with_name(f"{lease.name}.{secrets.token_hex(4)}")
        try:
            lease.rename(aside)
        except OSError:
            return False
        moved = self._holder(aside) or {}
        with contextlib.suppress(OSError):
            aside.unlink()
        if moved.get("token") != holder.get("token"):
            # What was moved is the fresh lease of one that was quicker: it goes back.
            with contextlib.suppress(FileExistsError), lease.open("x", encoding="utf-8") as file:
                json.dump(moved, file)
            return False
        if not self._create(name):
            return False
        self.taken_over += 1
        return True

    def _holder(self, lease: Path) -> dict[str, Any] | None:
        """Who holds it; None where it has gone. One that is being written, or was cut off, has no name yet."""
        try:
            text = lease.read_text(encoding="utf-8")
        except OSError:
            return None
        try:
            holder = json.loads(text)
        except json.JSONDecodeError:
            return {}
        return holder if isinstance(holder, dict) else {}

    def _lives(self, file: Path, holder: dict[str, Any]) -> bool:
        try:
            idle = self._now() - file.stat().st_mtime
        except OSError:
            return True
        # One that stands still is as good as dead, also on this machine: it was suspended.
        return idle < self._stale_seconds and (not holder or is_live(holder, idle, self._stale_seconds))

    def _now(self) -> float:
        """The time by the clock that stamps the files."""
        try:
            os.utime(self._member)
            return self._member.stat().st_mtime
        except FileNotFoundError:
            self._member.write_text(json.dumps(self._me), encoding="utf-8")
            return self._member.stat().st_mtime

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            with self._lock:
                held = list(self._held)
            for path in [self._member, *(self._lease(name) for name in held)]:
                with contextlib.suppress(OSError):
                    os.utime(path)

    def _drop(self, name: str) -> None:
        with self._lock:
            self._held.discard(name)
        lease = self._lease(name)
        holder = self._holder(lease)
        if holder is not None and holder.get("token") == self._me["token"]:
            with contextlib.suppress(OSError):
                lease.unlink()

    def _tidy(self) -> None:
        """The last one out removes what is left; a newcomer's files keep the folder."""
        with contextlib.suppress(OSError):
            self._member.unlink()
            for path in self._folder.glob("*.member"):
                if self._lives_elsewhere(path):
                    return
                path.unlink()
            for path in self._folder.glob("*.done"):
                path.unlink()
            self._folder.rmdir()

    def _lives_elsewhere(self, member: Path) -> bool:
        holder = self._holder(member)
        if not holder:
            return holder is not None
        # The member files are renewed by a thread, so one that stands still belongs to a machine that is gone.
        probe = self._folder / f"{self._me['token']}.now"
        probe.touch()
        idle = probe.stat().st_mtime - member.stat().st_mtime
        probe.unlink()
        return is_live(holder, idle, self._stale_seconds)
