"""Which data a run has: its rows, and what is in their files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from vidcore.data.decode import VideoError
from vidcore.data.frame_folder import frame_files
from vidcore.data.manifest import Manifest, Row, read_source
from vidcore.training.run import RunFolder

_PIECE = 64 * 1024
_SHOWN = 3
_READERS = 8

Segment = tuple[str, float | None, float | None]


@dataclass(frozen=True, slots=True, eq=False)
class OpenedData:
    """Rows of a source and a mark of the contents of each of their files.

    orders  source -> its classes in the order of their indices, where it states one
    """

    manifest: Manifest
    marks: Mapping[Path, str]
    orders: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the rows and the marks of their files."""
        digest = hashlib.sha256(self.manifest.fingerprint.encode())
        for row in self.manifest:
            digest.update(self.marks[row.video].encode() + b"\n")
        return digest.hexdigest()


def opened(manifest: Manifest, orders: Mapping[str, Sequence[str]] | None = None) -> OpenedData:
    """Mark every file of ``manifest``; see ``OpenedData``."""
    videos = list(dict.fromkeys(row.video for row in manifest))
    # Reading is waiting, on a network's disk above all.
    with ThreadPoolExecutor(_READERS) as pool:
        marks = dict(zip(videos, pool.map(content_mark, videos), strict=True))
    return OpenedData(manifest, marks, orders or {})


def content_mark(path: Path) -> str:
    """Sixteen hex digits that depend on a file's size, beginning, middle and end, 64 KiB each, and on no date.

    Files up to 192 KiB are read whole. A file that differs only between the pieces goes unseen; containers
    keep sizes and positions of all frames at one of their ends, so another encoding differs there.
    """
    if path.is_dir():
        return _folder_mark(path)
    if not path.is_file():
        return "absent"
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= 3 * _PIECE:
            digest.update(file.read())
        else:
            for start in (0, (size - _PIECE) // 2, size - _PIECE):
                file.seek(start)
                digest.update(file.read(_PIECE))
    return digest.hexdigest()[:16]


def _folder_mark(folder: Path) -> str:
    """Of a folder of frame images: the names and sizes of all, and the marks of the first, middle and last one."""
    try:
        files = frame_files(folder)
    except VideoError:
        return "absent"
    digest = hashlib.sha256("".join(f"{file.name}/{file.stat().st_size}\n" for file in files).encode())
    for place in (0, len(files) // 2, len(files) - 1):
        digest.update(content_mark(files[place]).encode())
    return digest.hexdigest()[:16]


def data_changes(source: str, data: OpenedData, run: RunFolder, known: str) -> list[str]:
    """What differs from the data that a run began with, one line each; ``known`` is the fingerprint it had then."""
    if data.fingerprint == known:
        return []
    before = {_segment(row): row for row in _stored_rows(run)}
    now = {_segment(row): row for row in data.manifest}
    other = [
        row.video
        for key, row in now.items()
        if key in before and before[key].extra.get("content", data.marks[row.video]) != data.marks[row.video]
    ]
    labels = [key[0] for key, row in now.items() if key in before and before[key].label != row.label]
    found = [
        *_line("new rows", [key[0] for key in now if key not in before]),
        *_line("rows that are gone", [key[0] for key in before if key not in now]),
        *_line("files with other contents", [str(video) for video in dict.fromkeys(other)]),
        *_line("rows with another label", labels),
    ]
    return [f"data {source}: {line}" for line in found] or [f"data {source}: the rows' columns or order are others"]


def _stored_rows(run: RunFolder) -> Iterable[Row]:
    yield from read_source(run.split, labels=False, check_files=False)
    if run.skipped.exists():
        yield from read_source(run.skipped, labels=False, check_files=False)


def _segment(row: Row) -> Segment:
    return str(row.video.absolute()), row.start_seconds, row.end_seconds


def _line(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"{what} ({len(names)}): {', '.join(names[:_SHOWN])}{more}"]
