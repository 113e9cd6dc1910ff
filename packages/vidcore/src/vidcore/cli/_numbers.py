"""Short options for the numbers that most people set: a name each instead of a key of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = {
    "frames": ("data.frames", click.IntRange(1), "Frames a clip."),
    "epochs": ("train.epochs", click.IntRange(1), "Epochs of training by steps.  [default: by the number of clips]"),
    "lr": ("train.lr", click.FloatRange(0, min_open=True), "Peak learning rate of training by steps.  [default: 1e-3]"),
    "batch_size": ("train.batch_size", click.IntRange(1), "Clips a step.  [default: 16]"),
}


def number_options(*names: str) -> Callable[[F], F]:
    """Add ``--frames``, ``--epochs``, ``--lr`` and ``--batch-size`` to a command, or those of them named."""

    def add(command: F) -> F:
        for name in reversed(names or tuple(_OPTIONS)):
            _, kind, text = _OPTIONS[name]
            command = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=text)(command)
        return command

    return add


def number_overrides(**numbers: float | None) -> tuple[str, ...]:
    """``data.frames=32`` and so on for what was given, by the names of the options."""
    return tuple(f"{_OPTIONS[name][0]}={value}" for name, value in numbers.items() if value is not None)
