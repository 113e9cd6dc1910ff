"""Files that are either whole or not there, and what the operating system's refusals mean for a store."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vidcore.errors import StoreError

FORMAT = 1
# Names that begin so belong to work in progress: readers pass over them, gc removes what is left of them.
PENDING = ".new-"
TRASH = ".trash-"

FULL = (errno.ENOSPC, errno.EDQUOT)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write indented JSON under a temporary name, wait for the disk, rename: it is there whole or not at all."""
    temporary = path.with_name(f"{PENDING}{path.name}-{secrets.token_hex(4)}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=2, allow_nan=False, ensure_ascii=False)
            file.write("\n")
            file.flush()
            sync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object and check the format version in it.

    Raises:
        StoreError: A newer vidcore wrote it.
        OSError: It cannot be read.
        ValueError: It is not a JSON object.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError(f"{path} is not a JSON object")
    written = data.get("format")
    if isinstance(written, int) and written > FORMAT:
        raise StoreError(
            f"{path.parent} was written by a newer vidcore: its format is {written}, this one reads {FORMAT}\n"
            "  upgrade: pip install --upgrade vidcore"
        )
    return data


def sync(fd: int) -> None:
    """Wait until a file's bytes, and its size, are on the disk."""
    # fdatasync leaves out the time stamps only; macOS does not have it.
    getattr(os, "fdatasync", os.fsync)(fd)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as exc:
        # Some network file systems do not sync folders; they commit names on their own.
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def write_at(fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of ``data`` at ``offset``; a full disk writes a part first and is only then an error."""
    view = memoryview(data).cast("B")
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn what the system refuses into an error a person can act on; see ``refusal``.

    Raises:
        StoreError: In place of an ``OSError``.
    """
    try:
        yield
    except OSError as exc:
        raise refusal(exc, doing) from exc


def check_writable(folder: Path) -> None:
    """Say why a folder cannot be written.

    Raises:
        StoreError: The disk is read-only, or this user may not write there.
    """
    if not os.access(folder, os.W_OK):
        code = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
        raise refusal(OSError(code, os.strerror(code)), f"write to {folder}")


def refusal(exc: OSError, doing: str) -> StoreError:
    """What an ``OSError`` means to a person: ``doing`` completes 'cannot ...'."""
    if exc.errno in FULL:
        return StoreError(
            f"the disk is full: cannot {doing}\n"
            "  every clip that was flushed so far is kept and stays valid; free some space and run it again: "
            "only what is missing is computed"
        )
    if exc.errno == errno.EROFS:
        return StoreError(
            f"the disk is read-only: cannot {doing}\n"
            "  features that are there can be read; give another folder to write new ones to"
        )
    if exc.errno in (errno.EACCES, errno.EPERM):
        return StoreError(f"permission denied: cannot {doing}\n  ask its owner, or give a folder of your own")
    return StoreError(f"cannot {doing}: {exc.strerror or exc}")
