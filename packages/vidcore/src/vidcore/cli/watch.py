"""``vidcore watch RUN...|FOLDER``: how far runs are."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from vidcore.training.watching import RunStatus

_COLOURS = {"running": "green", "silent": "yellow", "failed": "red", "stopped": "yellow", "done": "cyan"}


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="[RUN|FOLDER]...")
@click.option("--once", is_flag=True, help="Print the table and exit.")
@click.option("--every", type=click.FloatRange(0.2), default=2.0, show_default=True, help="Seconds between two looks.")
def watch(runs: tuple[Path, ...], once: bool, every: float) -> None:
    """Show running and finished runs, live until Ctrl-C; by default those in the folder runs.

    A run whose heartbeat is older than two minutes is shown as silent: its process may have died.
    """
    from rich.console import Console
    from rich.live import Live

    paths = runs or (Path("runs"),)
    if once or not sys.stdout.isatty():
        # Where nobody watches, lines are as long as they must be.
        width = None if sys.stdout.isatty() else 200
        Console(width=width, highlight=False).print(_table(paths))
        return
    try:
        with Live(_table(paths), auto_refresh=False) as live:
            while True:
                time.sleep(every)
                live.update(_table(paths), refresh=True)
    except KeyboardInterrupt:
        return


def _table(paths: tuple[Path, ...]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from vidcore.training.watching import find_runs, read_status

    found = find_runs(paths)
    table = Table(box=None, pad_edge=False, caption=None if found else "no run there yet")
    for name in ("run", "state", "phase", "step", "clips/s", "ETA", "loss", "score", "heartbeat", "note"):
        table.add_column(name, justify="right" if name in ("step", "clips/s", "ETA", "loss") else "left")
    for root in found:
        status = read_status(root)
        table.add_row(
            Text(status.root.name),
            Text(status.state, style=_COLOURS.get(status.state, "")),
            Text(status.phase),
            f"{status.step}/{status.total}" if status.total else "",
            f"{status.clips_per_second:.1f}" if status.clips_per_second else "",
            in_time(status.eta_seconds) if status.eta_seconds is not None else "",
            f"{status.loss:.4f}" if status.loss is not None else "",
            Text(status.score),
            _heartbeat(status),
            Text(_note(status)),
        )
    return table


def in_time(seconds: float) -> str:
    """``1:05:00``, ``4:07``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _heartbeat(status: RunStatus) -> str:
    if status.state not in ("running", "silent") or status.silent_seconds is None:
        return ""
    return f"{in_time(status.silent_seconds)} ago"


def _note(status: RunStatus) -> str:
    if status.state == "silent":
        where = f" on {status.host}" if status.host else ""
        return f"no heartbeat for more than two minutes: has it died{where}? vidcore train --resume {status.root}"
    return status.message
