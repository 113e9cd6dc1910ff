"""Search spaces: what a field declares and what a person types."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field
from vidcore.config import declared_space, parse_space, tunable, tunable_among
from vidcore.config.search import Choices, Interval
from vidcore.errors import ConfigError


class Options(BaseModel):
    lr: float = Field(1e-3, json_schema_extra=tunable(1e-4, 1e-2, log=True))
    depth: int = Field(2, json_schema_extra=tunable(1, 4))
    kind: str = Field("a", json_schema_extra=tunable_among("a", "b"))
    fixed: int = 3


def test_fields_declare_what_is_worth_trying():
    assert declared_space(Options, "train") == {
        "train.lr": Interval(1e-4, 1e-2, log=True),
        "train.depth": Interval(1, 4),
        "train.kind": Choices(("a", "b")),
    }


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("train.lr=1e-5..1e-2:log", Interval(1e-5, 1e-2, log=True)),
        ("readout.options.depth=1..4", Interval(1, 4)),
        ("readout.options.width=128,256", Choices((128, 256))),
        ("head.options.class_weights=none,balanced", Choices(("none", "balanced"))),
        ("train.ema=null,0.99", Choices((None, 0.99))),
    ],
)
def test_spaces_are_typed(text, space):
    assert parse_space(text) == (text.partition("=")[0], space)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.lr", "not of the form key=low..high"),
        ("train.lr=", "not of the form key=low..high"),
        ("train.lr=1..x", "'x' is not a number"),
        ("train.lr=2..1", "low must be below high"),
        ("train.lr=0..1:log", "above zero for log"),
        ("train.lr=1..2:ln", "only log is known"),
    ],
)
def test_what_is_no_space_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_space(text)


def test_a_grid_has_its_ends_and_whole_numbers_stay_whole():
    assert Interval(1e-4, 1e-1, log=True).grid(4) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert Interval(1, 3).grid(4) == [1, 2, 3]
    assert Interval(0.0, 1.0).grid(3) == [0.0, 0.5, 1.0]
    assert Choices(("a", "b")).grid(9) == ["a", "b"]
