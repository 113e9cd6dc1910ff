"""What a layout is, its options, and one reading of a data set laid out so."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vidcore.config.messages import explain
from vidcore.data._rows import Row
from vidcore.errors import ConfigError, ManifestError

from ._files import VideoFiles
from ._tree import Tree


class LayoutOptions(BaseModel):
    """Options of layouts, set as ``data.options.KEY=VALUE``; each layout takes some of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    videos: Path | None = None
    """Folder of the videos, or what paths are relative to; by default the data set's own folder."""
    split: int = Field(1, ge=1, le=3)
    """Which of the official splits."""
    classes: Path | None = None
    """Text file with the name of class 0, 1, ... on each line."""
    fps: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Frames per second of folders of frame images."""
    label: str = "label"
    """Column of the labels."""
    rows: Literal["videos", "segments"] = "videos"
    """One row per video with all its labels, or one per annotated segment."""


@dataclass
class Reading:
    """One pass over a data set; what it found besides the rows is complete when the rows are exhausted.

    Attributes:
        path: The folder or list that was named.
        options: Of the layout.
        tree: The lists and folders of ``path``.
        classes: Class names in the published order; empty: none is published.
        flip_map: Class -> class of its mirror image.
        missing: Videos of the lists that are not there.
        notes: What a person should be told.
    """

    path: Path
    options: LayoutOptions
    tree: Tree
    classes: tuple[str, ...] = ()
    flip_map: Mapping[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _files: dict[Path, VideoFiles] = field(default_factory=dict)

    @cached_property
    def files(self) -> VideoFiles:
        """The videos of the data set; the first access looks for them."""
        return VideoFiles(self.options.videos or self.tree.folder)

    def files_at(self, folder: Path) -> VideoFiles:
        """The files at paths relative to ``folder``; each folder is listed once."""
        if folder not in self._files:
            self._files[folder] = VideoFiles(folder)
        return self._files[folder]


class Layout(ABC):
    """How a published data set lies on the disk.

    Attributes:
        name: What ``--layout`` takes.
        summary: One line for a person.
        wanted: The files by which it is recognised, in words.
        options: The options it takes, of ``LayoutOptions``.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    wanted: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ("videos",)

    @abstractmethod
    def lists(self, tree: Tree) -> list[Path]:
        """The files (or folders) by which it is recognised and that it reads; none: it is another layout."""

    @abstractmethod
    def rows(self, reading: Reading) -> Iterator[Row]:
        """The rows, one by one.

        Raises:
            ManifestError: A list is not what the layout says; no video is there.
        """

    def described(self, reading: Reading) -> str:
        """What was read, in a few words."""
        files = [path.name for path in self.lists(reading.tree)]
        shown = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        split = f", split {reading.options.split}" if "split" in self.options else ""
        return f"{self.summary} ({shown}){split}"

    def parse_options(self, options: Mapping[str, Any]) -> LayoutOptions:
        """Validate loose options.

        Raises:
            ConfigError: An option that the layout does not have, or a wrong value.
        """
        unknown = sorted(set(options) - set(self.options))
        if unknown:
            raise ConfigError(
                f"layout {self.name!r} has no option {unknown[0]!r}; its options: {', '.join(self.options)} "
                f"(data.options.{self.options[0]}=...)"
            )
        try:
            parsed = LayoutOptions(**options)
        except ValidationError as exc:
            raise ConfigError(f"layout {self.name!r}: {explain(exc, LayoutOptions)}") from exc
        if parsed.videos is not None and not parsed.videos.is_dir():
            raise ConfigError(f"layout {self.name!r}: videos={parsed.videos} is no folder")
        return parsed


def checked_label(label: str, classes: Mapping[str, Any], where: str) -> str:
    """A label that is among the published classes.

    Raises:
        ManifestError: It is not.
    """
    if label not in classes:
        raise ManifestError(f"{where}: {label!r} is not among the {len(classes)} classes of the data set")
    return label
