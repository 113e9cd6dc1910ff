"""What an extractor needs for one clip: measured once per comparison, and kept."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from vidcore.analysis.comparison.cells import Cell
from vidcore.analysis.comparison.folder import ComparisonFolder
from vidcore.catalog import ExtractorSpec, Registry
from vidcore.config import ExtractorChoice
from vidcore.training.files import read_json

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """What the extractors of a row need for one clip of the comparison.

    Several extractors run one after the other: operations, seconds and memory are sums.

    Attributes:
        parameters: of the extractors, without fusion, readout and head.
        flops: floating-point operations, a multiplication and an addition being two.
        latency: seconds for one clip alone.
        throughput: clips per second in batches.
        peak_memory: bytes.
        width: channels.
        device: where it was measured.
    """

    parameters: int
    flops: float | None
    latency: float | None
    throughput: float | None
    peak_memory: float | None
    width: int
    device: str


def together(costs: Sequence[Cost]) -> Cost:
    """The cost of extractors that run one after the other on the same clip."""
    slowness = _sum([1 / cost.throughput if cost.throughput else None for cost in costs])
    return Cost(
        parameters=sum(cost.parameters for cost in costs),
        flops=_sum([cost.flops for cost in costs]),
        latency=_sum([cost.latency for cost in costs]),
        throughput=1 / slowness if slowness else None,
        peak_memory=_sum([cost.peak_memory for cost in costs]),
        width=sum(cost.width for cost in costs),
        device=costs[0].device,
    )


def guess(choices: Sequence[ExtractorChoice], registry: Registry) -> float:
    """Parameters, which every row multiplies with the same frames: enough to begin with the cheap rows.

    An extractor that states no number of parameters comes last.
    """
    specs = [registry.get(ExtractorSpec, choice.name) for choice in choices]
    return sum(float("inf") if spec.parameters is None else spec.parameters for spec in specs)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


class Costs:
    """The costs of a comparison's extractors, each measured once and kept in the comparison's folder."""

    def __init__(self, folder: ComparisonFolder) -> None:
        self._folder = folder

    def of(self, cell: Cell) -> list[Cost]:
        """What each extractor of a cell needs; nothing where one of them was not measured."""
        paths = [self._folder.costs / f"{_slug(choice)}.json" for choice in cell.extractors]
        if not all(path.exists() for path in paths):
            return []
        return [Cost(**read_json(path)["cost"]) for path in paths]


def _slug(choice: ExtractorChoice) -> str:
    # Whether it is frozen changes what training costs, not what a clip costs.
    facts = {"name": choice.name, "options": choice.options}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_.+-]+', '_', choice.name)}-{digest}"
