"""``vidcore data``: look at videos before training on them, and make some."""

from __future__ import annotations

import os
from pathlib import Path

import click

from vidcore.cli._progress import counter


@click.group()
def data() -> None:
    """Check, show or make video data."""


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
@click.option("--workers", type=click.IntRange(1), help="Processes; by default one per core.")
def trajectories(out: Path, clips: int, frames: int, size: int, seed: int, workers: int | None) -> None:
    """Videos of linear, circular, helical and parabolic motion in 3D, with a manifest, into OUT.

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
            workers=workers or os.cpu_count() or 1,
            progress=progress,
        )
    shares = ", ".join(f"{label} {count}" for label, count in sorted(report.per_label.items()))
    again = f" ({report.reused} were there)" if report.reused else ""
    click.echo(f"{report.clips} clips{again} in {report.seconds:.1f} s: {shares}")
    click.echo(f"manifest {report.manifest}\nmetadata {report.metadata}")
    click.echo(f"look at them: vidcore data show {report.manifest}")
