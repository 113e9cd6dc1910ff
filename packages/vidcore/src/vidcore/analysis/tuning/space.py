"""The search space of a composition: what its parts declare, and what a person adds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vidcore.catalog import FusionSpec, HeadSpec, ReadoutSpec, Registry, load_config
from vidcore.config import Choice, RunConfig, TrainConfig, declared_space, parse_space, run_config
from vidcore.config.search import Space
from vidcore.errors import ConfigError

GRID_POINTS = 4


def search_space(config: RunConfig, registry: Registry, stated: Sequence[str]) -> dict[str, Space]:
    """What to search, by key of the run configuration.

    Args:
        config: the run; options it already sets are not searched.
        registry: components.
        stated: spaces as ``key=low..high:log`` or ``key=a,b``; where there are any, nothing else is searched.

    Raises:
        ConfigError: a space cannot be read, its key or a value is not one of the configuration, or nothing is left.
    """
    if stated:
        space = dict(parse_space(text) for text in stated)
        for key, values in space.items():
            for value in values.grid(2):
                with_values(config, {key: value})
        return space
    # What is fitted in one go has no learning rate.
    fitted = not config.heads and registry.get(HeadSpec, config.head.name).fitted
    space = {} if fitted else declared_space(TrainConfig, "train")
    parts: list[tuple[str, Any, Choice]] = [("readout", ReadoutSpec, config.readout)]
    parts += [(f"heads.{number}", HeadSpec, choice) for number, choice in enumerate(config.heads)]
    if not config.heads:
        parts.append(("head", HeadSpec, config.head))
    if len(config.extractors) > 1:
        parts.insert(0, ("fusion", FusionSpec, config.fusion))
    for part, kind, choice in parts:
        found = declared_space(load_config(registry.get(kind, choice.name)), f"{part}.options")
        space |= {key: values for key, values in found.items() if key.rpartition(".")[2] not in choice.options}
    for number, extractor in enumerate(config.extractors):
        spec = registry.find("extractor", extractor.name)[0].spec
        found = declared_space(load_config(spec), f"extractors.{number}.options")
        space |= {key: values for key, values in found.items() if key.rpartition(".")[2] not in extractor.options}
    if not space:
        raise ConfigError(
            "no part of this composition declares anything to search; state it: --search train.lr=1e-4..1e-2:log"
        )
    return space


def with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """``config`` with the values of some keys.

    Raises:
        ConfigError: a key or value that the configuration does not take.
    """
    tree = config.model_dump(mode="json")
    for key, value in values.items():
        node: Any = tree
        *parents, last = key.split(".")
        for name in parents:
            place: Any = int(name) if isinstance(node, list) else name
            known = isinstance(node, list) and name.isdigit() and int(name) < len(node)
            if not (known or (isinstance(node, dict) and name in node)):
                raise ConfigError(f"{key!r} is not a key of the run configuration: there is no {name!r}")
            node = node[place]
        node[last] = value
    return run_config(tree)


def grid_size(space: Mapping[str, Space]) -> int:
    """How many combinations a grid has."""
    return math.prod(len(values.grid(GRID_POINTS)) for values in space.values())
