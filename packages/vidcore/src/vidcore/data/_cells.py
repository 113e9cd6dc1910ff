"""Cells of a manifest's columns, and what may stand in them."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Sequence
from typing import Any

from vidcore.data._rows import COLUMNS, Row, shown
from vidcore.errors import DataError

LABEL = "label"


def cells(rows: Sequence[Row], column: str, hint: str = "") -> list[Any]:
    """What stands in a column, row by row.

    Raises:
        DataError: the column is not there, or is empty in some rows.
    """
    found = [getattr(row, column) if column in COLUMNS else row.extra.get(column) for row in rows]
    empty = [row for row, cell in zip(rows, found, strict=True) if cell is None or cell == ""]
    if not empty:
        return found
    if len(empty) == len(rows):
        known = [LABEL, *sorted({name for row in rows[:100] for name in row.extra})]
        near = difflib.get_close_matches(column, known, n=1)
        raise DataError(
            f"the data has no column {column!r}; it has: {', '.join(known)}"
            + (f"; did you mean {near[0]!r}?" if near else "")
            + (f"\n  {hint}" if hint else "")
        )
    raise DataError(
        f"column {column!r} is empty in {len(empty)} of {len(rows)} rows, {empty[0].video} among them; "
        "fill it in, or remove the rows"
    )


def number(cell: Any, row: Row, column: str) -> float:
    """A finite number, from a number or its text.

    Raises:
        DataError: it is none; the row and the column are named.
    """
    try:
        value = math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"column {column!r} of {row.video} is {shown(cell)}; a number is needed")
    return value


def point(cell: Any, row: Row, column: str, coordinates: int) -> list[float]:
    """A position ``[x, y]`` of so many coordinates.

    Raises:
        DataError: it is none; the row and the column are named.
    """
    value = _parsed(cell)
    if not (_is_numbers(value) and len(value) == coordinates):
        raise DataError(
            f"column {column!r} of {row.video} is {shown(cell)}; {coordinates} numbers such as [0.1, 0.4] are needed"
        )
    return [float(part) for part in value]


def points(cell: Any, row: Row, column: str) -> list[list[float]]:
    """Positions ``[[x, y], ...]``, at least one, all of the same number of coordinates.

    Raises:
        DataError: it is not that; the row and the column are named.
    """
    value = _parsed(cell)
    if not (isinstance(value, list) and value and all(map(_is_numbers, value)) and len({len(v) for v in value}) == 1):
        raise DataError(
            f"column {column!r} of {row.video} is {shown(cell)}; positions such as [[0.1, 0.5], [0.2, 0.5]] are needed"
        )
    return [[float(part) for part in step] for step in value]


def _parsed(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return None


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
