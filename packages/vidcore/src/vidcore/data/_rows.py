"""One row of a manifest, and how its values are checked."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidcore.errors import ManifestError

COLUMNS = ("video", "label", "split", "group", "start_seconds", "end_seconds")
SPLITS = ("train", "val", "test")
# Between the labels of one row, where a head takes several.
SEPARATOR = "|"
FPS = "fps"
SPLIT_ALIASES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
# What other tools call these columns; difflib alone finds none of them.
COLUMN_ALIASES = {
    "video": ("path", "file", "filename", "file_name", "filepath", "video_path", "clip", "name", "id"),
    "label": ("class", "category", "target", "action", "label_name", "classname", "y"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One sample: a video, or a segment of one, and its targets.

    ``start_seconds`` and ``end_seconds`` bound a half-open segment ``[start, end)`` counted from the first frame.
    Rows of one ``group`` (source video, subject, scene) never straddle a split. ``extra`` holds every other column,
    as text from CSV and TSV and as written from JSON Lines. ``video`` is a file, or a folder of frame images whose
    frame rate is in the column ``fps``.
    """

    video: Path
    label: str | None = None
    split: str | None = None
    group: str | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fps(self) -> float | None:
        """Frames per second of a folder of frame images; ``None`` where the column ``fps`` states none."""
        try:
            value = float(self.extra.get(FPS) or 0)
        except (TypeError, ValueError, OverflowError):
            return None
        return value if 0 < value < math.inf else None

    def clip_only(self) -> Row:
        """The row without what its frames do not depend on: no label, no split, no group, no other column."""
        extra = {FPS: self.extra[FPS]} if FPS in self.extra else {}
        return Row(self.video, None, None, None, self.start_seconds, self.end_seconds, extra)


def parse_row(source: Path, line: int, values: Mapping[str, Any], *, labels: bool) -> Row:
    """Make a :class:`Row` of one record of a manifest.

    Raises:
        ManifestError: A value is missing or is not what its column says; named with file, line and column.
    """
    where = f"{source}, line {line}"
    for column in ("video", "label") if labels else ("video",):
        if column not in values:
            raise ManifestError(f"{where}: there is no {column!r}{closest(column, list(values))}")
    video = _text(where, "video", values["video"])
    if not video:
        raise ManifestError(f"{where}: no video; give a path relative to the manifest")
    label = _text(where, "label", values.get("label"))
    if labels and label is None:
        raise ManifestError(f"{where}: {video} has no label; give one, or remove the row")
    start = _seconds(where, "start_seconds", values.get("start_seconds"))
    end = _seconds(where, "end_seconds", values.get("end_seconds"))
    if end is not None and end <= (start or 0.0):
        raise ManifestError(f"{where}: the segment ends at {end:g} s, not after its start at {start or 0.0:g} s")
    return Row(
        video=source.parent / video,
        label=label,
        split=_split(where, _text(where, "split", values.get("split"))),
        group=_text(where, "group", values.get("group")),
        start_seconds=start,
        end_seconds=end,
        extra={name: value for name, value in values.items() if name not in COLUMNS},
    )


def closest(wanted: str, found: Sequence[str]) -> str:
    """`` (found: ...; did you mean ...?)``, for a column that is not there."""
    folded = {name.strip().lower(): name for name in found}
    guess = next((folded[alias] for alias in COLUMN_ALIASES.get(wanted, ()) if alias in folded), None)
    if wanted in folded:
        guess = folded[wanted]
    if guess is None:
        near = difflib.get_close_matches(wanted, folded, n=1)
        guess = folded[near[0]] if near else None
    hint = f"; rename {guess!r} to {wanted!r}" if guess is not None else f"; add one named {wanted!r}"
    return f" (found: {', '.join(found) or 'none'}){hint}"


def shown(value: Any, most: int = 80) -> str:
    """A value as a message shows it: the beginning of a long one."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


def _text(where: str, column: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ManifestError(f"{where}: {column} is {shown(value)}; give text")
    if isinstance(value, float) and math.isnan(value):
        raise ManifestError(f"{where}: {column} is NaN; give text, or leave it empty")
    return str(value).strip() or None


def _seconds(where: str, column: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        seconds = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise ManifestError(f"{where}: {column} is {shown(value)}; give seconds from the first frame, 0 or more")
    return seconds


def _split(where: str, value: str | None) -> str | None:
    if value is None:
        return None
    name = SPLIT_ALIASES.get(value.lower(), value.lower())
    if name not in SPLITS:
        near = difflib.get_close_matches(name, [*SPLITS, *SPLIT_ALIASES], n=1)
        hint = f"; did you mean {SPLIT_ALIASES.get(near[0], near[0])!r}?" if near else ""
        raise ManifestError(f"{where}: unknown split {shown(value)}; use {', '.join(SPLITS)}{hint}")
    return name
