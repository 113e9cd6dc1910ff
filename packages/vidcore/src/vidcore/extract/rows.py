"""Rows of a data source, one by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidcore.catalog import Registry, installed
from vidcore.data.datasets import open_source
from vidcore.data.manifest import MANIFEST_NAMES, Row, iter_rows, layout_of
from vidcore.errors import ManifestError

_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class RowSource:
    """Rows to iterate over once, how many there are, as far as a glance tells, and what to tell a person of them."""

    rows: Iterable[Row]
    total: int | None
    notes: tuple[str, ...] = ()


def open_rows(
    source: str,
    options: Mapping[str, Any] | None = None,
    *,
    registry: Registry | None = None,
    workers: int = 1,
    layout: str | None = None,
) -> RowSource:
    """Rows of a data set's name, a folder, a manifest or a published data set; a manifest is streamed.

    Raises:
        ManifestError: There is no such source, its first row is wrong, or it has none.
        ConfigError, DataError: As ``open_source``, for a data set's name.
    """
    registry = registry or installed()
    named = source in {entry.spec.name for entry in registry.entries("dataset")}
    if named or options or not Path(source).exists() or layout_of(source, layout) is not None:
        manifest = open_source(source, options, registry=registry, workers=workers, labels=False, layout=layout)
        return RowSource(manifest, len(manifest), manifest.notes)
    rows = iter_rows(source, labels=False)
    first = next(rows, None)
    if first is None:
        raise ManifestError(f"{source}: the manifest has no rows; add one line per video below the header")
    return RowSource(itertools.chain([first], rows), _count(Path(source)))


def _count(source: Path) -> int | None:
    """Rows of a manifest by its lines, without reading them as rows; a value with a line break counts twice."""
    if source.is_dir():
        files = [source / name for name in MANIFEST_NAMES if (source / name).is_file()]
        if not files:
            return sum(1 for _ in iter_rows(source, labels=False))
        source = files[0]
    lines, last = 0, b"\n"
    with source.open("rb") as file:
        while part := file.read(_READ_BYTES):
            lines += part.count(b"\n")
            last = part[-1:]
    lines += last != b"\n"
    return lines if source.suffix.lower() == ".jsonl" else lines - 1
