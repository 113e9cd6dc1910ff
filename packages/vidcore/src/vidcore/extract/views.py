"""The views of a clip that several extractors need: one for each geometry, however many share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vidcore.catalog import ClipFormat
from vidcore.preprocess import fit_frames

Geometry = tuple[object, ...]


class Views:
    """Which view each extractor takes, and how frames are fitted to it.

    Args:
        formats: Clip format of every extractor.
        size: Side in pixels to which frames are brought for formats of any size; ``None``: they stay.
    """

    def __init__(self, formats: Mapping[str, ClipFormat], size: int | None) -> None:
        self._size = size
        self.of = {name: form.geometry for name, form in formats.items()}
        self._formats = {self.of[name]: form for name, form in formats.items()}

    def needed(self, names: Sequence[str]) -> list[Geometry]:
        """Geometries of the extractors ``names``, each once."""
        return list(dict.fromkeys(self.of[name] for name in names))

    def fit(self, frames: Tensor, geometry: Geometry) -> Tensor:
        """Frames uint8 (n, 3, H, W) -> (n, 3, h, w); those that have the size are returned as they are."""
        form = self._formats[geometry]
        if form.size is None and self._size is not None:
            frames = fit_frames(frames, ClipFormat(size=(self._size, self._size)))
        return fit_frames(frames, form)


class ViewBuilder:
    """Collects the frames of one clip, fitted to several geometries, as they are decoded.

    Args:
        views: The geometries.
        needed: Those wanted.
        count: How many different frames the clip has.
        places: (T,) which of them stands at each step.
    """

    def __init__(self, views: Views, needed: Sequence[Geometry], count: int, places: Sequence[int]) -> None:
        self._views = views
        self._needed = needed
        self._count = count
        self._places = list(places)
        self._held = 0
        self._out: dict[Geometry, Tensor] = {}

    def put(self, frames: Tensor) -> None:
        """Fit and copy the next frames (n, 3, H, W)."""
        stop = self._held + len(frames)
        for geometry in self._needed:
            fitted = self._views.fit(frames, geometry)
            if geometry not in self._out:
                self._out[geometry] = torch.empty((self._count, *fitted.shape[1:]), dtype=torch.uint8)
            self._out[geometry][self._held : stop] = fitted
        self._held = stop

    def finish(self) -> dict[Geometry, Tensor]:
        """The views, uint8 (T, 3, h, w) each."""
        if self._places == list(range(self._count)):
            return self._out
        index = torch.tensor(self._places)
        return {geometry: view[index] for geometry, view in self._out.items()}
