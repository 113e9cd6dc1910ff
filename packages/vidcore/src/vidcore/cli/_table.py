"""A plain table: commands that must start fast cannot afford a rendering library."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

import click


def echo_table(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print rows in aligned columns; on a terminal the last column is cut to what fits.

    ``right`` holds the indices of right-aligned columns.
    """
    widths = [max(len(row[i]) for row in [headers, *rows]) for i in range(len(headers))]
    room = None
    if sys.stdout.isatty():
        room = max(shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1), 12)
    click.echo(click.style(_line(headers, widths, right, room), bold=True))
    for row in rows:
        click.echo(_line(row, widths, right, room))


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[int], room: int | None) -> str:
    last = cells[-1]
    if room is not None and len(last) > room:
        last = last[: room - 1] + "…"
    padded = [
        cell.rjust(width) if i in right else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(cells[:-1], widths, strict=False))
    ]
    return "  ".join([*padded, last]).rstrip()


def count(number: int | None) -> str:
    """A parameter count for people: 34.6 M."""
    if number is None:
        return "-"
    for limit, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if number >= limit:
            return f"{number / limit:.1f} {unit}"
    return str(number)
