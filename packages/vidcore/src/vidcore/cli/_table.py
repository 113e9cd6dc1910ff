"""A plain table: commands that must start fast cannot afford a rendering library."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence

import click

_GAP = 2


def screen_width() -> int | None:
    """Columns of the terminal, or what COLUMNS says; ``None`` where output goes to a file or a pipe."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdigit():
        return None
    return shutil.get_terminal_size().columns


def echo_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = (), drop: Sequence[int] = ()
) -> None:
    """Print rows in aligned columns that fit the screen; no word is broken.

    Where they do not fit, the columns in ``drop`` are left out in that order, then cells are wrapped between words,
    and where that is not enough every row becomes a block with one line per column.

    Args:
        headers: of the columns.
        rows: cells.
        right: indices of right-aligned columns.
        drop: indices of columns that can be left out, the first one first.
    """
    width = screen_width()
    kept = list(range(len(headers)))
    for column in drop:
        if width is None or sum(_natural(headers, rows, kept)) + _GAP * (len(kept) - 1) <= width:
            break
        kept.remove(column)
    heads = [headers[i] for i in kept]
    cells = [[row[i] for i in kept] for row in rows]
    widths = _fitted(heads, cells, [kept.index(i) for i in right if i in kept], width)
    if widths is None:
        _echo_blocks(heads, cells, width or 0)
    else:
        aligned = [i in right for i in kept]
        _echo_lines([heads], widths, aligned, bold=True)
        _echo_lines(cells, widths, aligned)
    if len(kept) < len(headers):
        left_out = ", ".join(headers[i] for i in range(len(headers)) if i not in kept)
        click.echo(f"(left out to fit {width} columns: {left_out})")


def _natural(headers: Sequence[str], rows: Sequence[Sequence[str]], kept: Sequence[int]) -> list[int]:
    return [max(len(row[i]) for row in [headers, *rows]) for i in kept]


def _fitted(
    headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int], width: int | None
) -> list[int] | None:
    """Widths of the columns, narrowed from the widest on; ``None`` where their longest words do not fit."""
    widths = _natural(headers, rows, range(len(headers)))
    if width is None:
        return widths
    least = [
        widths[i] if i in right else max(len(word) for row in [headers, *rows] for word in row[i].split() or [""])
        for i in range(len(headers))
    ]
    room = width - _GAP * (len(headers) - 1)
    while sum(widths) > room:
        wide = [i for i in range(len(widths)) if widths[i] > least[i]]
        if not wide:
            return None
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _echo_lines(
    rows: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[bool], *, bold: bool = False
) -> None:
    for row in rows:
        wrapped = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
        for number in range(max(map(len, wrapped))):
            parts = [
                part.rjust(width) if aligned else part.ljust(width)
                for part, width, aligned in zip(
                    (lines[number] if number < len(lines) else "" for lines in wrapped), widths, right, strict=True
                )
            ]
            click.echo(click.style((" " * _GAP).join(parts).rstrip(), bold=bold or None))


def _wrapped(cell: str, width: int) -> list[str]:
    if len(cell) <= width:
        # As it is: wrapping would fold white space.
        return [cell]
    return textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False) or [""]


def _echo_blocks(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> None:
    indent = max(map(len, headers)) + _GAP
    for row in rows:
        for header, cell in zip(headers, row, strict=True):
            lines = _wrapped(cell, max(width - indent, 1))
            for number, line in enumerate(lines):
                click.echo(f"{(header if number == 0 else '').ljust(indent)}{line}".rstrip())
        click.echo("")


def echo_text(text: str) -> None:
    """Print a sentence, wrapped between words where the screen is narrower."""
    width = screen_width()
    for line in [text] if width is None else _wrapped(text, width):
        click.echo(line)


def count(number: int | None) -> str:
    """A parameter count for people: 34.6 M."""
    if number is None:
        return "-"
    for limit, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if number >= limit:
            return f"{number / limit:.1f} {unit}"
    return str(number)
