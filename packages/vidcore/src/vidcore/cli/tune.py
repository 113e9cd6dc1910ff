"""``vidcore tune``: the best options of a composition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vidcore.cli._data import layout_option
from vidcore.cli._names import ComponentName
from vidcore.cli._numbers import number_options, number_overrides
from vidcore.cli._table import echo_table
from vidcore.cli._weights import named_with_weights, random_option, weights_option


@click.command()
@click.option(
    "--extractor", "extractors", multiple=True, type=ComponentName("extractor"), metavar="NAME",
    help="As for train; several are fused.",
)  # fmt: skip
@weights_option
@random_option
@click.option("--data", "source", metavar="PATH|NAME", help="A folder of classes, a CSV/JSONL manifest, a data set.")
@layout_option
@click.option("--fusion", type=ComponentName("fusion"), metavar="NAME", help="As for train.")
@click.option("--readout", type=ComponentName("readout"), metavar="NAME", help="As for train.")
@click.option("--head", type=ComponentName("head"), metavar="NAME", help="As for train.")
@number_options("frames", "epochs", "batch_size")
@click.option("--config", "file", type=click.Path(path_type=Path), help="A YAML file, as for train.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("tuning"), show_default=True, help="The study's folder."
)
@click.option("--trials", type=click.IntRange(1), default=30, show_default=True, help="How many there shall be in all.")
@click.option(
    "--sampler",
    type=click.Choice(["tpe", "grid"]),
    default="tpe",
    show_default=True,
    help="grid: 4 points an interval.",
)
@click.option(
    "--search",
    multiple=True,
    metavar="KEY=SPACE",
    help="train.lr=1e-5..1e-2:log, readout.options.width=128,256; by default what the parts declare.",
)
@click.option(
    "--share", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True,
    help="Part of the training rows that trials see.",
)  # fmt: skip
@click.option("--top", type=click.IntRange(0), default=3, show_default=True, help="Settings trained on all rows.")
@click.option("--no-prune", is_flag=True, help="Let every trial run to its end.")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
def tune(
    extractors: tuple[str, ...],
    source: str | None,
    layout: str | None,
    fusion: str | None,
    readout: str | None,
    head: str | None,
    frames: int | None,
    epochs: int | None,
    batch_size: int | None,
    file: Path | None,
    out: Path,
    trials: int,
    sampler: str,
    search: tuple[str, ...],
    share: float,
    top: int,
    no_prune: bool,
    weights: str | None,
    random_weights: bool,
    overrides: tuple[str, ...],
) -> None:
    """Search learning rate, weight decay and the options of readout and head; then train the best settings.

    Trials are judged by validation rows and never see a test row. The same command goes on where it was
    stopped, and adds trials where --trials is larger.
    """
    from vidcore.catalog import installed
    from vidcore.cli.train import run_choices
    from vidcore.config import build_run_config
    from vidcore.config.early import check_run, refuse_random, require

    if extractors or weights:
        extractors, overrides = named_with_weights(extractors, overrides, weights)
    overrides = (*number_overrides(frames=frames, epochs=epochs, batch_size=batch_size), *overrides)
    config = build_run_config(file, run_choices(extractors, source, fusion, readout, head, layout=layout), overrides)
    check_run(config, installed())
    if not random_weights:
        refuse_random(config.extractors, installed())
    require("optuna", "vidcore tune", "tune")
    from vidcore.analysis.tuning import tune as start
    from vidcore.analysis.tuning.headline import headline

    found: dict[str, Any] = start(
        config,
        out,
        trials=trials,
        sampler=sampler,  # type: ignore[arg-type]  # click has checked it
        search=search,
        share=share,
        top=top,
        prune=not no_prune,
        said=click.echo,
    ).as_dict()
    if found["importance"]:
        click.echo("")
        shares = sorted(found["importance"].items(), key=lambda item: -item[1])
        echo_table(["searched", "importance"], [[key, f"{value:.2f}"] for key, value in shares], right=(1,))
    click.echo("")
    rows = [
        [str(one["trial"] + 1), f"{one['score']:.4f}", f"{one['search_score']:.4f}", one["run"]]
        for one in found["kept"]
    ]
    echo_table(["trial", f"validation {found['metric']}", "in the search", "run"], rows, right=(0, 1, 2))
    if found["kept"]:
        click.echo("\n" + "\n".join(headline(found)))
    click.echo(f"\nreport  {out / 'tuning.html'}")
    if found["kept"]:
        click.echo(f"details vidcore evaluate {found['kept'][0]['run']}")
