"""Rows that gave no features: which, at which stage, why; and the file that lists them."""

from __future__ import annotations

import csv
import os
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from vidcore.errors import StoreError

COLUMNS = ("path", "row", "stage", "reason")
_LOCK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row without features.

    Attributes:
        path: The video.
        row: Position in the data, from 0.
        stage: ``open``, ``demux``, ``decode``, ``read``, ``timeout``, ``crash`` (see ``VideoError``), ``preprocess``
            or ``model``.
        reason: What was found.
    """

    path: Path
    row: int
    stage: str
    reason: str


class FailureFile:
    """``failures.csv``: rewritten whole and renamed, so that it is never half; shared by the processes of a job.

    A row that was looked at again loses its old line, whatever came of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def update(self, looked_at: Container[int], failed: Iterable[FailedRow], total: int | None) -> None:
        """Replace the lines of the rows ``looked_at`` by ``failed``; with ``total``, drop rows that are no more.

        Raises:
            StoreError: The file cannot be written.
        """
        try:
            with _lock(self.path):
                before = self.read()
                kept = [item for item in before if item.row not in looked_at and (total is None or item.row < total)]
                after = sorted([*kept, *failed], key=lambda item: item.row)
                if after != before:
                    self._write(after)
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {error.strerror or error}") from error

    def read(self) -> list[FailedRow]:
        """What it lists; nothing where it is not there or is not such a file."""
        try:
            with self.path.open(encoding="utf-8", newline="", errors="surrogateescape") as file:
                rows = list(csv.DictReader(file))
        except FileNotFoundError:
            return []
        found = []
        for row in rows:
            number = row.get("row") or ""
            if number.isdigit():
                found.append(FailedRow(Path(row["path"]), int(number), row["stage"], row["reason"]))
        return found

    def _write(self, rows: list[FailedRow]) -> None:
        if not rows:
            self.path.unlink(missing_ok=True)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            with temporary.open("w", encoding="utf-8", newline="", errors="surrogateescape") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(COLUMNS)
                writer.writerows((row.path.absolute(), row.row, row.stage, row.reason) for row in rows)
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One writer at a time, where the disk keeps locks; where it does not, a line may be lost, never the features."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except (Timeout, OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()
