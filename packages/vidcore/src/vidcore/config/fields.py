"""Every field of the run configuration as rows: its key, type, default and one line about it."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vidcore.config.run import RunConfig


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field.

    Attributes:
        key: as it is typed: ``train.lr``, ``heads.0.weight``.
        type: in words.
        default: as it is typed; empty where a value must be given.
        about: what it does.
    """

    key: str
    type: str
    default: str
    about: str


def field_rows(model: type[BaseModel] = RunConfig, prefix: str = "") -> Iterator[FieldRow]:
    """The fields of ``model``, and of the sections in it, in their order."""
    for name, field in model.model_fields.items():
        key, section = f"{prefix}{name}", _section(field.annotation)
        if section is not None:
            index = "0." if _is_sequence(field.annotation) else ""
            yield from field_rows(section, f"{key}.{index}")
        else:
            about = " ".join((field.description or "").split())
            yield FieldRow(key, type_in_words(field.annotation), _default(field), about)


def keys_ending_in(name: str) -> list[str]:
    """Keys whose last part is ``name``: what somebody means who leaves out the section."""
    return [row.key for row in field_rows() if row.key.rpartition(".")[2] == name]


def type_in_words(annotation: Any) -> str:
    """A type as a person says it: ``integer or null``."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (types.UnionType, typing.Union):
        return " or ".join(type_in_words(argument) for argument in arguments)
    if origin is typing.Annotated:
        return type_in_words(arguments[0])
    if origin in (tuple, list):
        return f"list of {type_in_words(arguments[0])}"
    plain = {int: "integer", float: "number", bool: "true | false", str: "text", type(None): "null"}
    return plain.get(annotation) or ("mapping" if origin is dict else getattr(annotation, "__name__", "text").lower())


def _section(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, alone, in a list, or where there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [_section(argument) for argument in typing.get_args(annotation)]
    return next((model for model in found if model is not None), None)


def _is_sequence(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (tuple, list)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(str, value))}]"
    return str(value)
