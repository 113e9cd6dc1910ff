"""Content hashes of files, remembered, so that a second run need not read the videos to know that it has them."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vidcore.cache import cache_dir
from vidcore.data.decode import VideoError
from vidcore.data.frame_folder import folder_sha256, folder_state

# A file changed in the same tick of the disk's clock as it was hashed would keep its time; NFS ticks in seconds.
SETTLED_SECONDS = 3.0
_BUSY_SECONDS = 10.0
_AT_ONCE = 400
_TABLE = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    sha256 BLOB NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells a file from a changed one without reading it."""

    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class FileHash:
    """SHA-256 of a file's content, and the state it was in."""

    sha256: str
    state: FileState


class UnreadableFileError(Exception):
    """Why a file has no hash, in words."""


class FileHashes:
    """Hashes of files, kept in one SQLite file that any number of processes of this machine may share.

    The cache is a convenience: where it cannot be read or written, files are hashed again.

    Args:
        file: The SQLite file; by default ``hashes.sqlite3`` in the cache folder.
        threads: Files read at once.
    """

    def __init__(self, file: Path | None = None, threads: int = 2) -> None:
        self._file = file if file is not None else cache_dir("hashes") / "hashes.sqlite3"
        self._threads = threads
        self._lock = threading.Lock()
        self._connection = self._open()

    def close(self) -> None:
        """Close the cache."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def of(self, paths: Iterable[Path]) -> dict[Path, FileHash | str]:
        """Hash of every path, or why it has none, in words."""
        wanted = list(dict.fromkeys(paths))
        known = self._known([_name(path) for path in wanted])
        found: dict[Path, FileHash | str] = {}
        states: dict[Path, FileState] = {}
        for path in wanted:
            try:
                states[path] = file_state(path)
            except UnreadableFileError as error:
                found[path] = str(error)
                continue
            remembered = known.get(_name(path))
            if remembered is not None and remembered.state == states[path]:
                found[path] = remembered
        todo = [path for path in states if path not in found]
        if len(todo) > 1 and self._threads > 1:
            with ThreadPoolExecutor(self._threads) as pool:
                fresh = dict(zip(todo, pool.map(hash_file, todo), strict=True))
        else:
            fresh = {path: hash_file(path) for path in todo}
        self._remember({_name(path): value for path, value in fresh.items() if isinstance(value, FileHash)})
        return found | fresh

    def _open(self) -> sqlite3.Connection | None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._file, timeout=_BUSY_SECONDS, check_same_thread=False)
            # What a power cut loses is hashed again.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(_TABLE)
            connection.commit()
        except (sqlite3.Error, OSError):
            return None
        return connection

    def _known(self, names: list[str]) -> dict[str, FileHash]:
        found: dict[str, FileHash] = {}
        with self._lock:
            if self._connection is None:
                return found
            for first in range(0, len(names), _AT_ONCE):
                part = names[first : first + _AT_ONCE]
                marks = ",".join("?" * len(part))
                try:
                    rows = self._connection.execute(f"SELECT * FROM files WHERE path IN ({marks})", part).fetchall()
                except sqlite3.Error:
                    return found
                for path, size, mtime_ns, inode, digest in rows:
                    found[path] = FileHash(bytes(digest).hex(), FileState(size, mtime_ns, _unsigned(inode)))
        return found

    def _remember(self, fresh: Mapping[str, FileHash]) -> None:
        now = time.time_ns()
        rows = [
            (name, value.state.size, value.state.mtime_ns, _signed(value.state.inode), bytes.fromhex(value.sha256))
            for name, value in fresh.items()
            if now - value.state.mtime_ns > SETTLED_SECONDS * 1e9
        ]
        with self._lock:
            if self._connection is None or not rows:
                return
            try:
                with self._connection:
                    self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)
            except sqlite3.Error:
                return


def file_state(path: Path) -> FileState:
    """State of a regular file, or of a folder of frame images.

    Raises:
        UnreadableFileError: There is none, it is empty, or it is something else (a pipe would be waited for in vain).
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UnreadableFileError(error.strerror or str(error)) from error
    except ValueError as error:
        raise UnreadableFileError(f"this is not a path: {error}") from error
    if stat.S_ISDIR(status.st_mode):
        return _folder_state(path)
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFileError("it is not a regular file")
    if status.st_size == 0:
        raise UnreadableFileError("the file is empty (0 bytes)")
    return FileState(status.st_size, status.st_mtime_ns, status.st_ino)


def _folder_state(path: Path) -> FileState:
    try:
        return FileState(*folder_state(path))
    except VideoError as error:
        raise UnreadableFileError(error.reason) from error
    except OSError as error:
        raise UnreadableFileError(error.strerror or str(error)) from error


def hash_file(path: Path) -> FileHash | str:
    """Hash of the content of a file or of a folder's frame images, or why it has none."""
    try:
        before = file_state(path)
        if path.is_dir():
            digest = folder_sha256(path)
        else:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        after = file_state(path)
    except UnreadableFileError as error:
        return str(error)
    except VideoError as error:
        return error.reason
    except OSError as error:
        return error.strerror or str(error)
    if before != after:
        return "the file changed while it was read"
    return FileHash(digest, before)


def _name(path: Path) -> str:
    return readable(Path(os.path.abspath(path)))  # noqa: PTH100 - resolve() asks the disk about every part of it


def readable(path: Path) -> str:
    """A path as text that can be printed and stored: bytes of its name that are not UTF-8 are spelt out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


# SQLite's integers are signed; some file systems number their files up to 2^64.
def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _unsigned(value: int) -> int:
    return value + (1 << 64) if value < 0 else value
