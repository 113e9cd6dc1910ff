"""Rows of videos and targets from a folder of classes or a CSV, TSV or JSON Lines manifest.

A manifest has the columns ``video`` and ``label``, and may have ``split``, ``group``, ``start_seconds`` and
``end_seconds`` (a half-open segment); every other column is kept in ``row.extra``. Paths are relative to the
manifest. A folder has one subfolder per class, possibly below ``train``, ``val`` and ``test``; a folder that holds
``manifest.csv``, ``.tsv`` or ``.jsonl`` is read through it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from vidcore.errors import ManifestError

from ._folder import iter_folder
from ._rows import COLUMNS, SPLITS, Row, closest, parse_row

__all__ = ["COLUMNS", "SPLITS", "Manifest", "Row", "iter_rows", "read_source", "write_manifest"]

MANIFEST_NAMES = ("manifest.csv", "manifest.tsv", "manifest.jsonl")
SUFFIXES = (".csv", ".tsv", ".jsonl")
SHOWN = 10


@dataclass(frozen=True)
class Manifest:
    """All rows of a data source, checked: files exist, labels are there, no row twice.

    Attributes:
        source: The folder or manifest file read.
        rows: In the order of the file, or sorted by class and name for a folder.
    """

    source: Path
    rows: list[Row] = field(repr=False)

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        """Iterate over the rows."""
        return iter(self.rows)

    def __getitem__(self, index: int) -> Row:
        """Row by position."""
        return self.rows[index]

    @cached_property
    def classes(self) -> list[str]:
        """Distinct labels, sorted: the position is the class index."""
        return sorted({row.label for row in self.rows if row.label is not None})

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every row, paths relative to the source, so that a moved data set keeps it."""
        base = self.source if self.source.is_dir() else self.source.parent
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(json.dumps([_relative(row.video, base), *_values(row)], sort_keys=True).encode())
        return digest.hexdigest()


def iter_rows(path: str | os.PathLike[str], *, labels: bool = True) -> Iterator[Row]:
    """Rows one by one, never all in memory. Each is checked by itself; files are not looked up.

    Args:
        path: A folder of classes, a folder with a manifest, or a ``.csv``, ``.tsv`` or ``.jsonl`` manifest.
        labels: Whether every row must have a label; without, a folder may also hold videos directly.

    Raises:
        ManifestError: No such source, a column or label missing, a value unlike what its column says, an empty folder.
    """
    source = _source(path)
    if source.is_dir():
        yield from iter_folder(source, labels=labels)
        return
    for _, row in _numbered(source, labels=labels):
        yield row


def read_source(path: str | os.PathLike[str], *, labels: bool = True, check_files: bool = True) -> Manifest:
    """Read all rows of a folder or manifest and check them together.

    Raises:
        ManifestError: As :func:`iter_rows`; also no rows, files that do not exist, and rows that appear twice.
    """
    source = _source(path)
    if source.is_dir():
        return Manifest(source, list(iter_folder(source, labels=labels)))
    rows: list[Row] = []
    lines: list[int] = []
    for line, row in _numbered(source, labels=labels):
        rows.append(row)
        lines.append(line)
    if not rows:
        raise ManifestError(f"{source}: the manifest has no rows; add one line per video below the header")
    _refuse_duplicates(source, rows, lines)
    if check_files:
        _refuse_missing(source, rows, lines)
    return Manifest(source, rows)


def write_manifest(rows: Iterable[Row], path: str | os.PathLike[str]) -> None:
    """Write rows that :func:`read_source` reads back equal: ``.csv``, ``.tsv`` or ``.jsonl`` by the path's ending.

    Paths below the manifest's folder are written relative to it. In CSV and TSV, extra values become text. The file
    is written under a temporary name and renamed. To JSON Lines rows are streamed; a table's header needs all of them.

    Raises:
        ManifestError: The path ends in something else.
    """
    path = Path(path)
    suffix = _suffix(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        if suffix == ".jsonl":
            for row in rows:
                file.write(json.dumps(_record(row, path.parent), ensure_ascii=False) + "\n")
        else:
            _write_table(list(rows), path.parent, file, "\t" if suffix == ".tsv" else ",")
    temporary.replace(path)


def _write_table(rows: list[Row], base: Path, file: TextIO, delimiter: str) -> None:
    extras = list(dict.fromkeys(name for row in rows for name in row.extra))
    used = ["video", "label", *(c for c in COLUMNS[2:] if any(getattr(row, c) is not None for row in rows)), *extras]
    writer = csv.DictWriter(file, used, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(_record(row, base))


def _source(path: str | os.PathLike[str]) -> Path:
    source = Path(path)
    if not source.exists():
        raise ManifestError(
            f"{source}: there is no such folder or manifest; give a folder with one subfolder per class, "
            f"or a manifest ({', '.join(SUFFIXES)})"
        )
    if source.is_dir():
        found = [source / name for name in MANIFEST_NAMES if (source / name).is_file()]
        if len(found) > 1:
            names = ", ".join(item.name for item in found)
            raise ManifestError(f"{source}: it holds several manifests ({names}); give the one to use")
        return found[0] if found else source
    _suffix(source)
    return source


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ManifestError(f"{path}: a manifest ends in {', '.join(SUFFIXES)}, not {suffix or 'nothing'!r}")
    return suffix


def _numbered(source: Path, *, labels: bool) -> Iterator[tuple[int, Row]]:
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            records = _json_lines(source, file) if _suffix(source) == ".jsonl" else _table(source, file, labels=labels)
            for line, values in records:
                yield line, parse_row(source, line, values, labels=labels)
    except UnicodeDecodeError as error:
        raise ManifestError(f"{source}: it is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise ManifestError(f"{source}: cannot read it: {error.strerror}") from error


def _table(source: Path, file: Iterable[str], *, labels: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(file, delimiter="\t" if source.suffix.lower() == ".tsv" else ",", strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(source, header, labels=labels)
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(header):
                raise ManifestError(
                    f"{source}, line {reader.line_num}: {len(fields)} values for {len(header)} columns "
                    f"({', '.join(header)}); quote values that contain the separator"
                )
            yield reader.line_num, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise ManifestError(f"{source}, line {reader.line_num}: {error}") from error


def _check_header(source: Path, header: list[str], *, labels: bool) -> None:
    if not any(header):
        raise ManifestError(f"{source}: the manifest is empty; its first line names the columns: video,label")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ManifestError(f"{source}: the column {twice[0]!r} appears twice")
    for column in ("video", "label") if labels else ("video",):
        if column not in header:
            raise ManifestError(f"{source}: there is no column {column!r}{closest(column, header)}")


def _json_lines(source: Path, file: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, text in enumerate(file, 1):
        if not text.strip():
            continue
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ManifestError(f"{source}, line {line}: not JSON: {error.msg} at column {error.colno}") from error
        if not isinstance(values, dict):
            raise ManifestError(f'{source}, line {line}: not an object such as {{"video": "a.mp4", "label": "run"}}')
        yield line, values


def _refuse_duplicates(source: Path, rows: list[Row], lines: list[int]) -> None:
    first: dict[tuple[Path, float | None, float | None], int] = {}
    for row, line in zip(rows, lines, strict=True):
        key = (row.video, row.start_seconds, row.end_seconds)
        before = first.setdefault(key, line)
        if before != line:
            raise ManifestError(
                f"{source}, line {line}: {row.video} is already on line {before}; remove one, "
                "or give different start_seconds and end_seconds"
            )


def _refuse_missing(source: Path, rows: list[Row], lines: list[int]) -> None:
    known: dict[Path, bool] = {}
    missing = []
    for row, line in zip(rows, lines, strict=True):
        if not known.setdefault(row.video, row.video.is_file()):
            missing.append(f"  line {line}: {row.video}")
    if missing:
        more = f"\n  and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise ManifestError(
            f"{source}: {len(missing)} of {len(rows)} videos do not exist (paths are relative to the manifest)\n"
            + "\n".join(missing[:SHOWN])
            + more
        )


def _relative(video: Path, base: Path) -> str:
    return video.relative_to(base).as_posix() if video.is_relative_to(base) else str(video)


def _values(row: Row) -> list[Any]:
    return [row.label, row.split, row.group, row.start_seconds, row.end_seconds, dict(row.extra)]


def _record(row: Row, base: Path) -> dict[str, Any]:
    named = dict(zip(COLUMNS, [_relative(row.video, base), *_values(row)[:-1]], strict=True))
    return {name: value for name, value in named.items() if value is not None} | dict(row.extra)
