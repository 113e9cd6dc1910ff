"""What an extraction did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vidcore.extract.failures import FailedRow


@dataclass(frozen=True)
class ExtractReport:
    """What an extraction did.

    Attributes:
        done: Rows whose features were computed.
        present: Rows that had all their features before.
        elsewhere: Rows that other processes finished meanwhile.
        failures: Rows without features.
        seconds: How long it took, from the first look at the data to the last byte written.
        clips_per_second: ``done`` by the time from the first clip's start.
        stage_seconds: Busy seconds of ``decode``, ``fit``, ``model`` and ``write``, over all processes and threads.
        model_busy: Share of the time in which a model was at work, from 0 to 1.
        batch_sizes: Extractor -> clips in a batch at the end.
        on_gpu: Clips that a GPU decoded.
        notes: What happened that a person should know.
    """

    done: int
    present: int
    elsewhere: int
    failures: tuple[FailedRow, ...] = field(repr=False)
    seconds: float
    clips_per_second: float
    stage_seconds: dict[str, float]
    model_busy: float
    batch_sizes: dict[str, int]
    on_gpu: int = 0
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every row has its features."""
        return not self.failures

    @property
    def rows(self) -> int:
        """Rows seen."""
        return self.done + self.present + self.elsewhere + len(self.failures)

    def shares(self) -> dict[str, float]:
        """Stage -> its share of all busy seconds."""
        busy = sum(self.stage_seconds.values())
        return {stage: spent / busy if busy else 0.0 for stage, spent in self.stage_seconds.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "done": self.done,
            "present": self.present,
            "elsewhere": self.elsewhere,
            "failed": len(self.failures),
            "failures": [
                {"path": str(f.path), "row": f.row, "stage": f.stage, "reason": f.reason} for f in self.failures
            ],
            "seconds": round(self.seconds, 3),
            "clips_per_second": round(self.clips_per_second, 3),
            "stage_seconds": {stage: round(spent, 3) for stage, spent in self.stage_seconds.items()},
            "shares": {stage: round(share, 4) for stage, share in self.shares().items()},
            "model_busy": round(self.model_busy, 4),
            "batch_sizes": self.batch_sizes,
            "on_gpu": self.on_gpu,
            "notes": list(self.notes),
        }
