"""Numbers in words, for tables that people read."""

from __future__ import annotations

from collections.abc import Sequence

_DECIMAL = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BINARY = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))


def count(number: float | None) -> str:
    """``12.3 M``; operations, parameters."""
    return _scaled(number, _DECIMAL, "")


def size(number: float | None) -> str:
    """Bytes: ``1.2 GiB``."""
    return _scaled(number, _BINARY, "B")


def seconds(number: float | None) -> str:
    """A time: ``3.1 ms``, ``2.4 s``, ``12 min``, ``1.5 h``."""
    if number is None:
        return ""
    for limit, factor, unit in ((1e-3, 1e-6, "µs"), (1.0, 1e-3, "ms"), (120.0, 1.0, "s"), (7200.0, 60.0, "min")):
        if number < limit:
            return f"{_digits(number / factor)} {unit}"
    return f"{_digits(number / 3600)} h"


def share(number: float | None) -> str:
    """A score: ``0.833``."""
    return "" if number is None else f"{number:.3f}"


def interval(limits: Sequence[float] | None, *, sign: bool = False) -> str:
    """``0.751-0.893``; with signs ``-0.120 to +0.031``."""
    if not limits:
        return ""
    low, high = limits
    return f"{low:+.3f} to {high:+.3f}" if sign else f"{low:.3f}-{high:.3f}"


def chance(p: float) -> str:
    """A p value: ``0.032``, ``<0.001``."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _scaled(number: float | None, units: Sequence[tuple[float, str]], bare: str) -> str:
    if number is None:
        return ""
    for limit, unit in units:
        if number >= limit:
            return f"{_digits(number / limit)} {unit}"
    return f"{number:.0f} {bare}".rstrip()


def _digits(number: float) -> str:
    """Three figures: 1.23, 12.3, 123."""
    return f"{number:.2f}" if number < 9.995 else f"{number:.1f}" if number < 99.95 else f"{number:.0f}"
