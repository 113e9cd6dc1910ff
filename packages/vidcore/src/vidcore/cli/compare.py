"""``vidcore compare``: which extractor, or which combination, is best for these clips."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from vidcore.cli._data import layout_option
from vidcore.cli._folds import Folds
from vidcore.cli._names import ComponentName
from vidcore.cli._numbers import number_options, number_overrides
from vidcore.cli._weights import named_with_weights, random_option, weights_option

# An extractor and its weights, unlike NAME.options.KEY=VALUE and NAME.freeze=true.
_NAMED_FILE = re.compile(r"(?!.*\.(options|freeze|unfreeze_blocks|lora)\b[^=]*=)[^=.]+/[^=]+=")


class _SeveralValues(click.Command):
    """Lets an option that may be repeated take several values after one flag: ``--extractor A B C``.

    A value that reads ``key=value`` ends the list, so overrides can follow it; ``family/variant=FILE`` does not.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        several = {flag for p in self.params if isinstance(p, click.Option) and p.multiple for flag in p.opts}
        spread: list[str] = []
        flag: str | None = None
        for arg in args:
            if arg.startswith("-") or ("=" in arg and not _NAMED_FILE.match(arg)):
                flag = arg.partition("=")[0] if arg.partition("=")[0] in several else None
            elif flag is not None and spread[-1] != flag:
                spread.append(flag)
            spread.append(arg)
        return super().parse_args(ctx, spread)


@click.command(cls=_SeveralValues)
@click.option(
    "--extractor", "extractors", multiple=True, type=ComponentName("extractor", several=True), metavar="NAME...",
    help="Rows; A+B is one of two, fused; A=FILE names weights.",
)  # fmt: skip
@weights_option
@random_option
@click.option("--data", "source", metavar="PATH|NAME", help="A folder of classes, a CSV/JSONL manifest, a data set.")
@layout_option
@click.option(
    "--fusion", "fusions", multiple=True, type=ComponentName("fusion"), metavar="NAME...",
    help="For fused rows.  [default: concat]",
)  # fmt: skip
@click.option(
    "--readout", "readouts", multiple=True, type=ComponentName("readout"), metavar="NAME...",
    help="For every row.  [default: mean]",
)  # fmt: skip
@click.option(
    "--head", "heads", multiple=True, type=ComponentName("head"), metavar="NAME...",
    help="For every row.  [default: classification]",
)  # fmt: skip
@click.option(
    "--folds",
    type=Folds(0),
    metavar="K|group",
    help="Cross-validation; group: leave one out; 0: one split. [default: 5]",
)
@number_options()
@click.option("--same-frames", is_flag=True, help="All rows see the same frames, spread evenly, not each its own pace.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="A YAML file; its data and train sections.")
@click.option("--out", type=click.Path(path_type=Path), help="The comparison's folder.  [default: comparisons/DATA]")
@click.option("--on-error", type=click.Choice(["stop", "skip"]), help="What to do about videos that cannot be read.")
@click.option("--wide", is_flag=True, help="All columns, however long the lines get.")
@click.option("-v", "--verbose", is_flag=True, help="Everything that each single training prints.")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.pass_context
def compare(
    ctx: click.Context,
    extractors: tuple[str, ...],
    source: str | None,
    layout: str | None,
    fusions: tuple[str, ...],
    readouts: tuple[str, ...],
    heads: tuple[str, ...],
    folds: int | str | None,
    frames: int | None,
    epochs: int | None,
    lr: float | None,
    batch_size: int | None,
    same_frames: bool,
    file: Path | None,
    out: Path | None,
    on_error: str | None,
    wide: bool,
    verbose: bool,
    weights: str | None,
    random_weights: bool,
    overrides: tuple[str, ...],
) -> None:
    """Train compositions on the same segments, folds, seed and budget, and say which is best.

    vidcore compare --extractor basic/keypoints basic/naive_cnn basic/keypoints+basic/naive_cnn --data videos

    Calling again adds rows, goes on with what was stopped and tries again what failed; with --out alone it does the
    latter two. KEY=VALUE is any field that all rows share (train.epochs=3), or NAME.options.KEY=VALUE of one component.
    """
    from vidcore.catalog import installed
    from vidcore.config import ExtractorChoice
    from vidcore.config.early import check_names, refuse_random

    extractors, overrides = named_with_weights(extractors, overrides, weights)
    named = [name.strip() for text in extractors for name in text.split("+") if name.strip()]
    check_names(installed(), extractors=named, fusions=fusions, readouts=readouts, heads=heads, source=source)
    if not random_weights:
        frozen = [name for name in named if f"{name.partition('=')[0]}.freeze=true" in overrides]
        refuse_random([ExtractorChoice(name=name, freeze=True) for name in frozen], installed())
    from vidcore.analysis import compare as start

    about_data = {key: value for key, value in (("on_error", on_error), ("layout", layout)) if value is not None}
    if same_frames:
        about_data["sampling"] = "uniform"
    choices: dict[str, Any] = {"data": about_data} if about_data else {}
    found = start(
        extractors,
        data=source,
        fusions=fusions,
        readouts=readouts,
        heads=heads,
        folds=folds,
        out=out,
        file=file,
        choices=choices,
        overrides=(*number_overrides(frames=frames, epochs=epochs, lr=lr, batch_size=batch_size), *overrides),
        told=click.echo,
        show=verbose,
    )
    _echo(found, wide)
    if found.failed:
        number = len(found.failed)
        click.echo(f"{number} of {number + len(found.rows)} rows not done; the same command tries again", err=True)
        ctx.exit(1)


def _echo(found: Any, wide: bool) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 100
    if found.rows:
        click.echo(f"\n{found.table(max(width, 90), wide=wide)}\n")
    for line in [*found.answer(), found.base.in_words(), *(f"note: {note}" for note in found.footnotes())]:
        click.echo(line)
    click.echo(f"\npage    {found.root / 'comparison.html'}\nothers  comparison.csv, .json, .md beside it")
