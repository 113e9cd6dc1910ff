"""Data by name or path: a folder, a manifest, or a data set that a plugin declares."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from vidcore.cache import cache_dir
from vidcore.catalog import DatasetSpec, Registry, installed, load_target
from vidcore.config import DatasetConfig, component_config
from vidcore.config.early import check_source
from vidcore.data.config import TrajectoriesConfig
from vidcore.data.manifest import Manifest, read_source
from vidcore.data.synth import generate_trajectories
from vidcore.errors import ConfigError, ManifestError, PluginError

Told = Callable[[int, int], None]
"""Hears of (done, total)."""


class NamedDataset(ABC):
    """A data set that can be named instead of a path: it puts files into a folder of its own, once.

    The folder is ``<cache>/datasets/<name>-<digest of the options>``; no two processes are in ``prepare``
    of one folder at the same time.
    """

    def __init__(self, spec: DatasetSpec, config: DatasetConfig) -> None:
        self.spec = spec
        self.config: Any = config

    @abstractmethod
    def prepare(self, folder: Path, *, workers: int = 1, told: Told | None = None) -> Path:
        """Make or complete the files below ``folder``; quick where they are complete.

        Returns:
            What ``vidcore.data.manifest.read_source`` reads: a manifest or a folder of classes.

        Raises:
            DataError: the files cannot be made.
        """


class Trajectories(NamedDataset):
    """``trajectories``: a ball whose motion is its class; see ``vidcore.data.synth``."""

    config: TrajectoriesConfig

    def prepare(self, folder: Path, *, workers: int = 1, told: Told | None = None) -> Path:
        """Generate the clips that are missing."""
        c = self.config
        report = generate_trajectories(
            folder,
            c.n,
            frames=c.frames,
            size=c.size,
            seed=c.seed,
            fps=c.fps,
            difficulty=c.difficulty,
            workers=workers,
            progress=told,
        )
        return report.manifest


def open_source(
    source: str,
    options: Mapping[str, Any] | None = None,
    *,
    registry: Registry | None = None,
    workers: int = 1,
    told: Told | None = None,
    labels: bool = True,
    layout: str | None = None,
) -> Manifest:
    """The rows of a data set's name, a folder, a CSV, TSV or JSONL manifest, or a published data set.

    A data set's name wins over a folder of the same name; ``./name`` means the folder. Without ``labels`` rows
    need none. ``layout`` names a published layout; by default it is recognised.

    Raises:
        ManifestError: there is no such thing, or it cannot be read as rows.
        ConfigError: options for a path, or options that the data set does not have.
        DataError: the data set cannot be made.
    """
    registry = registry or installed()
    declared = {entry.spec.name for entry in registry.entries("dataset")}
    if source in declared:
        if layout is not None:
            raise ConfigError(
                f"layout {layout!r} is for files; {source!r} is a data set's name (./{source} is a folder)"
            )
        return read_source(_prepared(registry.get(DatasetSpec, source), options or {}, workers, told), labels=labels)
    check_source(source, registry)
    return read_source(source, labels=labels, layout=layout, options=options)


def _prepared(spec: DatasetSpec, options: Mapping[str, Any], workers: int, told: Told | None) -> Path:
    config = component_config(spec, options)
    dataset = load_target(spec)(spec, config)
    if not isinstance(dataset, NamedDataset):
        raise PluginError(
            f"dataset {spec.name!r}: {spec.target} does not derive from vidcore.data.datasets.NamedDataset"
        )
    digest = hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:12]
    folder = cache_dir("datasets") / f"{spec.name.replace('/', '-')}-{digest}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ManifestError(
            f"cannot make the cache folder {folder.parent}: {exc.strerror}; set VIDCORE_CACHE to a folder that can be "
            "written"
        ) from exc
    with FileLock(f"{folder}.lock"):
        return dataset.prepare(folder, workers=workers, told=told)
