"""One cell of a comparison: a composition that is trained and tested like every other one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from vidcore.config import Choice, ExtractorChoice
from vidcore.errors import RunError

Combination = tuple[ExtractorChoice, ...]
"""The extractors of a row: one, or several that are fused."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Extractors, and what comes after them. ``fusion`` is ``None`` where there is one extractor."""

    extractors: Combination
    fusion: Choice | None
    readout: Choice
    head: Choice

    @property
    def slug(self) -> str:
        """Name of its folder: readable, and another one for every other choice or option."""
        digest = hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()[:8]
        names = "+".join(choice.name for choice in self.extractors)
        parts = [names, *([self.fusion.name] if self.fusion else []), self.readout.name, self.head.name]
        return re.sub(r"[^A-Za-z0-9_.+-]+", "_", "-".join(parts))[:80] + f"-{digest}"

    @property
    def title(self) -> str:
        """In words: ``a + b, gated, mean, classification``."""
        parts = [" + ".join(choice.name for choice in self.extractors), *([self.fusion.name] if self.fusion else [])]
        return ", ".join([*parts, self.readout.name, self.head.name])

    def as_dict(self) -> dict[str, Any]:
        """Plain data; ``Cell.from_dict`` reads it back."""
        return {
            "extractors": [_plain(choice) for choice in self.extractors],
            "fusion": _plain(self.fusion) if self.fusion else None,
            "readout": _plain(self.readout),
            "head": _plain(self.head),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cell:
        """What ``as_dict`` gave.

        Raises:
            RunError: the data is no cell.
        """
        try:
            return cls(
                tuple(ExtractorChoice.model_validate(choice) for choice in data["extractors"]),
                Choice.model_validate(data["fusion"]) if data["fusion"] else None,
                Choice.model_validate(data["readout"]),
                Choice.model_validate(data["head"]),
            )
        except (KeyError, TypeError, ValidationError) as exc:
            raise RunError(f"this is no cell of a comparison: {exc}") from exc


def cross(
    combinations: Iterable[Combination], fusions: Sequence[Choice], readouts: Sequence[Choice], heads: Sequence[Choice]
) -> list[Cell]:
    """Every combination with every readout and head; those of several extractors also with every fusion."""
    cells = [
        Cell(combination, fusion, readout, head)
        for combination in combinations
        for fusion in (fusions if len(combination) > 1 else [None])
        for readout in readouts
        for head in heads
    ]
    return list({cell.slug: cell for cell in cells}.values())


def labels(cells: Sequence[Cell]) -> list[str]:
    """Names of rows in a table: the extractors, and the parts and options in which the rows differ."""
    readouts, heads = ({_words(getattr(cell, part)) for cell in cells} for part in ("readout", "head"))
    plain = [" + ".join(choice.name for choice in cell.extractors) for cell in cells]
    found = []
    for cell, name in zip(cells, plain, strict=True):
        twins = {
            " + ".join(map(_words, other.extractors)) for other, same in zip(cells, plain, strict=True) if same == name
        }
        shown = [" + ".join(map(_words, cell.extractors)) if len(twins) > 1 else name]
        shown += [_words(cell.fusion)] if cell.fusion else []
        shown += [_words(cell.readout)] if len(readouts) > 1 else []
        shown += [_words(cell.head)] if len(heads) > 1 else []
        found.append(", ".join(shown))
    return found


def _plain(choice: Choice) -> dict[str, Any]:
    # Only what was chosen: a field that a later version adds does not make another cell of it.
    return choice.model_dump(mode="json", exclude_defaults=True)


def _words(choice: Choice) -> str:
    chosen = _plain(choice)
    fields = {**chosen.pop("options", {}), **chosen}
    options = [f"{key}={json.dumps(value)}".replace('"', "") for key, value in fields.items() if key != "name"]
    return f"{choice.name} ({', '.join(options)})" if options else choice.name
