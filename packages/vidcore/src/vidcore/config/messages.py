"""Validation errors as one line per key, with what to type instead."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError


def explain(
    error: ValidationError,
    model: type[BaseModel],
    prefix: str = "",
    elsewhere: Callable[[str], Sequence[str]] | None = None,
) -> str:
    """One line per wrong key: what it is, what was expected, what was got, what is near.

    ``prefix`` is put before every key, for options that sit inside a larger configuration. ``elsewhere`` gives the full
    keys that end in a name, for a name that was typed without its section.
    """
    return "\n".join(_line(issue, model, prefix, elsewhere) for issue in error.errors(include_url=False))


def _line(issue: Any, model: type[BaseModel], prefix: str, elsewhere: Callable[[str], Sequence[str]] | None) -> str:
    path = [str(part) for part in issue["loc"]]
    key = prefix + ".".join(path)
    if issue["type"] == "extra_forbidden":
        known = sorted(_model_at(model, path[:-1]))
        near = difflib.get_close_matches(path[-1], known, 1, 0.5)
        before = key[: len(key) - len(path[-1])]
        others = elsewhere(path[-1]) if elsewhere is not None else []
        if near and not (others and near[0] != path[-1] and len(path) == 1):
            hint = f"did you mean '{before}{near[0]}'?"
        elif others:
            hint = f"did you mean '{others[0]}'?"
        elif {"name", "options"} <= set(known):
            # A component's own option, typed without its section.
            hint = f"did you mean '{before}options.{path[-1]}'?"
        else:
            hint = f"known keys: {', '.join(known) or '(none)'}"
        return f"unknown key '{key}'; {hint}"
    message: str = issue["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if issue["type"] == "missing":
        return f"missing key '{key}'"
    if not path:
        return message
    return f"'{key}': {message}" + ("" if _is_tree(issue["input"]) else f"; got {issue['input']!r}")


def _is_tree(value: Any) -> bool:
    """Whether a value is a section, or several: too much to show."""
    return isinstance(value, dict) or (isinstance(value, (list, tuple)) and any(isinstance(v, dict) for v in value))


def _model_at(model: type[BaseModel], path: list[str]) -> set[str]:
    """Field names of the model reached by a path of field names and indices."""
    current: list[type[BaseModel]] = [model]
    for part in path:
        fields = [m.model_fields[part].annotation for m in current if part in m.model_fields]
        current = [m for annotation in fields for m in _models_in(annotation)] or current
    return {name for m in current for name in m.model_fields}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (types.UnionType, typing.Union, tuple, list, dict, typing.Annotated):
        for argument in typing.get_args(annotation):
            yield from _models_in(argument)
