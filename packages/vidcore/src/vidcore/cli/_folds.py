"""The option ``--folds``."""

from __future__ import annotations

from typing import Any

import click


class Folds(click.ParamType[int | str]):
    """A number of folds, or ``group``: one fold for each group of the data."""

    name = "folds"

    def __init__(self, least: int) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number, or ``"group"``."""
        if value == "group":
            return "group"
        try:
            count = int(value)
        except ValueError:
            count = self._least - 1
        if count < self._least:
            self.fail(f"{value!r} is neither a number of folds, {self._least} or more, nor 'group'", param, ctx)
        return count
