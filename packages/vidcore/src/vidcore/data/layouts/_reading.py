"""All rows of a published data set: what is left out is counted, and said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidcore.data._rows import SPLITS, Row
from vidcore.errors import ManifestError

from ._tree import Tree
from .base import Layout, Reading

_SHOWN = 3
_ORDER = {split: place for place, split in enumerate(SPLITS)}


def read_published(
    layout: Layout, path: Path, options: Mapping[str, Any], *, labels: bool
) -> tuple[Reading, list[Row]]:
    """The rows of ``path`` that can be used, and the reading, whose notes say which were left out.

    Args:
        layout: Its layout.
        path: The folder or list.
        options: Of the layout.
        labels: Whether rows without a label are left out.

    Raises:
        ConfigError: Options that the layout does not have.
        ManifestError: A list is not what the layout says, or no row is left.
    """
    reading = Reading(path, layout.parse_options(options), Tree(path))
    rows: list[Row] = []
    seen: set[tuple[Path, float | None, float | None, str | None]] = set()
    bare = again = 0
    for row in layout.rows(reading):
        # Of a segment there is a row for each of its classes, as in Charades; of a whole video there is one.
        key = (row.video, row.start_seconds, row.end_seconds, None if row.start_seconds is None else row.label)
        if key in seen:
            again += 1
        elif labels and row.label is None:
            bare += 1
        else:
            seen.add(key)
            rows.append(row)
    if not rows:
        raise ManifestError(_nothing(layout, reading, bare))
    # Training rows first, whatever the order of the lists' names.
    rows.sort(key=lambda row: _ORDER.get(row.split or "", len(SPLITS)))
    listed = len(reading.missing) + len(rows) + bare + again
    reading.notes.insert(0, f"layout     {layout.name}: {layout.described(reading)}")
    if bare:
        reading.notes.append(f"{bare} of {listed} rows have no label and are left out")
    if again:
        reading.notes.append(f"{again} rows name a video that an earlier row names, and are left out")
    if reading.missing:
        more = ", ..." if len(reading.missing) > _SHOWN else ""
        reading.notes.append(
            f"{len(reading.missing)} of {listed} listed videos are not there and are left out: "
            f"{', '.join(reading.missing[:_SHOWN])}{more}"
        )
    return reading, rows


def _nothing(layout: Layout, reading: Reading, bare: int) -> str:
    if reading.missing:
        where = reading.options.videos or reading.tree.folder
        return (
            f"{reading.path}: none of the {len(reading.missing)} videos that its lists name is below {where}, "
            f"{reading.missing[0]} first\n  say where they are: data.options.videos=FOLDER"
        )
    if bare:
        return f"{reading.path}: none of its {bare} rows has a label (layout {layout.name})"
    return f"{reading.path}: its lists name no video (layout {layout.name})"
