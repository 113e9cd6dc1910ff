"""Rows, folds and targets that all cells stand on: drawn once, kept, and given to every cell."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from vidcore.analysis.comparison.folder import ComparisonFolder
from vidcore.catalog import Registry
from vidcore.config import Choice, RunConfig
from vidcore.training.contents import OpenedData
from vidcore.training.files import read_json, write_json
from vidcore.training.preparation import PreparedData, prepare_data, stored_data
from vidcore.training.progress import Progress
from vidcore.training.run import RunFolder, create_run


class Ground:
    """The checked and divided data, per head (which says what the targets are).

    The first call checks every video and divides the rows; later ones, also those of another process that adds rows
    to the comparison, read what the first one kept.
    """

    def __init__(self, folder: ComparisonFolder, source: OpenedData, registry: Registry, show: bool) -> None:
        self._folder = folder
        self._source = source
        self._registry = registry
        self._show = show

    def begin(self, config: RunConfig) -> RunFolder:
        """A run folder for ``config`` that ``resume`` starts: it holds the common rows and folds.

        Raises:
            DataError: videos that cannot be used, classes that cannot be divided.
            RunError: the folder cannot be made.
        """
        data = self._data(config)
        run = create_run(config)
        _write(run, data, config)
        run.write_config(config)
        return run

    def _data(self, config: RunConfig) -> PreparedData:
        kept = RunFolder(self._folder.ground / _name(config.head))
        if kept.data.exists():
            data = stored_data(config, self._registry, self._source, kept)
            return replace(data, notes=tuple(read_json(kept.data)["notes"]))
        with Progress(show=self._show) as progress:
            data = prepare_data(config, self._registry, self._source, progress)
        kept.root.mkdir(parents=True, exist_ok=True)
        _write(kept, data, config)
        return data


def _write(run: RunFolder, data: PreparedData, config: RunConfig) -> None:
    data.write(run)
    # Last: where it is, the other files are whole.
    write_json(run.data, data.as_dict(config.data.source))


def _name(head: Choice) -> str:
    if not head.options:
        return head.name.replace("/", "_")
    options = json.dumps(head.options, sort_keys=True)
    return f"{head.name.replace('/', '_')}-{hashlib.sha256(options.encode()).hexdigest()[:8]}"
