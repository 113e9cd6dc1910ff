"""Other values of an option are valid by its schema, and different."""

from typing import Literal

import pytest
from pydantic import BaseModel, Field, ValidationError
from vidcore.config import ComponentConfig
from vidcore.testing._options import alternatives, required_options


class Inner(BaseModel):
    depth: int = Field(2, ge=1, le=3)


class Options(ComponentConfig):
    flag: bool = True
    kind: Literal["a", "b", "c"] = "a"
    count: int = Field(4, ge=2, le=8, multiple_of=2)
    rate: float = Field(0.0, ge=0, lt=1)
    width: int | None = Field(None, ge=1)
    sizes: tuple[int, ...] = (4, 8)
    pair: tuple[int, int] = (1, 2)
    weights: Literal["none", "balanced"] | tuple[float, ...] = "none"
    inner: Inner = Inner()
    named: dict[str, int] = Field({"a": 1})
    text: str = "mean"
    told: str = Field("mean", json_schema_extra={"examples": ["max"]})


CURRENT = Options().model_dump(mode="json")


@pytest.mark.parametrize("option", [name for name in Options.model_fields if name != "text"])
def test_alternatives_differ_and_some_are_valid(option):
    found = alternatives(Options, option, CURRENT[option])
    assert found
    assert CURRENT[option] not in found
    valid = [Options(**{option: value}) for value in found if is_valid(option, value)]
    assert valid
    assert all(config != Options() for config in valid)


def is_valid(option, value):
    try:
        Options(**{option: value})
    except ValidationError:
        return False
    return True


def test_numbers_stay_within_their_bounds():
    assert set(alternatives(Options, "count", 4)) == {2, 6, 8}
    assert all(0 <= rate < 1 for rate in alternatives(Options, "rate", 0.0))


def test_a_string_cannot_be_guessed_but_told():
    assert alternatives(Options, "text", "mean") == []
    assert alternatives(Options, "told", "mean") == ["max"]


def test_a_flag_flips_and_nothing_else():
    assert alternatives(Options, "flag", True) == [False]


class Required(ComponentConfig):
    neurons: int = Field(json_schema_extra={"examples": [5]})
    path: str
    depth: int = 3


def test_options_without_a_default_take_their_example():
    assert required_options(Required) == {"neurons": 5}
