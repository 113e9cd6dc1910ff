"""Rows for a search: the ones it may see, and all of them for the models that are kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vidcore.catalog import Registry
from vidcore.config import RunConfig
from vidcore.data.manifest import Row, write_manifest
from vidcore.errors import DataError
from vidcore.heads.base import TargetInfo
from vidcore.training.files import read_json, write_json
from vidcore.training.preparation import open_data, prepare_data
from vidcore.training.progress import Progress


@dataclass(frozen=True, slots=True)
class Ground:
    """Two manifests of one split, ``search`` without a test row and ``full`` with all rows; and what heads are told."""

    search: Path
    full: Path
    info: TargetInfo


def prepare_ground(config: RunConfig, folder: Path, share: float, registry: Registry, progress: Progress) -> Ground:
    """Split the data once, for every trial and for the models that are kept.

    Trials see ``share`` of the training rows, whole groups, and the validation rows; never a test row.

    Raises:
        DataError: no validation rows to choose by, or another split than the folder's study began with.
    """
    data = prepare_data(config, registry, open_data(config, registry, progress), progress)
    ground = Ground(folder / "search.csv", folder / "full.csv", data.info)
    mark = {"fingerprint": data.source.fingerprint, "share": share, "seed": config.train.seed}
    known = folder / "data.json"
    if known.exists():
        if read_json(known) != mark:
            raise DataError(
                f"{folder} holds a study on other data, another share of it or another seed: "
                f"{read_json(known)}; now {mark}\n  use another --out"
            )
        return ground
    if not data.splits.val:
        raise DataError("a search chooses by validation rows and the data has none; set data.val_fraction=0.15")
    rows = [replace(row, video=row.video.absolute(), extra=row.clip_only().extra) for row in data.rows]
    named = {"train": data.splits.train, "val": data.splits.val, "test": data.splits.test}
    seen = _some(data.splits.train, data.rows, share, config.train.seed)
    write_manifest([replace(rows[n], split=s) for s, part in named.items() for n in part], ground.full)
    search = [("train", seen), ("val", data.splits.val)]
    write_manifest([replace(rows[n], split=s) for s, part in search for n in part], ground.search)
    write_json(known, mark)
    return ground


def _some(train: Sequence[int], rows: Sequence[Row], share: float, seed: int) -> list[int]:
    """About ``share`` of the rows of each class, at least one, by whole groups in a random order."""
    if share >= 1:
        return list(train)
    units: dict[str | None, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number in train:
        row = rows[number]
        units[row.label][row.group or str(row.video)].append(number)
    generator = np.random.default_rng(seed)
    kept: list[int] = []
    for groups in units.values():
        wanted = share * sum(map(len, groups.values()))
        names = sorted(groups)
        taken = 0
        for place in generator.permutation(len(names)):
            if taken and taken >= wanted:
                break
            kept += groups[names[place]]
            taken += len(groups[names[place]])
    return sorted(kept)
