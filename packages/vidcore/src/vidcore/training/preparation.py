"""From a data source to rows that can be trained on: checked, split, with targets."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidcore.catalog import HeadSpec, Registry
from vidcore.config import RunConfig, component_config
from vidcore.data._names import look_alikes_note
from vidcore.data.datasets import open_source
from vidcore.data.inspect import DataReport, inspect_source
from vidcore.data.manifest import SPLITS, Row, read_source, write_manifest
from vidcore.data.splits import Splits, fold_splits, split_rows, unequal_folds
from vidcore.data.targets import Targets
from vidcore.heads._published import match_notes
from vidcore.heads.base import TargetInfo
from vidcore.training.contents import OpenedData, opened
from vidcore.training.datasets import together
from vidcore.training.duplicates import kept_together
from vidcore.training.files import replacing
from vidcore.training.head_targets import run_targets, sources_of
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
    """Rows, targets and splits of a run. ``numbers`` are the rows' places in the source.

    With ``folds``, ``splits`` is how the model that is shipped sees the rows: it trains on those of all folds.
    """

    rows: list[Row]
    numbers: list[int]
    targets: Targets
    splits: Splits
    skipped: list[Skipped]
    source: OpenedData
    notes: tuple[str, ...] = ()
    folds: tuple[Splits, ...] = ()

    @property
    def info(self) -> TargetInfo:
        """What a head is told before training."""
        return self.told(self.splits)

    def told(self, splits: Splits) -> TargetInfo:
        """What a head that trains on these splits is told."""
        return TargetInfo.from_dict(self.targets.facts(splits.train))

    @property
    def fold_of(self) -> dict[int, int]:
        """The fold, from 1, that tests each row; rows of no fold are absent."""
        return {row: number for number, splits in enumerate(self.folds, 1) for row in splits.test}

    def as_dict(self, source: str) -> dict[str, Any]:
        """Plain data for ``data.json``."""
        named = self.splits.named()
        return {
            "source": source,
            "fingerprint": self.source.fingerprint,
            "rows": len(self.rows),
            "skipped": len(self.skipped),
            "kind": self.info.kind,
            "classes": list(self.targets.classes),
            "splits": {name: len(part) for name, part in named.items()},
            **({"folds": len(self.folds)} if self.folds else {}),
            "class_counts": {name: self._class_counts(part) for name, part in named.items()},
            "notes": list(self.notes),
        }

    def _class_counts(self, rows: list[int]) -> dict[str, int]:
        """How many of these rows each class has; of several heads, ``label: class``."""
        found = dict(zip(self.targets.classes, self.targets.counts(rows), strict=True))
        for label, part in self.targets.parts.items():
            counts = part.counts(part.at(rows)) or (len(part.at(rows)),)
            names = [f"{label}: {name}" for name in part.classes] or [label]
            found |= dict(zip(names, counts, strict=True))
        return found

    def write(self, run: RunFolder) -> None:
        """Write ``split.csv``, ``folds.csv`` where there are folds, ``skipped.csv`` where rows were left out."""
        home = {number: name for name, part in self.splits.named().items() for number in part}
        write_manifest(
            [
                replace(row, video=row.video.absolute(), split=home[place], extra={**row.extra, **self._where(place)})
                for place, row in enumerate(self.rows)
                if place in home
            ],
            run.split,
        )
        if self.skipped:
            write_manifest(
                [
                    Row(s.video.absolute(), extra={"row": s.row, "reason": s.reason, "content": self._mark(s.row)})
                    for s in self.skipped
                ],
                run.skipped,
            )
        if self.folds:
            self._write_folds(run)

    def _where(self, place: int) -> dict[str, Any]:
        number = self.numbers[place]
        return {"row": number, "content": self._mark(number)}

    def _mark(self, number: int) -> str:
        return self.source.marks[self.source.manifest[number].video]

    def _write_folds(self, run: RunFolder) -> None:
        parts = [{row: name for name, part in splits.named().items() for row in part} for splits in self.folds]
        names = [f"fold{number}" for number in range(1, len(parts) + 1)]
        with replacing(run.folds) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["row", "video", "fold", *names])
            for place, fold in sorted(self.fold_of.items()):
                row = self.rows[place]
                writer.writerow([self.numbers[place], row.video.absolute(), fold, *(part[place] for part in parts)])


def open_data(config: RunConfig, registry: Registry, progress: Progress) -> OpenedData:
    """The rows of ``config.data.source``, or of all sources that heads name, and what is in their files.

    Raises:
        ManifestError, ConfigError, DataError: the source cannot be read or made.
    """
    workers = config.data.workers if config.data.workers else default_workers() + 1
    manifests = {}
    for source, options, layout, labelled in sources_of(config, registry):
        with progress.counting(f"preparing {source}") as told:
            manifests[source] = open_source(
                source, options, registry=registry, workers=workers, told=told, labels=labelled, layout=layout
            )
    return opened(together(manifests), {source: found.published for source, found in manifests.items()})


def prepare_data(config: RunConfig, registry: Registry, source: OpenedData, progress: Progress) -> PreparedData:
    """Check every video, leave out or refuse the bad ones, split the rest.

    Raises:
        DataError: videos that cannot be used (all of them are listed), classes that cannot be split.
    """
    manifest = source.manifest
    with progress.counting("checking videos") as told:
        report = inspect_source(manifest, workers=config.data.workers or None, progress=told)
    bad = set(report.bad_rows())
    if config.data.on_error == "stop":
        report.raise_for_failures()
    kept = [number for number in range(len(manifest)) if number not in bad]
    used = [manifest[number] for number in kept]
    rows = kept_together(used, report.duplicates, folds=config.train.folds is not None)
    targets = run_targets(config, registry, rows, orders=source.orders)
    splits, folds = _divided(_strata(rows, targets), config)
    unequal = unequal_folds(rows, folds)
    notes = (
        *manifest.notes,
        *_about_labels(targets),
        *([unequal] if unequal else []),
        *_notes(report),
        *report.assumptions(),
        *_notes_of_head(config, registry, targets),
    )
    return PreparedData(rows, kept, targets, splits, _skipped(report), source, notes, folds)


def _notes_of_head(config: RunConfig, registry: Registry, targets: Targets) -> list[str]:
    """How the classes of a published classifier were matched to the data's."""
    spec = registry.get(HeadSpec, config.head.name)
    if config.heads or not spec.published:
        return []
    options: Any = component_config(spec, config.head.options)
    return match_notes(options, targets.classes, targets.counts(range(len(targets))))


def _strata(rows: list[Row], targets: Targets) -> list[Row]:
    """Rows whose label is the class they are divided by; several labels and numbers are no strata.

    Rows of several data sets are divided so that each part has all sets, and the classes of their first heads.
    """
    if targets.kind == "several":
        return [replace(row, label=stratum) for row, stratum in zip(rows, _strata_of_heads(targets), strict=True)]
    if targets.kind != "class":
        return [replace(row, label=None) for row in rows]
    return [
        replace(row, label=targets.classes[place]) for row, place in zip(rows, targets.values.tolist(), strict=True)
    ]


def _strata_of_heads(targets: Targets) -> list[str | None]:
    found: list[str | None] = [None] * len(targets)
    several_sets = len({part.rows for part in targets.parts.values()}) > 1
    for label, part in targets.parts.items():
        for number, row in enumerate(part.rows):
            if part.kind == "class" and (found[row] is None or found[row] in targets.parts):
                found[row] = part.classes[int(part.values[number])]
            elif several_sets and found[row] is None:
                found[row] = label
    return found


def _divided(rows: list[Row], config: RunConfig) -> tuple[Splits, tuple[Splits, ...]]:
    val, test, seed = config.data.val_fraction, config.data.test_fraction, config.train.seed
    if config.train.folds is None:
        return split_rows(rows, (1 - val - test, val, test), seed=seed), ()
    # Rows that name a split say which to keep out; the rest is for the folds to divide.
    merged = [row if row.split in (None, "test") else replace(row, split="train") for row in rows]
    held = any(row.split == "test" for row in rows)
    splits = split_rows(merged, (1.0, 0.0, 0.0), seed=seed) if held else Splits(list(range(len(rows))), [], [])
    inner = fold_splits([rows[place] for place in splits.train], config.train.folds, val, seed=seed)
    return splits, tuple(_placed(part, splits.train) for part in inner)


def _placed(splits: Splits, places: list[int]) -> Splits:
    return Splits(*([places[i] for i in part] for part in (splits.train, splits.val, splits.test)))


def stored_data(config: RunConfig, registry: Registry, source: OpenedData, run: RunFolder) -> PreparedData:
    """The data of a run as its folder holds it, without checking the videos again; ``source`` must be unchanged."""
    manifest = source.manifest
    # Rows of numbers have no label.
    kept = read_source(run.split, labels=False, check_files=False)
    numbers = [int(row.extra["row"]) for row in kept]
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    rows = []
    for i in order:
        source_row = manifest[numbers[i]]
        rows.append(replace(kept[i], video=source_row.video, split=None, extra=source_row.extra))
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for place, i in enumerate(order):
        parts[str(kept[i].split)].append(place)
    skipped = []
    if run.skipped.exists():
        left = read_source(run.skipped, labels=False, check_files=False)
        skipped = [Skipped(int(row.extra["row"]), row.video, str(row.extra["reason"])) for row in left]
    targets = run_targets(config, registry, rows, orders=source.orders)
    numbers.sort()
    folds = _stored_folds(run, numbers) if config.train.folds is not None else ()
    return PreparedData(rows, numbers, targets, Splits(**parts), skipped, source, folds=folds)


def _stored_folds(run: RunFolder, numbers: list[int]) -> tuple[Splits, ...]:
    place = {number: i for i, number in enumerate(numbers)}
    with run.folds.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    names = [name for name in table[0] if name.startswith("fold") and name != "fold"]
    return tuple(
        Splits(*([place[int(line["row"])] for line in table if line[name] == part] for part in SPLITS))
        for name in names
    )


def _skipped(report: DataReport) -> list[Skipped]:
    found = [Skipped(row, f.path, f"{f.stage}: {f.reason}") for f in report.failures for row in f.rows]
    found += [Skipped(s.row, s.path, "its segment holds no frame") for s in report.short if s.frames == 0]
    return sorted(found, key=lambda skipped: skipped.row)


def _about_labels(targets: Targets) -> list[str]:
    parts = targets.parts.values() or (targets,)
    return [note for part in parts if (note := look_alikes_note(part.classes)) is not None]


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
