"""What a reader must know of the rows before comparing their numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from vidcore.analysis.comparison.folder import ComparisonFolder
from vidcore.analysis.comparison.row import Row
from vidcore.data.manifest import read_source
from vidcore.training.files import read_json
from vidcore.training.run import RunFolder


def notes_of(folder: ComparisonFolder, rows: Sequence[Row]) -> list[str]:
    """Notes about the data, videos that were left out with the reasons, and in what the rows are not alike."""
    found: dict[str, None] = {}
    for path in sorted(folder.ground.glob("*/data.json")):
        kept = RunFolder(path.parent)
        found.update(dict.fromkeys(read_json(kept.data)["notes"]))
        if kept.skipped.exists():
            left = read_source(kept.skipped, labels=False, check_files=False)
            found.update(dict.fromkeys(f"skipped {row.video}: {row.extra['reason']}" for row in left))
    for number, row in enumerate(rows, 1):
        if not row.complete:
            found[f"row {number} was ended by its time budget: it trained less than others"] = None
    return [*found, *_other_ground(folder, rows)]


def _other_ground(folder: ComparisonFolder, rows: Sequence[Row]) -> list[str]:
    """Versions, devices and tested parts in which the rows differ."""
    facts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, row in enumerate(rows, 1):
        run = folder.run(row.cell)
        for name, value in _facts(run).items():
            facts[name][value].append(number)
    return [
        f"not the same for all rows: {name} is " + ", ".join(f"{value} ({_rows(n)})" for value, n in values.items())
        for name, values in facts.items()
        if len(values) > 1
    ]


def _facts(run: RunFolder) -> dict[str, str]:
    environment: dict[str, Any] = read_json(run.environment)
    versions = {f"plugin {name}": str(version) for name, version in environment["used_plugins"].items()}
    return {
        **versions,
        "vidcore": environment["vidcore"],
        "torch": str(environment["libraries"].get("torch")),
        "device": str(environment["device"]),
        "tested part": str(run.read_results()["test"]["split"]),
    }


def _rows(numbers: Sequence[int]) -> str:
    return ("row " if len(numbers) == 1 else "rows ") + ", ".join(map(str, numbers))
