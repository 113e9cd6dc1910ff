"""The views of a clip that several extractors need: one for each geometry and sampling, however many share it."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vidcore.catalog import ClipFormat
from vidcore.data.sampling import Sampling
from vidcore.preprocess import fit_frames

Geometry = tuple[object, ...]
Look = tuple[Geometry, Sampling]


class Views:
    """Which view each extractor takes, and how frames are fitted to it.

    Args:
        formats: Clip format of every extractor.
        samplings: How its clips are cut.
        size: Side in pixels to which frames are brought for formats of any size; ``None``: they stay.
    """

    def __init__(self, formats: Mapping[str, ClipFormat], samplings: Mapping[str, Sampling], size: int | None) -> None:
        self._size = size
        self.samplings = dict(samplings)
        self.of: dict[str, Look] = {name: (form.geometry, samplings[name]) for name, form in formats.items()}
        self._formats = {self.of[name][0]: form for name, form in formats.items()}

    def needed(self, names: Sequence[str]) -> list[Look]:
        """Views of the extractors ``names``, each once."""
        return list(dict.fromkeys(self.of[name] for name in names))

    def fit(self, frames: Tensor, geometry: Geometry) -> Tensor:
        """Frames uint8 (n, 3, H, W) -> (n, 3, h, w); those that have the size are returned as they are."""
        form = self._formats[geometry]
        if form.size is None and self._size is not None:
            frames = fit_frames(frames, ClipFormat(size=(self._size, self._size)))
        return fit_frames(frames, form)


class ViewBuilder:
    """Collects the frames of one row, fitted to several geometries, as they are decoded.

    Args:
        views: The geometries.
        needed: The views wanted.
        places: Sampling -> (T,) which of the decoded frames stands at each step of its clip.
    """

    def __init__(self, views: Views, needed: Sequence[Look], places: Mapping[Sampling, Sequence[int]]) -> None:
        self._views = views
        self._places = places
        self._held = 0
        self._needed = needed
        # Of each geometry the frames that some sampling takes, in order.
        self._wanted: dict[Geometry, list[int]] = {}
        for shape, sampling in needed:
            self._wanted[shape] = sorted(set(self._wanted.get(shape, [])) | set(places[sampling]))
        self._filled = dict.fromkeys(self._wanted, 0)
        self._out: dict[Geometry, Tensor] = {}

    def put(self, frames: Tensor) -> None:
        """Fit and copy the next frames (n, 3, H, W)."""
        stop = self._held + len(frames)
        for shape, wanted in self._wanted.items():
            first = self._filled[shape]
            last = bisect.bisect_left(wanted, stop)
            if first == last:
                continue
            own = [place - self._held for place in wanted[first:last]]
            fitted = self._views.fit(frames if len(own) == len(frames) else frames[own], shape)
            if shape not in self._out:
                self._out[shape] = torch.empty((len(wanted), *fitted.shape[1:]), dtype=torch.uint8)
            self._out[shape][first:last] = fitted
            self._filled[shape] = last
        self._held = stop

    def finish(self) -> dict[Look, Tensor]:
        """The views, uint8 (T, 3, h, w) each."""
        found = {}
        for shape, sampling in self._needed:
            wanted = self._wanted[shape]
            index = [bisect.bisect_left(wanted, place) for place in self._places[sampling]]
            whole = self._out[shape]
            found[shape, sampling] = whole if index == list(range(len(wanted))) else whole[index]
        return found
