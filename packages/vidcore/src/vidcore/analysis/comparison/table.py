"""A comparison as text: for the terminal, as Markdown, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table

from vidcore.analysis.comparison.columns import baseline_text, columns
from vidcore.analysis.comparison.row import Row

Numbered = Sequence[tuple[int, Row]]


def terminal_table(rows: Numbered, width: int = 100, *, wide: bool = False) -> str:
    """Numbered rows in aligned columns, long names wrapped; ``wide`` shows every column, however long the lines."""
    shown = [column for column in columns(rows[0][1].metric) if column.header and (wide or column.narrow)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column("", justify="right", no_wrap=True)
    for column in shown:
        words = column.key in ("row", "difference", "weights")
        # A number needs less room than the name of its column; only the row's name is ever cut into lines.
        header = column.header if words else "\n".join(column.header.rsplit(" ", 1))
        justify: JustifyMethod = "left" if words else "right"
        table.add_column(header, justify=justify, no_wrap=column.key != "row", overflow="fold", vertical="top")
    for number, row in rows:
        table.add_row(str(number), *(column.text(row) for column in shown))
    for found in rows[0][1].baselines:
        table.add_row("", *(baseline_text(column, found) for column in shown))
    target = io.StringIO()
    # Not rich's own idea of the terminal: the text is the same in a pipe.
    Console(file=target, width=10_000 if wide else width, markup=False, emoji=False, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in target.getvalue().rstrip("\n").splitlines())


def markdown_table(rows: Numbered) -> str:
    """A GitHub-flavoured Markdown table with every column."""
    shown = [column for column in columns(rows[0][1].metric) if column.header]
    lines = ["| # | " + " | ".join(column.header for column in shown) + " |"]
    lines.append(
        "|--:|" + "|".join(":--" if column.key in ("row", "difference", "weights") else "--:" for column in shown) + "|"
    )
    for number, row in rows:
        cells = [column.text(row).replace("|", "\\|") for column in shown]
        lines.append(f"| {number} | " + " | ".join(cells) + " |")
    for found in rows[0][1].baselines:
        lines.append("| | " + " | ".join(baseline_text(column, found) for column in shown) + " |")
    return "\n".join(lines)


def csv_table(rows: Sequence[Row]) -> str:
    """Every number as it is, in the units that the column names state; what the test found; baselines come last."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    shown = columns("score")
    paired = ("difference", "p", "only_best", "only_row")
    writer.writerow([*("verdict" if c.key == "difference" else c.key for c in shown), *paired, "run"])
    for row in rows:
        numbers = [getattr(row.difference, name) for name in paired]
        writer.writerow([*(column.plain(row) for column in shown), *numbers, row.folder])
    for metric in dict.fromkeys(row.metric for row in rows):
        best = next(row for row in rows if row.metric == metric)
        for found in best.baselines:
            plain = {
                "row": found.label,
                "metric": metric,
                "score": found.score,
                "score_low": found.interval95 and found.interval95[0],
                "score_high": found.interval95 and found.interval95[1],
                "difference": found.difference.verdict,
            }
            numbers = [getattr(found.difference, name) for name in paired]
            writer.writerow([*(plain.get(column.key) for column in shown), *numbers, ""])
    return target.getvalue()
