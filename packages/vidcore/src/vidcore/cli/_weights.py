"""Weights on the command line: one spelling for every command that takes extractors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_OPTION = "weights="

weights_option: Callable[[F], F] = click.option(
    "--weights", metavar="FILE|TAG", help="Weights of the extractor; of several: --extractor NAME=FILE."
)
random_option: Callable[[F], F] = click.option(
    "--random-weights", is_flag=True, help="Frozen extractors may have random weights where published ones exist."
)


def named_with_weights(
    extractors: Sequence[str], words: Sequence[str], weights: str | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Extractors as ``NAME=FILE``, and the other words, where ``--weights FILE`` or ``weights=FILE`` was given.

    Raises:
        UsageError: weights for several extractors, or for none that was named.
    """
    given = [word.removeprefix(_OPTION) for word in words if word.startswith(_OPTION)] + ([weights] if weights else [])
    rest = tuple(word for word in words if not word.startswith(_OPTION))
    if not given:
        return tuple(extractors), rest
    if len(set(given)) > 1:
        raise click.UsageError(f"weights are given twice: {given[0]} and {given[1]}")
    if len(extractors) != 1 or "+" in extractors[0]:
        what = f"{len(extractors)} extractors are" if extractors else "no extractor is"
        raise click.UsageError(f"{what} named, so say whose weights these are: --extractor NAME={given[0]}")
    return (f"{extractors[0]}={given[0]}",), rest
