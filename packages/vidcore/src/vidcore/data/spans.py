"""Pieces of a manifest, for workers that read only theirs: where each begins in the file, and how many rows it has."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from vidcore.data._json import parse_json
from vidcore.data._names import NamesOnDisk
from vidcore.data._rows import Row, parse_row
from vidcore.data._table import separator_of, table_error
from vidcore.data.manifest import SUFFIXES
from vidcore.errors import ManifestError

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Span:
    """Rows ``first`` to ``first + rows`` (excluded) of a manifest, from byte ``offset`` on."""

    first: int
    rows: int
    offset: int


def spans(manifest: Path, rows: int) -> Iterator[Span]:
    """Spans of ``rows`` rows, the last one shorter, in one pass that holds one row at a time.

    Raises:
        ManifestError: The file cannot be read as a manifest.
    """
    with _opened(manifest) as file:
        begin, count, first = file.tell(), 0, 0
        table = _Records(manifest, file)
        begin = table.offset
        for _ in table:
            count += 1
            if count == rows:
                yield Span(first, count, begin)
                first, count, begin = first + count, 0, table.offset
        if count:
            yield Span(first, count, begin)


def read_span(manifest: Path, span: Span) -> list[tuple[int, Row]]:
    """The rows of a span, each with its position in the manifest.

    Raises:
        ManifestError: A row is not what its columns say, or the file is not the one the span was cut from.
    """
    with _opened(manifest) as file:
        table = _Records(manifest, file)
        table.seek(span.offset)
        records = list(itertools.islice(table, span.rows))
    if len(records) < span.rows:
        raise ManifestError(f"{manifest} has fewer rows than when the work was divided; do not change it meanwhile")
    # A header stands on line 1 of a table.
    rows = [(n, parse_row(manifest, n + 2, values, labels=False)) for n, values in enumerate(records, span.first)]
    names = NamesOnDisk()
    return [(n, replace(row, video=names.find(row.video))) for n, row in rows]


class _Records:
    """Records of a manifest, and the byte at which the next one begins."""

    def __init__(self, source: Path, file: BinaryIO) -> None:
        self.offset = 0
        self._source = source
        self._file = file
        self._kind = source.suffix.lower()
        self._header: list[str] = []
        self._separator = ","
        if self._kind != ".jsonl":
            line = file.readline()
            file.seek(0)
            self._separator = separator_of(source, line.removeprefix(_BOM).decode(errors="replace"))
            self._header = [name.strip() for name in next(self._fields(), [])]
            if "video" not in self._header:
                raise ManifestError(f"{source}: there is no column 'video'; its columns are: {', '.join(self._header)}")

    def seek(self, offset: int) -> None:
        self._file.seek(offset)
        self.offset = offset

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._kind == ".jsonl":
            for line in self._lines():
                if line.strip():
                    yield parse_json(line, str(self._source))
            return
        for fields in self._fields():
            if len(fields) != len(self._header):
                raise ManifestError(f"{self._source}: a row has {len(fields)} values for {len(self._header)} columns")
            yield dict(zip(self._header, fields, strict=True))

    def _fields(self) -> Iterator[list[str]]:
        try:
            yield from (
                fields for fields in csv.reader(self._lines(), delimiter=self._separator, strict=True) if fields
            )
        except csv.Error as error:
            raise ManifestError(f"{self._source}: {table_error(error)}") from error

    def _lines(self) -> Iterator[str]:
        for line in self._file:
            self.offset += len(line)
            yield self._text(line)

    def _text(self, line: bytes) -> str:
        try:
            return line.removeprefix(_BOM).decode()
        except UnicodeDecodeError as error:
            raise ManifestError(f"{self._source}: it is not UTF-8 text ({error.reason})") from error


def _opened(manifest: Path) -> BinaryIO:
    if manifest.suffix.lower() not in SUFFIXES:
        raise ManifestError(f"{manifest}: a manifest ends in {', '.join(SUFFIXES)}")
    try:
        return manifest.open("rb")
    except OSError as error:
        raise ManifestError(f"{manifest}: cannot read it: {error.strerror}") from error
