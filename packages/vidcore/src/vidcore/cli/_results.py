"""A run's test scores as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from vidcore.cli._table import echo_table


def echo_results(results: Mapping[str, Any]) -> None:
    """Print scores with intervals and baselines, what the weights were, and the footnotes."""
    from vidcore.training.summary import fold_rows, grid_rows, result_rows, weights_in_words

    test, columns = results["test"], ["score", "value", "95 % interval", "baseline"]
    if "grid" in results:
        grid = results["grid"]
        count = len(grid["combinations"])
        click.echo(f"\n{grid['trainings']} trainings of the grid at once, {grid['seconds']:.1f} s; best of {count}:")
        names = ["learning rate", "weight decay", f"validation {grid['score'].replace('_', ' ')}", "sd", "best epoch"]
        echo_table(names, grid_rows(grid), right=range(5))
    if "folds" in results:
        click.echo(f"\n{test['clips']} clips, each answered by the model of the fold that had not seen it")
    else:
        click.echo(f"\n{test['clips']} clips of the {test['split']} split, model of epoch {results['best_epoch']}")
    echo_table(columns, result_rows(results), right=(1,))
    if "interval" in test:
        click.echo(f"interval: {test['interval']}")
    if "folds" in results:
        count = results["folds"]["count"]
        click.echo(f"\nanother quantity: the mean over the {count} folds, each fold counted alike")
        echo_table(["score", "mean", "sd", "each fold"], fold_rows(results), right=(1, 2))
    if "held_out" in results:
        held = results["held_out"]
        click.echo(f"\n{held['clips']} clips of the test split, which is in no fold, and the model that is shipped")
        echo_table(columns, result_rows({"test": held}), right=(1,))
    for stream, facts in results["extractors"].items():
        click.echo(f"{stream} before training: {weights_in_words(facts)}")
    for note in results["notes"]:
        click.echo(f"note: {note}")
