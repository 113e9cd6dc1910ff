"""``vidcore store``: what is in a feature store, whether it is whole, cleaning up, other formats."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vidcore.cache import cache_dir
from vidcore.cli._progress import counter
from vidcore.cli._table import echo_table

_FORMATS = ("npy", "h5", "mat", "parquet", "webdataset")
_MOST_LISTED = 20


@click.group()
def store() -> None:
    """Look into a feature store, check it, clean it up, export it.

    STORE is the folder given to `vidcore extract --out`; without it, the cache that training fills by itself.
    """


_STORE = click.argument("store", required=False, type=click.Path(path_type=Path))


@store.command()
@_STORE
@click.option("--json", "as_json", is_flag=True, help="As JSON, with the whole identity of each collection.")
def info(store: Path | None, as_json: bool) -> None:
    """Show the collections of STORE: what was extracted and how, clips, bytes, shapes."""
    from vidcore.store import FeatureStore

    opened = FeatureStore.open(_folder(store))
    found = opened.info()
    if as_json:
        click.echo(json.dumps([one.to_json() for one in found], indent=2))
        return
    if not found:
        click.echo(f"{opened.path} holds no features yet")
        return
    rows = []
    for one in found:
        for output, about in one.outputs.items():
            shapes = ", ".join("x".join(map(str, shape)) for shape in list(about.shapes)[:3])
            more = f" and {len(about.shapes) - 3} more" if len(about.shapes) > 3 else ""
            rows.append(
                [one.name, str(one.clips), _size(one.bytes), str(one.shards), output, about.dtype, f"{shapes}{more}"]
            )
    headers = ["collection", "clips", "on disk", "shards", "output", "type", "D x T x H x W"]
    echo_table(headers, rows, right=(1, 2, 3))
    for one in found:
        click.echo(f"{one.name}  {one.in_words}")
        notes = [
            f"{one.open_shards} being written, or left by a process that was killed" if one.open_shards else "",
            f"{one.duplicates} records twice" if one.duplicates else "",
            f"{one.torn} torn records, which do not count" if one.torn else "",
            *(f"shard without a record that can be trusted: {reason}" for reason in one.damaged),
        ]
        for note in filter(None, notes):
            click.echo(f"  {note}")


@store.command()
@_STORE
@click.option("--drop", is_flag=True, help="Mark what is corrupt as missing: it is then extracted again.")
@click.pass_context
def verify(context: click.Context, store: Path | None, drop: bool) -> None:
    """Read every record of STORE and compare it with its checksum; exit code 1 where one does not agree."""
    from vidcore.store import FeatureStore

    opened = FeatureStore.open(_folder(store), write=drop)
    with counter("verify", "records") as advance:
        problems = opened.verify(drop=drop, on_progress=advance)
    for problem in problems[:_MOST_LISTED]:
        click.echo(f"{problem.collection}/{problem.shard}: {problem.reason}{_of(problem.key)}")
    if len(problems) > _MOST_LISTED:
        click.echo(f"... and {len(problems) - _MOST_LISTED} more")
    corrupt = sum(problem.key is not None for problem in problems)
    clips = sum(one.clips for one in opened.info())
    if not problems:
        click.echo(f"{clips} clips, all with their checksum")
        return
    if drop:
        click.echo(
            f"{corrupt} corrupt records marked as missing; {clips} clips are left. Extract again what is missing"
        )
        return
    torn = len(problems) - corrupt
    click.echo(
        f"{corrupt} corrupt records" + (f", {torn} shards with torn records, which do not count" if torn else "") + "\n"
        "  mark corrupt ones as missing: vidcore store verify --drop; give back the space: vidcore store gc"
    )
    context.exit(1)


@store.command()
@_STORE
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--dead-share",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Copy a shard when more than this share of it is doubles or dropped records.",
)
def gc(store: Path | None, dry_run: bool, dead_share: float) -> None:
    """Give space back: leftovers of killed processes, doubles, dropped records, many small shards.

    Others may read and write STORE meanwhile; shards of processes that live are left alone.
    """
    from vidcore.store import FeatureStore

    opened = FeatureStore.open(_folder(store), write=True)
    would = "would be " if dry_run else ""
    for one in opened.gc(dry_run=dry_run, dead_share=dead_share):
        parts = [
            f"{one.sealed} shards of dead writers {would}finished" if one.sealed else "",
            f"{one.rewritten} shards {would}copied together" if one.rewritten else "",
            f"{one.removed} records {would}removed" if one.removed else "",
            f"{_size(one.bytes_freed)} freed" if one.bytes_freed > 0 else "",
        ]
        click.echo(f"{one.collection}: {', '.join(filter(None, parts)) or 'nothing to do'}")
        for reason in one.skipped:
            click.echo(f"  left alone: {reason}")


@store.command()
@_STORE
@click.option("--format", "format_", type=click.Choice(_FORMATS), required=True, help="What to write.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Where: a file for h5, else a folder; not there yet."
)
@click.option("--collection", "names", multiple=True, metavar="NAME", help="Only this collection; may be repeated.")
def export(store: Path | None, format_: str, out: Path, names: tuple[str, ...]) -> None:
    """Write the features of STORE as files of another format, with an index of keys and of videos' paths."""
    from vidcore.store import FeatureStore

    opened = FeatureStore.open(_folder(store))
    with counter("export", "clips") as advance:
        written = opened.export(format_, out, collections=names, on_progress=advance)
    click.echo(f"{written}")


def _folder(store: Path | None) -> Path:
    return store if store is not None else cache_dir("features")


def _of(key: str | None) -> str:
    return "" if key is None else f" (clip {key})"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
