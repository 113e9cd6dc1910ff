"""A run's test scores as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from vidcore.cli._table import echo_table


def echo_results(results: Mapping[str, Any]) -> None:
    """Print scores with intervals and baselines, what the weights were, and the footnotes."""
    from vidcore.training.summary import result_rows, weights_in_words

    test = results["test"]
    click.echo(f"\n{test['clips']} clips of the {test['split']} split, model of epoch {results['best_epoch']}")
    echo_table(["score", "value", "95 % interval", "baseline"], result_rows(results), right=(1,))
    for stream, facts in results["extractors"].items():
        click.echo(f"weights of {stream} before training: {weights_in_words(facts)}")
    for note in results["notes"]:
        click.echo(f"note: {note}")
