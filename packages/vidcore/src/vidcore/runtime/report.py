"""What ``accelerate`` found out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class CandidateReport:
    """One engine that was considered."""

    name: str
    seconds: float | None = None
    """Of one batch; ``None`` where it cannot be used or had no rival to be compared with."""
    difference: float | None = None
    """||engine - eager|| / ||eager||, the largest over the outputs."""
    reason: str = ""
    """Why it is not used, where it cannot be."""


@dataclass(frozen=True, slots=True)
class RuntimeReport:
    """The engine chosen for clips of one shape, and what it was compared with."""

    requested: str
    runtime: str
    """The engine that runs: ``eager``, ``eager_channels_last``, ``compiled``, ``compiled_bfloat16``, ``openvino``
    or ``openvino_int8``."""
    precision: str
    shapes: tuple[tuple[int, ...], ...]
    """Shapes of the clip's tensors, batch axis first."""
    difference: float
    """Of the engine from eager float32, measured at this start (int8: when it was quantised)."""
    candidates: tuple[CandidateReport, ...]
    remembered: bool
    """Whether the choice and the compiled network came from the cache."""
    path: Path
    """Folder of the cache that holds them."""
    cosine: float | None = None
    """Mean cosine between the feature vectors of engine and eager; int8 only."""
    notes: tuple[str, ...] = ()
    """What was done to the network, and what was not and why."""

    def speedup(self) -> float | None:
        """Seconds of plain folded eager over those of the engine; ``None`` where they were not timed."""
        seconds = {candidate.name: candidate.seconds for candidate in self.candidates}
        ours, eager = seconds.get(self.runtime), seconds.get("eager")
        return eager / ours if ours and eager else None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data."""
        return {**asdict(self), "path": str(self.path)}
