"""A grid of learning rates, weight decays and seeds, as it is written and read."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vidcore.errors import ConfigError

_KEYS = {"lr": "lr", "weight_decay": "weight_decay", "wd": "weight_decay", "seed": "seed", "seeds": "seed"}
_SYNTAX = "--grid lr=1e-4,3e-4,1e-3 --grid wd=0,0.05"


class GridConfig(BaseModel):
    """Values to cross; where there are none, the configuration's own is the only one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    lr: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = ()
    """Peak learning rates."""
    weight_decay: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] = ()
    seed: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = ()
    """Seeds of weights and order, over which the score of a combination is averaged."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return parse_grid([value]).model_dump()
        except ConfigError as exc:
            raise ValueError(str(exc)) from exc

    @field_validator("lr", "weight_decay", "seed")
    @classmethod
    def _each_once(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(values)) < len(values):
            raise ValueError("a value is there twice")
        return values

    @model_validator(mode="after")
    def _something_to_choose(self) -> GridConfig:
        if max(len(self.lr), len(self.weight_decay), len(self.seed)) < 2:
            raise ValueError("give two values or more of lr, weight_decay or seed")
        return self


def parse_grid(texts: Iterable[str]) -> GridConfig:
    """Read ``lr=1e-4,3e-4 wd=0,0.05``: keys ``lr``, ``wd`` (or ``weight_decay``) and ``seed``, each with its values.

    Keys are separated by spaces, by commas, or by being texts of their own: a value belongs to the key before it.

    Raises:
        ConfigError: an unknown key, one that is there twice, no value, one that is no number or out of range, or
            nothing to choose among.
    """
    found: dict[str, list[float]] = {}
    for text in texts:
        key = ""
        for part in text.replace(",", " ").split():
            name, equals, value = part.rpartition("=")
            if equals:
                key = _key(name, found)
                found[key] = []
            elif not key:
                raise ConfigError(f"the grid has a value without a key, {part!r}; write: {_SYNTAX}")
            if value:
                found[key].append(_number(key, value, found[key]))
    empty = [key for key, values in found.items() if not values]
    if not found or empty:
        what = f"gives {empty[0]} no value" if empty else "is empty"
        raise ConfigError(f"the grid {what}; write: {_SYNTAX}")
    if max(map(len, found.values())) < 2:
        raise ConfigError(f"the grid has one value of each: there is nothing to compare; write: {_SYNTAX}")
    return GridConfig(
        lr=tuple(found.get("lr", ())),
        weight_decay=tuple(found.get("weight_decay", ())),
        seed=tuple(int(seed) for seed in found.get("seed", ())),
    )


def _key(name: str, found: Mapping[str, object]) -> str:
    if name not in _KEYS:
        near = difflib.get_close_matches(name, _KEYS, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else "keys: lr, wd, seed"
        raise ConfigError(f"unknown key {name!r} in the grid; {hint}")
    if _KEYS[name] in found:
        raise ConfigError(f"the grid names {_KEYS[name]!r} twice; put its values into one: {name}=1,2")
    return _KEYS[name]


def _number(key: str, text: str, before: Sequence[float]) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"the grid's {key} has a value that is no number: {text!r}; write: {_SYNTAX}") from None
    lowest = "above 0" if key == "lr" else "0 or above" if key == "weight_decay" else "a whole number from 0 on"
    good = {"lr": value > 0, "weight_decay": value >= 0, "seed": value >= 0 and value == value // 1 and value < 2**32}
    if not math.isfinite(value) or not good[key]:
        raise ConfigError(f"the grid's {key} is {text}; must be {lowest}")
    if value in before:
        raise ConfigError(f"the grid's {key} has {text} twice")
    return value
