"""What a search may try for a field of a configuration: declared beside the field, read by ``vidcore tune``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel

from vidcore.errors import ConfigError

_KEY = "search"


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers from ``low`` to ``high``, both included; ``log``: as likely in each decade."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only integers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def grid(self, points: int) -> list[float]:
        """``points`` values at equal distances, ends included; of whole numbers as many as there are."""
        shares = [i / max(points - 1, 1) for i in range(points)]
        if self.log:
            values = [math.exp(math.log(self.low) + share * math.log(self.high / self.low)) for share in shares]
        else:
            values = [self.low + share * (self.high - self.low) for share in shares]
        if self.whole:
            return sorted({round(value) for value in values})
        return [float(f"{value:.6g}") for value in values]

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}{':log' if self.log else ''}"


@dataclass(frozen=True, slots=True)
class Choices:
    """One of some plain values."""

    values: tuple[Any, ...]

    def grid(self, points: int) -> list[Any]:
        """All of them, however many points are asked for."""
        return list(self.values)

    def __str__(self) -> str:
        return ",".join(str(value) for value in self.values)


Space = Interval | Choices


def tunable(low: float, high: float, *, log: bool = False) -> dict[str, Any]:
    """For ``Field(..., json_schema_extra=tunable(1e-4, 1e-2, log=True))``: worth trying; integers stay integers."""
    return {_KEY: {"low": low, "high": high, "log": log}}


def tunable_among(*values: Any) -> dict[str, Any]:
    """For ``Field(..., json_schema_extra=tunable_among("none", "balanced"))``: values worth trying."""
    return {_KEY: {"values": list(values)}}


def declared_space(config: type[BaseModel], prefix: str) -> dict[str, Space]:
    """What the fields of ``config`` declare, under ``prefix.field``."""
    found: dict[str, Space] = {}
    for name, field in config.model_fields.items():
        extra = field.json_schema_extra
        stated = extra.get(_KEY) if isinstance(extra, Mapping) else None
        if isinstance(stated, Mapping):
            found[f"{prefix}.{name}"] = _declared(stated)
    return found


def parse_space(text: str) -> tuple[str, Space]:
    """``train.lr=1e-5..1e-2:log``, ``readout.options.depth=1..4`` or ``readout.options.width=128,256``.

    Raises:
        ConfigError: another form, or an interval that is empty.
    """
    key, equals, stated = text.partition("=")
    if not (equals and key and stated):
        raise ConfigError(
            f"{text!r} is not of the form key=low..high[:log] or key=a,b,c; as in train.lr=1e-4..1e-2:log"
        )
    if ".." not in stated:
        return key, Choices(tuple(_plain(value, text) for value in stated.split(",")))
    numbers, colon, scale = stated.partition(":")
    if colon and scale != "log":
        raise ConfigError(f"{text!r}: the scale after ':' is {scale!r}; only log is known")
    low, high = (_number(part, text) for part in numbers.split("..", 1))
    if not low < high or (scale and low <= 0):
        raise ConfigError(f"{text!r}: low must be below high{', and above zero for log' if scale else ''}")
    return key, Interval(low, high, bool(scale))


def _declared(stated: Mapping[str, Any]) -> Space:
    if "values" in stated:
        return Choices(tuple(stated["values"]))
    return Interval(stated["low"], stated["high"], bool(stated["log"]))


def _plain(value: str, text: str) -> Any:
    try:
        # YAML 1.1 reads 1e-4 as text; a person means the number.
        return _number(value, text)
    except ConfigError:
        return yaml.safe_load(value)


def _number(value: str, text: str) -> float:
    try:
        return int(value)
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"{text!r}: {value!r} is not a number") from None
