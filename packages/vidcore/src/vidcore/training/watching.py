"""How far runs are, read from what they leave: for a person at another terminal, or on another machine."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vidcore.errors import RunError

SILENT_SECONDS = 120.0
"""A run whose heartbeat is older than this may have died: it is written at least every half minute."""
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Where a run stands.

    Attributes:
        root: its folder.
        state: running, silent, done, stopped, failed, or unknown.
        phase: what it does at the moment.
        step: steps of the phase that are done.
        total: steps of the phase.
        clips_per_second: where it counts clips.
        eta_seconds: until the end of the run.
        loss: of the last step.
        score: the test's main score with its 95 % interval, of all folds together; empty before the end.
        silent_seconds: age of the heartbeat.
        message: why it stopped or failed.
        host: where it runs.
    """

    root: Path
    state: str
    phase: str = ""
    step: int = 0
    total: int = 0
    clips_per_second: float | None = None
    eta_seconds: float | None = None
    loss: float | None = None
    score: str = ""
    silent_seconds: float | None = None
    message: str = ""
    host: str = ""


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """The run folders among ``paths`` and below them, the ones that began last at the end.

    Raises:
        RunError: a path is not there.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            raise RunError(f"no run and no folder of runs: {path}")
        found |= dict.fromkeys(_below(path, _DEPTH))
    return sorted(found, key=lambda run: (_began(run), run))


def read_status(root: Path, now: datetime | None = None) -> RunStatus:
    """Where the run in ``root`` stands; what cannot be read is unknown, and never an error."""
    facts = _read(root / "progress.json")
    if not facts:
        return RunStatus(root, "unknown", message="progress.json cannot be read")
    age = _age(facts.get("heartbeat"), now or datetime.now(UTC))
    state = str(facts.get("state", "unknown"))
    if state == "running" and (age is None or age > SILENT_SECONDS):
        state = "silent"
    phase = str(facts.get("phase", ""))
    if facts.get("folds") and state in ("running", "silent"):
        fold = f"fold {facts.get('fold')}"
        # What a fold does by the way, validating for one, does not name it.
        phase = f"{phase if phase.endswith(fold) else f'{phase}, {fold}'} of {facts['folds']}"
    return RunStatus(
        root,
        state,
        phase,
        int(facts.get("step") or 0),
        int(facts.get("total") or 0),
        facts.get("clips_per_second"),
        facts.get("eta_seconds") if state == "running" else None,
        facts.get("loss"),
        _score(_read(root / "results.json")),
        age,
        str(facts.get("message") or "").split("\n")[0],
        str(facts.get("host") or ""),
    )


def _below(folder: Path, depth: int) -> Iterable[Path]:
    if (folder / "progress.json").is_file():
        yield folder
    elif depth:
        for child in sorted(child for child in folder.iterdir() if child.is_dir()):
            yield from _below(child, depth - 1)


def _began(run: Path) -> float:
    config = run / "config.yaml"
    return config.stat().st_mtime if config.is_file() else 0.0


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _age(heartbeat: Any, now: datetime) -> float | None:
    try:
        return max((now - datetime.fromisoformat(str(heartbeat))).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None


def _score(results: dict[str, Any]) -> str:
    scores = results.get("test", {}).get("scores", {})
    if not scores:
        return ""
    name, score = next(iter(scores.items()))
    limits = score.get("interval95")
    interval = f" ({limits[0]:.3f}-{limits[1]:.3f})" if limits else ""
    return f"{name.replace('_', ' ')} {score['value']:.3f}{interval}"
