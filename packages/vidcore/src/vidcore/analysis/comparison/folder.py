"""The folder of a comparison: what all its rows have in common, the rows, and what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from vidcore.analysis.comparison.cells import Cell
from vidcore.config import RunConfig, run_config
from vidcore.errors import RunError
from vidcore.training.files import read_json, write_json
from vidcore.training.run import RunFolder

_FORMAT = 1
# What changes no number of a row: who loads, where features lie, how often is saved, who is told.
_FREE = {"data": {"workers", "store"}, "train": {"checkpoint_seconds", "trackers"}}

State = Literal["done", "failed", "unfinished", "new"]


@dataclass(frozen=True, slots=True)
class Base:
    """What all rows have in common: data, clips, folds, seed and budget.

    ``fingerprint`` is that of the rows and files of the data.
    """

    config: RunConfig
    fingerprint: str

    @property
    def tree(self) -> dict[str, Any]:
        """The sections of a run configuration that the rows share."""
        return self.config.model_dump(mode="json", include={"augment", "data", "train"})

    def in_words(self) -> str:
        """The common ground in one line."""
        data, train = self.config.data, self.config.train
        folds = f"{train.folds} folds" if train.folds else "one split"
        if train.folds == "group":
            folds = "one group left out at a time"
        frames = (
            "the same segments, each extractor at its published pace"
            if data.sampling == "published"
            else f"the same {data.frames} frames a clip ({data.sampling})"
        )
        budget = (
            f"{train.epochs} epochs of batches of {train.batch_size}"
            if train.epochs is not None
            else "linear heads on frozen features solved, the others trained for as many steps as they need"
        )
        return f"All rows: {frames}, {folds}, seed {train.seed}, {budget}, {train.precision}."


@dataclass(frozen=True, slots=True)
class ComparisonFolder:
    """Paths of a comparison. Every cell is an ordinary run folder below ``cells``, with a record beside it."""

    root: Path

    @property
    def base(self) -> Path:
        """What all rows have in common."""
        return self.root / "base.json"

    @property
    def cells(self) -> Path:
        """The run folders; ``<slug>.json`` beside each says what it is and how its last attempt ended."""
        return self.root / "cells"

    @property
    def ground(self) -> Path:
        """The rows and folds of all cells, per head, in the files of a run folder."""
        return self.root / "ground"

    @property
    def costs(self) -> Path:
        """One measurement per extractor."""
        return self.root / "costs"

    def result(self, kind: Literal["json", "csv", "md", "html"]) -> Path:
        """A file in which the comparison is told."""
        return self.root / f"comparison.{kind}"

    def run(self, cell: Cell) -> RunFolder:
        """The run folder of a cell, whether it is there or not."""
        return RunFolder(self.cells / cell.slug)

    def record(self, cell: Cell) -> Path:
        """What the comparison remembers of a cell beside its run."""
        return self.cells / f"{cell.slug}.json"

    def read_cells(self) -> list[Cell]:
        """Every cell that was ever asked for, by slug.

        Raises:
            RunError: a record cannot be read.
        """
        return [Cell.from_dict(read_json(path)["cell"]) for path in sorted(self.cells.glob("*.json"))]

    def state(self, cell: Cell) -> State:
        """How far a cell is."""
        if self.run(cell).done:
            return "done"
        if not self.record(cell).exists():
            return "new"
        if self.error(cell):
            return "failed"
        return "unfinished" if self.run(cell).root.exists() else "new"

    def error(self, cell: Cell) -> str | None:
        """Why the last attempt failed; ``None`` where it did not."""
        error: str | None = read_json(self.record(cell))["error"]
        return error

    def write_record(self, cell: Cell, error: str | None = None) -> None:
        """Remember a cell, and how its last attempt ended."""
        self.cells.mkdir(parents=True, exist_ok=True)
        write_json(self.record(cell), {"format": _FORMAT, "cell": cell.as_dict(), "error": error})

    def read_base(self) -> Base | None:
        """What the rows have in common; ``None`` in a folder without a comparison.

        Raises:
            RunError: it was written by a newer version, or cannot be read.
        """
        if not self.base.exists():
            return None
        facts = read_json(self.base)
        if facts.get("format") != _FORMAT:
            raise RunError(
                f"{self.base} has format {facts.get('format')!r}; this version reads {_FORMAT}: upgrade vidcore"
            )
        return Base(run_config(facts["config"]), facts["fingerprint"])

    def hold_to(self, base: Base) -> Base:
        """Keep ``base`` as that of a new comparison, or refuse it where the rows that are there had another.

        Raises:
            RunError: another base; the message lists what differs.
        """
        before = self.read_base()
        if before is None:
            self.root.mkdir(parents=True, exist_ok=True)
            facts = {"format": _FORMAT, "fingerprint": base.fingerprint, "config": base.tree}
            write_json(self.base, facts)
            return base
        lines = list(_differences(before.tree, base.tree))
        if before.fingerprint != base.fingerprint and before.config.data.source == base.config.data.source:
            lines.append(f"{base.config.data.source}: its rows or files are others than before")
        if lines:
            differing = "\n  ".join(lines)
            raise RunError(
                f"rows of one comparison share data, clips, folds, seed and budget; those in {self.root} were made "
                f"with others:\n  {differing}\n  start another comparison with --out FOLDER"
            )
        return base

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes to this folder within the block.

        Raises:
            RunError: somebody else does.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.root / ".lock", timeout=0):
                yield
        except Timeout as exc:
            raise RunError(f"another vidcore compare is at work in {self.root}; wait for it or give --out") from exc


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for section, free in _FREE.items():
        for key in before[section].keys() | now[section].keys():
            old, new = before[section].get(key), now[section].get(key)
            if key not in free and old != new:
                yield f"{section}.{key}: was {old!r}, is {new!r}"
