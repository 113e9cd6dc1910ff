"""Whether options do what options are for: change something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import pytest

from vidcore.errors import ConfigError, ShapeError, WiringError
from vidcore.testing._options import alternatives, extra
from vidcore.testing._tensors import same
from vidcore.testing.component import EXEMPT, ComponentConformance, fail, options_of

# Tried values of one option; the search stops at the first that changes something.
TRIES = 6


class VariationConformance(ComponentConformance):
    """Base of the suites of what is built from options: how one is built, and what of it can be seen."""

    not_options: ClassVar[tuple[str, ...]] = ()
    """Options that other checks cover."""

    def observe(self, built: Any) -> Iterator[Any]:
        """Everything by which an option can make itself felt, the cheapest first."""
        raise TypeError(f"{type(self).__name__} does not say what of its component can be seen")

    def examples(self, option: str) -> Iterable[Any]:
        """Values worth trying that the option's schema cannot know."""
        return ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One check per option."""
        if "option" in metafunc.fixturenames:
            names = [name for name in options_of(type(self)) if name not in self.not_options]
            none = pytest.param("", marks=pytest.mark.skip(reason="it has no options"), id="none")
            metafunc.parametrize("option", names or [none])

    def test_options(self, option: str) -> None:
        """Every option changes something: output, shapes, parameters, clip, or what happens in training."""
        reason = self.spec.exempt.get(f"options.{option}")
        if reason:
            pytest.skip(EXEMPT + reason)
        kind = self.config_type()
        context = dict(extra(kind, option, "when") or {})
        current = self.config(**context).model_dump(mode="json")[option]
        # The same for every option, save those that only count beside others.
        expected = self._plain(context) if context else self.remembered("plain", lambda: self._plain({}))
        tried: list[Any] = []
        refused: list[str] = []
        for value in [*alternatives(kind, option, current), *self.examples(option)]:
            try:
                seen = self.observe(self.build(**{**context, option: value}))
                if any(not same(a, b) for a, b in zip(seen, expected, strict=True)):
                    return
            except (ConfigError, WiringError, ShapeError) as exc:
                refused.append(f"{value!r} ({_reason(exc)})")
                continue
            tried.append(value)
            if len(tried) == TRIES:
                break
        if tried:
            fail(f"option {option!r} changes nothing: {current!r} and {', '.join(map(repr, tried))} give the same")
        fail(
            f"no other valid value of option {option!r} could be derived from its schema; state some with "
            "Field(..., json_schema_extra={'examples': [...]})"
            + (f"; refused: {', '.join(refused[:3])}" if refused else "")
        )

    def _plain(self, context: dict[str, Any]) -> list[Any]:
        """What is seen without the option; seen twice, or else every option would seem to change something."""
        seen = list(self.observe(self.build(**context)))
        if not all(same(a, b) for a, b in zip(seen, self.observe(self.build(**context)), strict=True)):
            fail("two builds with the same seed and options differ, so the effect of an option cannot be seen")
        return seen


def _reason(error: Exception) -> str:
    """The line of a refusal that says why; the last one of an option's refusal only points at ``vidcore info``."""
    lines = [line.strip() for line in str(error).splitlines()]
    return lines[1] if len(lines) > 1 else lines[0]
