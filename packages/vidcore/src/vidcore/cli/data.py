"""``vidcore data``: look at videos before training on them, and make some."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from vidcore.cli._progress import counter
from vidcore.cli._table import echo_table
from vidcore.data.difficulty import DEFAULT_DIFFICULTY, Difficulty

if TYPE_CHECKING:
    from vidcore.data.inspect import DataReport

_LISTED = 20


@click.group()
def data() -> None:
    """Check, show or make video data."""


@data.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--frames", type=click.IntRange(1), default=16, show_default=True, help="Fewer than this is too short.")
@click.option("--workers", type=click.IntRange(1), help="Processes; by default one per core.")
@click.option("--timeout", type=click.FloatRange(1), default=60.0, show_default=True, help="Seconds without a sign.")
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON.")
def check(source: Path, frames: int, workers: int | None, timeout: float, as_json: bool) -> None:
    """Decode all of SOURCE, a folder or a manifest, and say what is wrong with it.

    Lists videos that are corrupt, empty, too short or there twice, and the balance of the classes. The exit
    code is 1 where a video cannot be used.
    """
    import json

    from vidcore.data.inspect import inspect_source
    from vidcore.data.manifest import read_source

    rows = read_source(source, labels=False)
    with counter("decoding", "videos") as progress:
        report = inspect_source(rows, workers=workers, frames=frames, timeout_seconds=timeout, progress=progress)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2))
    else:
        _print(report)
    if not report.ok:
        raise click.exceptions.Exit(1)


def _print(report: DataReport) -> None:
    click.echo(f"{report.rows} rows, {len(report.videos)} readable videos")
    for name, (low, high) in report.ranges().items():
        click.echo(f"  {name.replace('_', ' '):<18}{low:g}" + (f" to {high:g}" if high > low else ""))
    if report.classes:
        most = max(report.classes.values())
        click.echo(f"\n{len(report.classes)} classes")
        echo_table(
            ["class", "rows", ""],
            [[name, str(count), "#" * max(round(24 * count / most), 1)] for name, count in report.classes.items()],
            right=(1,),
        )
    _list("cannot be used", [f"{f.path}\n      {f.stage}: {f.reason}" for f in report.failures])
    _list("too short", [f"{s.path}: {s.frames} of {s.wanted} frames (row {s.row + 1})" for s in report.short])
    _list(
        "there more than once (same bytes)",
        [
            f"{', '.join(str(path) for path in d.paths)}"
            + (f"\n      with different labels or splits: {', '.join((*d.labels, *d.splits))}" if d.conflicts else "")
            for d in report.duplicates
        ],
    )
    if report.ok and not report.short and not report.duplicates:
        click.echo("\nnothing wrong found")


def _list(title: str, lines: list[str]) -> None:
    if not lines:
        return
    click.echo(f"\n{click.style(f'{len(lines)} {title}', bold=True)}")
    for line in lines[:_LISTED]:
        click.echo(f"  {line}")
    if len(lines) > _LISTED:
        click.echo(f"  and {len(lines) - _LISTED} more; all of them with --json")


@data.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("-n", "clips", type=click.IntRange(1), default=12, show_default=True, help="How many random clips.")
@click.option("--frames", type=click.IntRange(1), default=6, show_default=True, help="Frames shown of each.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Which random clips.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("sheet.png"), show_default=True)
def show(source: Path, clips: int, frames: int, seed: int, out: Path) -> None:
    """Draw a contact sheet (PNG) of random clips of SOURCE with their labels.

    A clip that cannot be decoded is named and left out; the exit code is then 1.
    """
    import random

    from vidcore.data.clips import read_clip
    from vidcore.data.manifest import read_source
    from vidcore.data.sampling import Sampling
    from vidcore.data.sheet import contact_sheet
    from vidcore.errors import DecodeError

    rows = list(read_source(source, labels=False))
    chosen = random.Random(seed).sample(rows, min(clips, len(rows)))
    items, failures = [], []
    with counter("reading", "clips") as progress:
        for done, row in enumerate(chosen, 1):
            try:
                items.append((read_clip(row, Sampling("uniform", frames)).frames.numpy(), row.label or row.video.name))
            except DecodeError as exc:
                failures.append(exc)
            progress(done, len(chosen))
    for failure in failures:
        click.echo(f"left out: {failure}", err=True)
    if items:
        contact_sheet(items, out, frames_per_clip=frames)
        click.echo(f"{len(items)} of {len(rows)} clips, {frames} frames each: {out}")
    if failures:
        raise click.exceptions.Exit(1)


@data.group()
def synth() -> None:
    """Make videos whose content is known exactly."""


@synth.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("-n", "clips", type=click.IntRange(1), default=10_000, show_default=True, help="How many clips.")
@click.option("--frames", type=click.IntRange(2), default=16, show_default=True, help="Frames of each clip.")
@click.option("--size", type=click.IntRange(16), default=64, show_default=True, help="Height and width in pixels.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed, the same bytes.")
@click.option(
    "--difficulty",
    type=click.Choice(get_args(Difficulty)),
    default=DEFAULT_DIFFICULTY,
    show_default=True,
    help="hard: classes that only the order of the frames tells apart.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes; by default one per core.")
def trajectories(
    out: Path, clips: int, frames: int, size: int, seed: int, difficulty: str, workers: int | None
) -> None:
    """Videos of a ball whose motion in 3D is its class, with a manifest, into OUT.

    The classes are linear, circular, helical and parabolic motion; at --difficulty hard they are
    four orders of the same positions: slow or fast, clockwise or anticlockwise.


    Run it again to go on after an interruption; a larger -n extends the set.
    """
    from vidcore.data.synth import generate_trajectories

    with counter("rendering", "clips") as progress:
        report = generate_trajectories(
            out,
            clips,
            frames=frames,
            size=size,
            seed=seed,
            difficulty=difficulty,
            workers=workers or os.cpu_count() or 1,
            progress=progress,
        )
    shares = ", ".join(f"{label} {count}" for label, count in sorted(report.per_label.items()))
    again = f" ({report.reused} were there)" if report.reused else ""
    click.echo(f"{report.clips} clips{again} in {report.seconds:.1f} s: {shares}")
    click.echo(f"manifest {report.manifest}\nmetadata {report.metadata}")
    click.echo(f"look at them: vidcore data show {report.manifest}")
