"""Rows of videos and targets from a folder of classes or a CSV, TSV or JSON Lines manifest.

A manifest has the columns ``video`` and ``label``, and may have ``split``, ``group``, ``start_seconds`` and
``end_seconds`` (a half-open segment); every other column is kept in ``row.extra``. Paths are relative to the
manifest. A folder has one subfolder per class, possibly below ``train``, ``val`` and ``test``; a folder that holds
``manifest.csv``, ``.tsv`` or ``.jsonl`` is read through it. Published data sets are read as they lie, by their own
lists: ``vidcore.data.layouts``.

Beside a manifest, ``<name>.classes.json`` may state the order of the classes and which are mirror images of each other:
``{"classes": ["left", "right"], "flip_map": {"left": "right"}}``.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from vidcore.errors import ConfigError, ManifestError

from ._classes import stated_classes
from ._folder import iter_folder, left_out
from ._json import parse_json
from ._names import NamesOnDisk
from ._rows import COLUMNS, SPLITS, Row, closest, parse_row
from ._table import read_table, separator_of
from .layouts import Layout, find_layout, read_published

__all__ = [
    "COLUMNS",
    "SPLITS",
    "Manifest",
    "Row",
    "iter_rows",
    "layout_of",
    "read_source",
    "write_manifest",
]

MANIFEST_NAMES = ("manifest.csv", "manifest.tsv", "manifest.jsonl")
SUFFIXES = (".csv", ".tsv", ".jsonl")
SHOWN = 10
HEADER_CHARACTERS = 1 << 16


@dataclass(frozen=True)
class Manifest:
    """All rows of a data source, checked: files exist, labels are there, no row twice.

    Attributes:
        source: The folder or manifest file read.
        rows: In the order of the file, or sorted by class and name for a folder.
        published: Names of the classes in the order of their indices, where the data set states one.
        flip_map: Class -> class of its mirror image, where the data set states any.
        layout: Name of the published layout it was read by; empty: a plain folder or manifest.
        notes: What a person should be told about the reading, the layout first.
        missing: Videos that the lists of a published data set name and that are not there.
    """

    source: Path
    rows: list[Row] = field(repr=False)
    published: tuple[str, ...] = field(default=(), repr=False)
    flip_map: Mapping[str, str] = field(default_factory=dict, repr=False)
    layout: str = ""
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = field(default=(), repr=False)

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
        """Distinct labels in the published order, or sorted: the position is the class index."""
        found = {row.label for row in self.rows if row.label is not None}
        return [name for name in self.published if name in found] or sorted(found)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every row, paths relative to the source, so that a moved data set keeps it."""
        base = self.source if self.source.is_dir() else self.source.parent
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(json.dumps([_relative(row.video, base), *_values(row)], sort_keys=True).encode())
        if self.published:
            digest.update(json.dumps(self.published).encode())
        return digest.hexdigest()


def iter_rows(path: str | os.PathLike[str], *, labels: bool = True) -> Iterator[Row]:
    """Rows one by one, never all in memory. Each is checked by itself; files are not looked up.

    Args:
        path: A folder of classes, a folder with a manifest, or a ``.csv``, ``.tsv`` or ``.jsonl`` manifest; not a
            published layout, whose rows come from ``read_source``.
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


def layout_of(path: str | os.PathLike[str], name: str | None = None) -> Layout | None:
    """The published layout of a source, by its name or its files; ``None``: it is a plain folder or manifest.

    Raises:
        ManifestError, ConfigError: There is no such source, as ``find_layout``.
    """
    source = Path(path)
    if not source.exists():
        raise ManifestError(_no_source(source))
    if name is None and (_manifests_in(source) if source.is_dir() else _is_manifest(source)):
        return None
    return find_layout(source, name)


def read_source(
    path: str | os.PathLike[str],
    *,
    labels: bool = True,
    check_files: bool = True,
    layout: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Manifest:
    """Read all rows of a folder, a manifest or a published data set, and check them together.

    Args:
        path: What is read.
        labels: Whether every row must have a label. Of a published data set, rows without one are then left out.
        check_files: Whether the files of a manifest must exist.
        layout: Name of a published layout, or ``plain`` for none; by default it is recognised by its files.
        options: Of the layout.

    Raises:
        ManifestError: As :func:`iter_rows`; also no rows, files that do not exist, rows that appear twice, and a
            source that fits several layouts.
        ConfigError: Options that the layout does not have.
    """
    published = layout_of(path, layout)
    if published is not None:
        reading, kept = read_published(published, Path(path), options or {}, labels=labels)
        return Manifest(
            Path(path), kept, reading.classes, dict(reading.flip_map), published.name,
            notes=tuple(reading.notes), missing=tuple(reading.missing),
        )  # fmt: skip
    if options:
        raise ConfigError(
            f"data.options are for named data sets and published layouts; {os.fspath(path)!r} is a plain "
            f"{'folder' if os.path.isdir(path) else 'manifest'}"  # noqa: PTH112
        )
    source = _source(path)
    if source.is_dir():
        rows = list(iter_folder(source, labels=labels))
        others = left_out(source)
        return Manifest(source, rows, notes=() if others is None else (others,))
    rows = []
    lines: list[int] = []
    for line, row in _numbered(source, labels=labels):
        rows.append(row)
        lines.append(line)
    if not rows:
        raise ManifestError(f"{source}: the manifest has no rows; add one line per video below the header")
    _refuse_duplicates(source, rows, lines)
    if check_files:
        _refuse_missing(source, rows, lines)
    return Manifest(source, rows, *stated_classes(source, rows))


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
        raise ManifestError(_no_source(source))
    if source.is_dir():
        found = _manifests_in(source)
        if len(found) > 1:
            names = ", ".join(item.name for item in found)
            raise ManifestError(f"{source}: it holds several manifests ({names}); give the one to use")
        return found[0] if found else source
    _suffix(source)
    return source


def _no_source(source: Path) -> str:
    return (
        f"{source}: there is no such folder or manifest; give a folder with one subfolder per class, "
        f"or a manifest ({', '.join(SUFFIXES)})"
    )


def _manifests_in(folder: Path) -> list[Path]:
    return [folder / name for name in MANIFEST_NAMES if (folder / name).is_file()]


def _is_manifest(file: Path) -> bool:
    """Whether a table has a column ``video``; JSON Lines always are a manifest, except Hugging Face's metadata."""
    suffix = file.suffix.lower()
    if suffix == ".jsonl":
        return file.name.lower() != "metadata.jsonl"
    if suffix not in SUFFIXES:
        return False
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as opened:
            header = opened.readline(HEADER_CHARACTERS)
    except OSError:
        return False
    return "video" in [name.strip().strip('"') for name in header.split(separator_of(file, header))]


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ManifestError(f"{path}: a manifest ends in {', '.join(SUFFIXES)}, not {suffix or 'nothing'!r}")
    return suffix


def _numbered(source: Path, *, labels: bool) -> Iterator[tuple[int, Row]]:
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            records = _json_lines(source, file) if _suffix(source) == ".jsonl" else _table(source, file, labels=labels)
            names = NamesOnDisk()
            for line, values in records:
                row = parse_row(source, line, values, labels=labels)
                found = names.find(row.video)
                yield line, row if found is row.video else replace(row, video=found)
    except UnicodeDecodeError as error:
        raise ManifestError(f"{source}: it is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise ManifestError(f"{source}: cannot read it: {error.strerror}") from error


def _table(source: Path, file: Iterable[str], *, labels: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    table = read_table(source, file)
    _, header = next(table, (0, []))
    _check_header(source, header, labels=labels)
    for line, fields in table:
        yield line, dict(zip(header, fields, strict=True))


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
        values = parse_json(text, f"{source}, line {line}")
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
        if not _exists(row.video, known):
            missing.append(f"  line {line}: {row.video}")
    if missing:
        more = f"\n  and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise ManifestError(
            f"{source}: {len(missing)} of {len(rows)} videos do not exist (paths are relative to the manifest)\n"
            + "\n".join(missing[:SHOWN])
            + more
        )


def _exists(video: Path, known: dict[Path, bool]) -> bool:
    if video not in known:
        # A folder of frame images is a video, too.
        known[video] = video.is_file() or video.is_dir()
    return known[video]


def _relative(video: Path, base: Path) -> str:
    return video.relative_to(base).as_posix() if video.is_relative_to(base) else str(video)


def _values(row: Row) -> list[Any]:
    return [row.label, row.split, row.group, row.start_seconds, row.end_seconds, dict(row.extra)]


def _record(row: Row, base: Path) -> dict[str, Any]:
    named = dict(zip(COLUMNS, [_relative(row.video, base), *_values(row)[:-1]], strict=True))
    return {name: value for name, value in named.items() if value is not None} | dict(row.extra)
