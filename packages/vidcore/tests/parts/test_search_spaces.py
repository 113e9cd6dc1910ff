"""What a search may try of the built-in parts is something that they take."""

from __future__ import annotations

import pytest
from vidcore.catalog import installed, load_config
from vidcore.config import component_config, declared_space

SPECS = [
    (kind, entry.spec)
    for kind in ("fusion", "readout", "head")
    for entry in installed().entries(kind)
    if entry.plugin.distribution == "vidcore"
]


@pytest.mark.parametrize(("kind", "spec"), SPECS, ids=lambda x: getattr(x, "name", x))
def test_declared_values_are_valid_and_hold_the_default(kind, spec):
    config = load_config(spec)
    for name, space in declared_space(config, "").items():
        option = name.removeprefix(".")
        values = space.grid(5)
        assert len(values) > 1
        for value in values:
            assert getattr(component_config(spec, {option: value}), option) == value
        default = getattr(component_config(spec, {}), option)
        assert min(values) <= default <= max(values)


def test_there_is_something_to_search():
    spaces = {spec.name: declared_space(load_config(spec), "") for _, spec in SPECS}
    assert {"cross_attention", "bottleneck", "attention", "gru", "transformer", "classification"} <= {
        name for name, space in spaces.items() if space
    }
