"""The table of variants: every other file of this package reads its facts here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One size of the network."""

    width: int
    """Channels of the first stage; the second has twice, the third four times as many."""
    parameters: int
    """Exact count, checked by the conformance suite."""


VARIANTS: dict[str, Variant] = {
    "template/diff3d": Variant(width=32, parameters=282_112),
    # Each family has a tiny variant that tests can build and train in no time.
    "template/diff3d_test": Variant(width=8, parameters=18_688),
}
