"""From a data source to rows that can be trained on: checked, split, with targets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidcore.catalog import HeadSpec, Registry
from vidcore.config import RunConfig, component_config
from vidcore.data.datasets import open_source
from vidcore.data.inspect import DataReport, inspect_source
from vidcore.data.manifest import Manifest, Row, read_source, write_manifest
from vidcore.data.splits import Splits, split_rows
from vidcore.data.targets import Targets, class_targets, multilabel_targets
from vidcore.heads.base import TargetInfo
from vidcore.training.loader import default_workers
from vidcore.training.progress import Progress
from vidcore.training.run import RunFolder


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that was left out, and why."""

    row: int
    video: Path
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class PreparedData:
    """Rows, targets and splits of a run. ``numbers`` are the rows' places in the source."""

    rows: list[Row]
    numbers: list[int]
    targets: Targets
    splits: Splits
    skipped: list[Skipped]
    fingerprint: str
    notes: tuple[str, ...] = ()
    multilabel: bool = False

    @property
    def info(self) -> TargetInfo:
        """What a head is told before training."""
        return TargetInfo(
            "multilabel" if self.multilabel else "class", self.targets.classes, self.targets.counts(self.splits.train)
        )

    def as_dict(self, source: str) -> dict[str, Any]:
        """Plain data for ``data.json``."""
        named = self.splits.named()
        return {
            "source": source,
            "fingerprint": self.fingerprint,
            "rows": len(self.rows),
            "skipped": len(self.skipped),
            "kind": self.info.kind,
            "classes": list(self.targets.classes),
            "splits": {name: len(part) for name, part in named.items()},
            "class_counts": {
                name: dict(zip(self.targets.classes, self.targets.counts(part), strict=True))
                for name, part in named.items()
            },
            "notes": list(self.notes),
        }

    def write(self, run: RunFolder) -> None:
        """Write ``split.csv``, and ``skipped.csv`` where rows were left out."""
        home = {number: name for name, part in self.splits.named().items() for number in part}
        write_manifest(
            [
                replace(row, video=row.video.absolute(), split=home[place], extra={"row": self.numbers[place]})
                for place, row in enumerate(self.rows)
                if place in home
            ],
            run.split,
        )
        if self.skipped:
            write_manifest(
                [Row(s.video.absolute(), extra={"row": s.row, "reason": s.reason}) for s in self.skipped], run.skipped
            )


def open_data(config: RunConfig, registry: Registry, progress: Progress) -> tuple[Manifest, str]:
    """The rows of ``config.data.source`` and the fingerprint of rows and files.

    Raises:
        ManifestError, ConfigError, DataError: the source cannot be read or made.
    """
    workers = config.data.workers if config.data.workers else default_workers() + 1
    with progress.counting(f"preparing {config.data.source}") as told:
        manifest = open_source(config.data.source, config.data.options, registry=registry, workers=workers, told=told)
    return manifest, fingerprint(manifest)


def prepare_data(
    config: RunConfig, registry: Registry, manifest: Manifest, mark: str, progress: Progress
) -> PreparedData:
    """Check every video, leave out or refuse the bad ones, split the rest.

    Raises:
        DataError: videos that cannot be used (all of them are listed), classes that cannot be split.
    """
    with progress.counting("checking videos") as told:
        report = inspect_source(manifest, workers=config.data.workers or None, progress=told)
    bad = set(report.bad_rows())
    if config.data.on_error == "stop":
        report.raise_for_failures()
    kept = [number for number in range(len(manifest)) if number not in bad]
    rows = _together([manifest[number] for number in kept], report)
    several = _multilabel(config, registry)
    shares = (1 - config.data.val_fraction - config.data.test_fraction, *_fractions(config))
    # Several labels a row are no strata: such rows are divided by their number only.
    strata = [replace(row, label=None) for row in rows] if several else rows
    splits = split_rows(strata, shares, seed=config.train.seed)
    targets = multilabel_targets(rows) if several else class_targets(rows)
    return PreparedData(rows, kept, targets, splits, _skipped(report), mark, _notes(report), several)


def stored_data(config: RunConfig, registry: Registry, manifest: Manifest, mark: str, run: RunFolder) -> PreparedData:
    """The data of a run as its folder holds it, without checking the videos again; ``manifest`` must be unchanged."""
    kept = read_source(run.split, check_files=False)
    numbers = [int(row.extra["row"]) for row in kept]
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    rows = [replace(kept[i], video=manifest[numbers[i]].video, split=None, extra={}) for i in order]
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for place, i in enumerate(order):
        parts[str(kept[i].split)].append(place)
    several = _multilabel(config, registry)
    skipped = []
    if run.skipped.exists():
        left = read_source(run.skipped, labels=False, check_files=False)
        skipped = [Skipped(int(row.extra["row"]), row.video, str(row.extra["reason"])) for row in left]
    targets = multilabel_targets(rows) if several else class_targets(rows)
    return PreparedData(rows, sorted(numbers), targets, Splits(**parts), skipped, mark, multilabel=several)


def fingerprint(manifest: Manifest) -> str:
    """SHA-256 over the rows and the sizes of their files: another file of the same size goes unseen."""
    digest = hashlib.sha256(manifest.fingerprint.encode())
    for row in manifest:
        digest.update(str(row.video.stat().st_size if row.video.exists() else -1).encode() + b"\n")
    return digest.hexdigest()


def _fractions(config: RunConfig) -> tuple[float, float]:
    return config.data.val_fraction, config.data.test_fraction


def _multilabel(config: RunConfig, registry: Registry) -> bool:
    spec = registry.get(HeadSpec, config.head.name)
    options = component_config(spec, config.head.options)
    return spec.targets == "multilabel" or bool(getattr(options, "multilabel", False))


def _together(rows: list[Row], report: DataReport) -> list[Row]:
    """Files with the same content count as one source, so that no split can share them."""
    source = {path: str(same.paths[0]) for same in report.duplicates for path in same.paths}
    return [
        replace(row, group=f"same content as {source[row.video]}")
        if row.video in source and row.group is None and row.split is None
        else row
        for row in rows
    ]


def _skipped(report: DataReport) -> list[Skipped]:
    found = [Skipped(row, f.path, f"{f.stage}: {f.reason}") for f in report.failures for row in f.rows]
    found += [Skipped(s.row, s.path, "its segment holds no frame") for s in report.short if s.frames == 0]
    return sorted(found, key=lambda skipped: skipped.row)


def _notes(report: DataReport) -> tuple[str, ...]:
    notes = []
    labels = [same for same in report.duplicates if len(same.labels) > 1]
    leaks = [same for same in report.duplicates if len(same.splits) > 1]
    if labels:
        notes.append(f"{len(labels)} videos occur several times with different labels, {labels[0].paths[0]} among them")
    if leaks:
        notes.append(f"{len(leaks)} videos are in several splits under different names: the test is not independent")
    return tuple(notes)


def split_sizes(splits: Splits) -> str:
    """``1400 train, 300 val, 300 test``."""
    return ", ".join(f"{len(part)} {name}" for name, part in splits.named().items())


def groups_of(rows: Sequence[Row]) -> list[str | None]:
    """The group of each row."""
    return [row.group for row in rows]
