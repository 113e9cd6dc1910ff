"""Lengths of time as people write them."""

from __future__ import annotations

import re
from typing import Any

_UNITS = {"h": 3600, "m": 60, "s": 1}


def seconds(value: Any) -> Any:
    """``"1h30m"`` -> 5400.0; what is no text is given back for others to check.

    Raises:
        ValueError: the text is no length of time.
    """
    if not isinstance(value, str):
        return value
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", value)
    if not parts or "".join(number + unit for number, unit in parts) != value.replace(" ", ""):
        raise ValueError("give seconds, or hours, minutes and seconds such as 2h, 90m, 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
