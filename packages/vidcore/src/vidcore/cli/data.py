"""``vidcore data``: look at videos before training on them, and make some."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from vidcore.cli._data import layout_option
from vidcore.cli._progress import counter
from vidcore.cli._table import echo_table
from vidcore.data.difficulty import DEFAULT_DIFFICULTY, Difficulty

if TYPE_CHECKING:
    from vidcore.data.inspect import DataReport
    from vidcore.data.manifest import Manifest

_LISTED = 20


@click.group()
def data() -> None:
    """Check, show, convert or make video data."""


@data.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--frames", type=click.IntRange(1), default=16, show_default=True, help="Fewer than this is too short.")
@click.option("--workers", type=click.IntRange(1), help="Processes; by default one per core.")
@click.option("--timeout", type=click.FloatRange(1), default=60.0, show_default=True, help="Seconds without a sign.")
@click.option("--quick", is_flag=True, help="Read the containers' headers only; decode nothing.")
@layout_option
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON.")
@click.argument("options", nargs=-1, metavar="[KEY=VALUE]...")
def check(
    source: Path,
    frames: int,
    workers: int | None,
    timeout: float,
    quick: bool,
    layout: str | None,
    as_json: bool,
    options: tuple[str, ...],
) -> None:
    """Decode all of SOURCE, a folder, a manifest or a published data set, and say what is wrong with it.

    Lists corrupt, empty, too short and duplicate videos, labels that look the same, and the balance of the classes.
    KEY=VALUE are options of a published layout, such as split=2. The exit code is 1 where a video cannot be used.
    """
    import json

    from vidcore.data.inspect import inspect_containers, inspect_source

    rows = _read(source, layout, options)
    with counter("reading headers" if quick else "decoding", "videos") as progress:
        inspect = inspect_containers if quick else inspect_source
        report = inspect(rows, workers=workers, frames=frames, timeout_seconds=timeout, progress=progress)
    if as_json:
        click.echo(json.dumps({**report.to_dict(), "notes": list(rows.notes), "missing": list(rows.missing)}, indent=2))
    else:
        for note in rows.notes:
            click.echo(note)
        _print(report)
        _list("listed, but not there", list(rows.missing))
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
    _list("read with an assumption", report.assumptions())
    _list(
        "labels that differ in case, white space or Unicode form only count as different classes",
        [" and ".join(ascii(label) for label in group) for group in report.look_alikes],
    )
    if report.ok and not (report.short or report.duplicates or report.look_alikes):
        click.echo("\nnothing wrong found" + (" in the headers; nothing was decoded" if report.quick else ""))


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
@layout_option
@click.argument("options", nargs=-1, metavar="[KEY=VALUE]...")
def show(
    source: Path, clips: int, frames: int, seed: int, out: Path, layout: str | None, options: tuple[str, ...]
) -> None:
    """Draw a contact sheet (PNG) of random clips of SOURCE with their labels.

    A clip that cannot be decoded is named and left out; the exit code is then 1.
    """
    import random

    from vidcore.data.clips import read_clip
    from vidcore.data.sampling import Sampling
    from vidcore.data.sheet import contact_sheet
    from vidcore.errors import DecodeError

    rows = list(_read(source, layout, options))
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


@data.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def layouts(as_json: bool) -> None:
    """List the layouts of published data sets, by what they are recognised, and their options."""
    import json

    from vidcore.data.layouts import LAYOUTS, PLAIN

    found = [(layout.name, layout.wanted, ", ".join(layout.options)) for layout in LAYOUTS.values()]
    found.append((PLAIN, "none of these: a folder with one subfolder per class, or a manifest", ""))
    if as_json:
        keys = ("name", "recognised_by", "options")
        click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in found], indent=2))
        return
    for name, wanted, options in found:
        click.echo(f"{click.style(name, bold=True)}\n  {wanted}" + (f"\n  options: {options}" if options else ""))


@data.command()
@click.argument("layout", metavar="LAYOUT")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path), metavar="MANIFEST")
@click.argument("options", nargs=-1, metavar="[KEY=VALUE]...")
def convert(layout: str, source: Path, out: Path, options: tuple[str, ...]) -> None:
    """Write SOURCE, a published data set laid out as LAYOUT, as a manifest (.csv, .tsv or .jsonl).

    Where the data set states an order of its classes, it is written beside it. LAYOUT may be "auto". Options of
    layouts: vidcore data layouts.
    """
    from vidcore.data._classes import write_classes
    from vidcore.data.manifest import write_manifest

    found = _read(source, None if layout == "auto" else layout, options)
    write_manifest(found, out)
    classes = write_classes(out, found.published, found.flip_map)
    for note in found.notes:
        click.echo(note)
    splits: dict[str, int] = {}
    for row in found:
        splits[row.split or "no split"] = splits.get(row.split or "no split", 0) + 1
    counts = ", ".join(f"{count} {name}" for name, count in splits.items())
    click.echo(
        f"{len(found)} rows ({counts}), {len(found.classes)} classes: {out}" + (f", {classes}" if classes else "")
    )


def _read(source: Path, layout: str | None, options: tuple[str, ...]) -> Manifest:
    """The rows of a source; rows need no label."""
    import yaml

    from vidcore.data.manifest import read_source

    chosen = {}
    for option in options:
        key, equals, text = option.removeprefix("data.options.").partition("=")
        if not equals or not key:
            raise click.UsageError(f"{option!r} is not of the form KEY=VALUE, for example split=2")
        try:
            chosen[key] = yaml.safe_load(text)
        except yaml.YAMLError as exc:
            raise click.UsageError(f"the value of {option!r} is not valid YAML") from exc
    return read_source(source, labels=False, layout=layout, options=chosen)


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
