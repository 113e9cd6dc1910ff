"""How far an extraction is: a bar where a person watches, a line now and then where nobody does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vidcore.extract import ExtractProgress

_LINE_SECONDS = 15.0

Told = Callable[["ExtractProgress"], None]


@contextmanager
def shown(title: str, *, show: bool) -> Iterator[Told | None]:
    """A callback that shows progress on stderr; ``None`` where nothing is to be shown."""
    if not show:
        yield None
    elif sys.stderr.isatty():
        with _bar(title) as told:
            yield told
    else:
        click.echo(title, err=True)
        yield _lines()


@contextmanager
def _bar(title: str) -> Iterator[Told]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"))
    console = Console(stderr=True)
    console.print(title, highlight=False, markup=False)
    noted = 0
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("clips", total=None, facts="")

        def told(now: ExtractProgress) -> None:
            nonlocal noted
            for note in now.notes[noted:]:
                progress.console.print(note, highlight=False, markup=False)
            noted = len(now.notes)
            progress.update(task, completed=now.seen, total=now.total, facts=_facts(now))

        yield told


def _lines() -> Told:
    said, noted = time.monotonic(), 0

    def told(now: ExtractProgress) -> None:
        nonlocal said, noted
        for note in now.notes[noted:]:
            click.echo(note, err=True)
        noted = len(now.notes)
        if time.monotonic() - said >= _LINE_SECONDS:
            said = time.monotonic()
            total = "" if now.total is None else f" of {now.total}"
            click.echo(f"{now.seen}{total} clips, {_facts(now)}", err=True)

    return told


def _facts(now: ExtractProgress) -> str:
    facts = [f"{now.clips_per_second:.1f} clips/s"]
    facts += [f"{stage} {now.shares[stage]:.0%}" for stage in ("decode", "model")]
    eta = now.eta_seconds
    if eta is not None:
        minutes, seconds = divmod(round(eta), 60)
        hours, minutes = divmod(minutes, 60)
        facts.append(f"ETA {hours}:{minutes:02}:{seconds:02}")
    if now.present:
        facts.append(f"{now.present} were there")
    if now.failed:
        facts.append(f"{now.failed} failed")
    return ", ".join(facts)
