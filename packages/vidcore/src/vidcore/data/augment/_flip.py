"""What a mirror image is called: classes that name a side, and the map that swaps them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from vidcore.errors import ConfigError

_MIRRORED = {
    "left": "right",
    "leftward": "rightward",
    "leftwards": "rightwards",
    "clockwise": "counterclockwise",
    "anticlockwise": "clockwise",
}
SIDES = frozenset(_MIRRORED) | frozenset(_MIRRORED.values())
# Words of "turn_left", "turn left", "turnLeft" and "LEFT_TURN" alike.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def names_side(label: str) -> bool:
    """Whether one of the words of a class is a side."""
    return any(word.lower() in SIDES for word in _WORD.findall(label))


def mirrored_classes(classes: Sequence[str], flip_map: Mapping[str, str]) -> list[int] | None:
    """Index of the class of every class's mirror image; ``None`` where one names a side and is not in the map.

    Raises:
        ConfigError: the map names a class that is not there, or gives one class two mirror images.
    """
    place = {name: index for index, name in enumerate(classes)}
    pairs: dict[str, str] = {}
    for name, mirror in flip_map.items():
        for known in (name, mirror):
            if known not in place:
                near = difflib.get_close_matches(known, classes, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(f"flip_map: the data has no class {known!r}{hint}; it has: {', '.join(classes[:20])}")
        for one, other in ((name, mirror), (mirror, name)):
            if pairs.setdefault(one, other) != other:
                raise ConfigError(
                    f"flip_map: {one!r} is the mirror image of {pairs[one]!r} and of {other!r}; give each class one"
                )
    if any(names_side(name) and name not in pairs for name in classes):
        return None
    return [place[pairs.get(name, name)] for name in classes]


def suggested_map(classes: Sequence[str]) -> dict[str, str]:
    """Pairs of classes that differ in their sides only: what a person may want to write into ``flip_map``."""
    sides = {**{right: left for left, right in _MIRRORED.items()}, **_MIRRORED}
    found: dict[str, str] = {}
    for name in classes:
        other = re.sub("|".join(sorted(SIDES, key=len, reverse=True)), lambda m: sides[m.group()], name)
        if other != name and other in classes and other not in found:
            found[name] = other
    return found
