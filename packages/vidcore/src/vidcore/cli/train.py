"""``vidcore train``: from names and data to a trained, tested model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from vidcore.cli._data import layout_option
from vidcore.cli._folds import Folds
from vidcore.cli._names import ComponentName
from vidcore.cli._numbers import number_options, number_overrides
from vidcore.cli._weights import named_with_weights, random_option, weights_option


@click.command()
@click.option(
    "--extractor",
    "extractors",
    multiple=True,
    type=ComponentName("extractor"),
    metavar="NAME",
    help="family/variant[.weights or =FILE]; several are fused.",
)
@weights_option
@random_option
@click.option("--data", "source", metavar="PATH|NAME", help="A folder of classes, a CSV/JSONL manifest, a data set.")
@layout_option
@click.option(
    "--fusion", type=ComponentName("fusion"), metavar="NAME",
    help="How several extractors become one.  [default: concat]",
)  # fmt: skip
@click.option(
    "--readout", type=ComponentName("readout"), metavar="NAME",
    help="What the head reads of the features.  [default: mean]",
)  # fmt: skip
@click.option(
    "--head",
    "heads",
    multiple=True,
    type=ComponentName("head"),
    metavar="NAME",
    help="The task; several are trained at once.  [default: classification]",
)
@click.option("--config", "file", type=click.Path(path_type=Path), help="A YAML file; a run's config.yaml repeats it.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for run folders.  [default: runs]")
@click.option("--name", help="Name of the run's folder.")
@click.option(
    "--folds", type=Folds(2), metavar="K|group", help="Cross-validate: K models, or one per group that is left out."
)
@click.option(
    "--grid", multiple=True, metavar="KEY=VALUES", help="lr=1e-4,1e-3,wd=0,0.05: heads trained at once, the best kept."
)
@number_options()
@click.option("--time-budget", metavar="TIME", help="Stop after 2h, 90m, 1h30m with the best model so far.")
@click.option("--resume", "run", type=click.Path(path_type=Path), help="Go on with a run that was stopped.")
@click.option("--force", is_flag=True, help="With --resume: although data or versions changed.")
@click.option("-v", "--verbose", is_flag=True, help="One line per epoch as well; metrics.csv has them in any case.")
@click.option("--on-error", type=click.Choice(["stop", "skip"]), help="What to do about videos that cannot be read.")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
def train(
    extractors: tuple[str, ...],
    source: str | None,
    layout: str | None,
    fusion: str | None,
    readout: str | None,
    heads: tuple[str, ...],
    file: Path | None,
    out: Path | None,
    name: str | None,
    folds: int | str | None,
    grid: tuple[str, ...],
    frames: int | None,
    epochs: int | None,
    lr: float | None,
    batch_size: int | None,
    time_budget: str | None,
    run: Path | None,
    force: bool,
    verbose: bool,
    on_error: str | None,
    weights: str | None,
    random_weights: bool,
    overrides: tuple[str, ...],
) -> None:
    """Train extractors, a readout and a head on videos, and test them.

    Without arguments it trains basic/keypoints on trajectory videos that it makes itself. Any field of
    the configuration can be set: train.seed=3 data.size=128 extractors.0.options.depth=6
    """
    if extractors or weights:
        extractors, overrides = named_with_weights(extractors, overrides, weights)
    overrides = (*number_overrides(frames=frames, epochs=epochs, lr=lr, batch_size=batch_size), *overrides)
    head = heads[0] if len(heads) == 1 else None
    choices = run_choices(extractors, source, fusion, readout, head, out, name, on_error, folds, layout)
    if len(heads) > 1:
        choices["heads"] = [{"name": name} for name in heads]
    if run is not None:
        if choices or file or overrides or grid:
            raise click.UsageError(
                "--resume goes on with the run's own configuration: give no other option but --force, --time-budget "
                "and --verbose"
            )
        _resume(run, force, time_budget, verbose)
        return
    if force:
        raise click.UsageError("--force belongs to --resume")
    from vidcore.catalog import installed
    from vidcore.config import build_run_config, parse_grid
    from vidcore.config.early import check_run, refuse_random

    if grid:
        choices.setdefault("train", {})["grid"] = parse_grid(grid).model_dump(mode="json")
    if time_budget is not None:
        choices.setdefault("train", {})["time_budget"] = time_budget
    config = build_run_config(file, choices, overrides)
    # Before torch is imported, which takes seconds.
    check_run(config, installed())
    if not random_weights:
        refuse_random(config.extractors, installed())
    from vidcore.training import train as start

    _carry_out(lambda: start(config, show=True, verbose=verbose))


def run_choices(
    extractors: tuple[str, ...],
    source: str | None,
    fusion: str | None,
    readout: str | None,
    head: str | None,
    out: Path | None = None,
    name: str | None = None,
    on_error: str | None = None,
    folds: int | str | None = None,
    layout: str | None = None,
) -> dict[str, Any]:
    """The options that were given, as keys of the run configuration."""
    named = (("source", source), ("layout", layout), ("on_error", on_error))
    data = {key: value for key, value in named if value is not None}
    parts = {key: {"name": value} for key, value in (("fusion", fusion), ("readout", readout), ("head", head)) if value}
    plain = {key: value for key, value in (("out", out), ("name", name)) if value is not None}
    chosen: dict[str, Any] = {**parts, **plain}
    if data:
        chosen["data"] = data
    if folds is not None:
        chosen["train"] = {"folds": folds}
    if extractors:
        chosen["extractors"] = [{"name": extractor} for extractor in extractors]
    return chosen


def _resume(run: Path, force: bool, time_budget: str | None, verbose: bool) -> None:
    from vidcore.config.durations import seconds

    try:
        budget = None if time_budget is None else float(seconds(time_budget))
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--time-budget") from exc
    from vidcore.training import resume

    _carry_out(lambda: resume(run, force=force, time_budget=budget, show=True, verbose=verbose))


def _carry_out(start: Callable[[], Any]) -> None:
    from vidcore.training import RunInterruptedError
    from vidcore.training.device import is_first_process

    try:
        run = start()
    except RunInterruptedError as exc:
        # Of several processes that were stopped together one says so.
        if is_first_process():
            raise
        sys.exit(exc.exit_code)
    if is_first_process():
        _finish(run)


def _finish(run: Any) -> None:
    from vidcore.analysis import write_report
    from vidcore.cli._results import echo_results

    echo_results(run.read_results())
    report = write_report(run)
    click.echo(f"\nrun     {run.root}\nreport  {report}\npredict with: vidcore predict {run.root} VIDEO...")
