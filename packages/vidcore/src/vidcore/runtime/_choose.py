"""Which engine runs: each candidate built, verified and timed once, then remembered."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidcore.runtime._candidates import Candidate
from vidcore.runtime._job import CONVERSION_ERRORS, CannotRunError, Engine, Job, first_line
from vidcore.runtime._measure import TOLERANCE, difference, seconds_each
from vidcore.runtime._memory import Memory
from vidcore.runtime.report import CandidateReport

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """An engine that was verified, and what was found out about its rivals."""

    name: str
    engine: Engine
    difference: float
    candidates: tuple[CandidateReport, ...]
    remembered: bool


class Chooser:
    """Chooses for one request among its candidates; what it needs is found in ``memory`` from the second time on."""

    def __init__(
        self,
        request: str,
        candidates: Mapping[str, Candidate],
        job: Job,
        memory: Memory,
        tolerance: float = TOLERANCE,
    ) -> None:
        self._request, self._candidates, self._job, self._memory = request, candidates, job, memory
        self._tolerance = tolerance
        self._reports: dict[str, CandidateReport] = {}

    def choose(self) -> Choice | None:
        """The remembered engine where it still agrees with eager, else the fastest that does; None: none can run."""
        with self._memory.locked():
            return self._recalled() or self._compared()

    def refusals(self) -> str:
        """Why each candidate cannot run, after ``choose`` gave None."""
        return "; ".join(f"{report.name}: {report.reason}" for report in self._reports.values() if report.reason)

    def _recalled(self) -> Choice | None:
        record = self._memory.recall(self._request)
        name: Any = record["chosen"] if record else None
        if record is None or name not in self._candidates:
            return None
        try:
            engine = self._loaded(name)
            if engine is None:
                return None
            apart = self._apart(engine)
        except CannotRunError as exc:
            log.warning("%s remembered for %s: %s; choosing again", name, self._memory.folder.name, exc)
            return None
        if not apart <= self._tolerance:
            log.warning("%s remembered for %s differs by %.1e now", name, self._memory.folder.name, apart)
            self._path(name).unlink(missing_ok=True)
            return None
        return Choice(name, engine, apart, tuple(CandidateReport(**report) for report in record["candidates"]), True)

    def _compared(self) -> Choice | None:
        engines: dict[str, Engine] = {}
        kept = {name for name in self._candidates if self._path(name).exists()}
        for name in self._candidates:
            log.info("trying %s for %s", name, self._memory.identity["model"])
            try:
                engine = self._loaded(name) or self._built(name)
                apart = self._apart(engine)
            except CannotRunError as exc:
                self._reports[name] = CandidateReport(name, reason=str(exc))
                continue
            reason = (
                "" if apart <= self._tolerance else f"refused: differs by {apart:.1e}, at most {self._tolerance:.0e}"
            )
            self._reports[name] = CandidateReport(name, difference=apart, reason=reason)
            if reason:
                self._path(name).unlink(missing_ok=True)
            else:
                engines[name] = engine
        if not engines:
            return None
        seconds: dict[str, float] = {}
        if len(engines) > 1:
            inputs = self._job.inputs
            runs = {name: lambda engine=engine: engine(inputs) for name, engine in engines.items()}
            seconds = seconds_each(runs, inputs[0].device, self._job.threads)
        chosen = min(engines, key=lambda name: seconds.get(name, 0.0))
        reports = tuple(
            CandidateReport(r.name, seconds.get(r.name), r.difference, r.reason) for r in self._reports.values()
        )
        self._memory.remember(self._request, {"chosen": chosen, "candidates": [asdict(report) for report in reports]})
        for name in engines.keys() - {chosen} - kept:
            self._path(name).unlink(missing_ok=True)
        return Choice(chosen, engines[chosen], float(self._reports[chosen].difference or 0.0), reports, False)

    def _loaded(self, name: str) -> Engine | None:
        """The engine as an earlier start left it, or as it is made at each start; None: it is to be built."""
        candidate, path = self._candidates[name], self._path(name)
        if candidate.load is None:
            return candidate.build(self._job, path)
        if not path.is_file():
            return None
        try:
            return candidate.load(self._job, path)
        except CannotRunError as exc:
            log.warning("%s: %s; making it anew", path, exc)
            return None

    def _built(self, name: str) -> Engine:
        path = self._path(name)
        try:
            with self._memory.replacing(path) as temporary:
                return self._candidates[name].build(self._job, temporary)
        except OSError as exc:
            raise CannotRunError(f"it cannot be kept: {first_line(exc)}") from exc

    def _apart(self, engine: Engine) -> float:
        try:
            return difference(engine(self._job.inputs), self._job.reference)
        except CONVERSION_ERRORS as exc:
            raise CannotRunError(f"it fails when it runs: {first_line(exc)}") from exc

    def _path(self, name: str) -> Path:
        return self._memory.folder / (self._candidates[name].file or f"{name}.none")
