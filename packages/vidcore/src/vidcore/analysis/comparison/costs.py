"""What an extractor needs for one clip: measured once per comparison, and kept."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vidcore.analysis.comparison.cells import Cell
from vidcore.analysis.comparison.folder import Base, ComparisonFolder
from vidcore.analysis.efficiency import measure
from vidcore.assemble import create
from vidcore.catalog import ExtractorSpec, Registry
from vidcore.config import ExtractorChoice
from vidcore.data.manifest import read_source
from vidcore.data.streams import drawn_of, read_size
from vidcore.errors import VidcoreError
from vidcore.training.device import chosen_device
from vidcore.training.files import read_json, write_json
from vidcore.training.trained import sampling_of

_FORMAT = 1
# Clips whose windows are counted.
_LOOKED_AT = 16
BATCH = 4
# Enough for a median that tells extractors apart: they differ by factors, not by percents.
_REPEATS, _SECONDS = 10, 5.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What the extractors of a row need for one clip of the comparison.

    Several extractors run one after the other: operations, seconds and memory are sums.

    Attributes:
        parameters: of the extractors, without fusion, readout and head.
        flops: floating-point operations, a multiplication and an addition being two.
        latency: seconds of the forwards of one clip alone, medians; decoding and resizing are not in it.
        throughput: clips per second in batches of ``BATCH``.
        peak_memory: bytes, of such a batch.
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

    @classmethod
    def of(cls, found: Mapping[str, Any], windows: float = 1.0) -> Cost:
        """From what ``Efficiency.as_dict`` gave of one window, for clips of so many."""
        return cls(
            parameters=found["parameters"],
            flops=None if found["flops"] is None else found["flops"] * windows,
            latency=found["latency"]["median"] * windows,
            throughput=found["throughput"]["median"] / windows,
            peak_memory=found["peak_memory"],
            width=found["width"],
            device=found["device"],
        )


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
    """The costs of a comparison's extractors, each measured once and kept in the comparison's folder.

    Attributes:
        notes: what could not be measured, and why.
    """

    def __init__(self, folder: ComparisonFolder, base: Base, registry: Registry) -> None:
        self._folder = folder
        self._base = base
        self._registry = registry
        self.notes: list[str] = []

    def measure(self, cells: Sequence[Cell], told: Callable[[str], None]) -> None:
        """Measure the extractors of the cells that are done, where they were not yet."""
        choices = {
            _slug(choice): choice for cell in cells if self._folder.state(cell) == "done" for choice in cell.extractors
        }
        for slug, choice in choices.items():
            path = self._folder.costs / f"{slug}.json"
            if path.exists():
                continue
            told(f"measuring {choice.name}")
            try:
                found = _measured(choice, self._folder, self._base, self._registry)
            except (VidcoreError, RuntimeError, MemoryError) as exc:
                # The row was trained and tested; that its cost is unknown takes nothing from that.
                self.notes.append(f"the cost of {choice.name} could not be measured: {str(exc).splitlines()[0]}")
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"format": _FORMAT, "extractor": choice.model_dump(mode="json"), **found})

    def of(self, cell: Cell) -> list[Cost]:
        """What each extractor of a cell needs; nothing where one of them was not measured."""
        paths = [self._folder.costs / f"{_slug(choice)}.json" for choice in cell.extractors]
        if not all(path.exists() for path in paths):
            return []
        found = [read_json(path) for path in paths]
        return [Cost.of(one["efficiency"], one.get("windows", 1.0)) for one in found]

    def seen(self, cells: Sequence[Cell]) -> list[str]:
        """What each extractor saw of a clip, where all do not see the same frames."""
        if self._base.config.data.sampling != "published":
            return []
        choices = {_slug(choice): choice for cell in cells for choice in cell.extractors}
        found = {choice.name: self._folder.costs / f"{slug}.json" for slug, choice in choices.items()}
        facts = {name: read_json(path) for name, path in found.items() if path.exists()}
        return [f"{name} sees {fact['sampling']}" for name, fact in facts.items() if "sampling" in fact]


def _measured(choice: ExtractorChoice, folder: ComparisonFolder, base: Base, registry: Registry) -> dict[str, Any]:
    """The efficiency of one window, and how many windows a clip has in the mean."""
    config = base.config
    extractor = create(choice.name, registry=registry, **choice.options).to(chosen_device(config.train.device))
    sampling = sampling_of(config).of(extractor.clip)
    rows = list(read_source(next(folder.ground.glob("*/split.csv")), labels=False))
    # Those of some clips stand for all.
    drawn = [drawn_of(row, [sampling])[0] for row in rows[:: max(len(rows) // _LOOKED_AT, 1)]]
    windows = sum(one.windows for one in drawn) / len(drawn)
    size = config.data.size
    found = measure(
        extractor,
        batch=BATCH,
        frames=max(one.indices.shape[1] // one.windows for one in drawn),
        size=(size, size) if size is not None else read_size(rows[0]),
        repeats=_REPEATS,
        seconds=_SECONDS,
    )
    words = sampling.in_words().partition(", at most")[0]
    many = f", {windows:.3g} windows a clip in the mean" if sampling.kind == "published" else ""
    return {"efficiency": found.as_dict(), "windows": windows, "sampling": words + many}


def _slug(choice: ExtractorChoice) -> str:
    # Whether it is frozen changes what training costs, not what a clip costs.
    facts = {"name": choice.name, "options": choice.options}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_.+-]+', '_', choice.name)}-{digest}"
