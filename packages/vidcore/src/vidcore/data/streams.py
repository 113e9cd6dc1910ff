"""What several extractors see of one row: each its own frames at its own size, from one pass over the video."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidcore.catalog import ClipFormat
from vidcore.frames import Frames
from vidcore.preprocess import fit_frames

from ._cut import plan_cut
from ._rows import Row
from .clips import read_cut
from .frame_folder import open_video
from .sampling import ClipIndices, Sampling

if TYPE_CHECKING:
    import numpy as np

Change = Callable[[Tensor], Tensor]


class StreamReader:
    """Reads rows for several streams; every video is decoded once, and streams that see the same share it.

    Args:
        sampling: how clips are cut; each stream by ``sampling.of`` its format.
        streams: the clip each stream takes.
        size: side in pixels for formats of any size; ``None``: the videos' own.
        crops: of each clip, evenly placed along the longer side of the picture; 1: the centre.
    """

    def __init__(
        self, sampling: Sampling, streams: Mapping[str, ClipFormat], *, size: int | None = None, crops: int = 1
    ) -> None:
        rules = {name: sampling.of(form) for name, form in streams.items()}
        kinds = {name: (rules[name], form.geometry) for name, form in streams.items()}
        self._kinds = list(dict.fromkeys(kinds.values()))
        self._of = {name: self._kinds.index(kind) for name, kind in kinds.items()}
        self._formats = [next(f for name, f in streams.items() if kinds[name] == kind) for kind in self._kinds]
        self._samplings = list(dict.fromkeys(rules.values()))
        self._size = size
        self._crops = crops

    def read(
        self,
        row: Row,
        *,
        generator: np.random.Generator | None = None,
        change: Change | None = None,
        threads: int = 1,
    ) -> list[list[Frames]]:
        """The views of one row: for each clip (and crop) of it, one clip per kind of view; see ``named``.

        Args:
            row: the video and its segment.
            generator: draws random places, as in training.
            change: done to the frames of all streams at once, uint8 (U, 3, H, W) -> the same number of frames.
            threads: of the decoder.

        Raises:
            VideoError: the video cannot be read.
        """
        # Here: augmentation brings torchvision.
        from .augment import views

        frames, cut = read_cut(row, self._samplings, generator=generator, threads=threads)
        if change is not None:
            frames = change(frames)
        looks: list[list[Frames]] = []
        for clip in range(len(cut.clips[0].indices)):
            crops: list[list[Frames]] = [[] for _ in range(self._crops)]
            for (rule, _), form in zip(self._kinds, self._formats, strict=True):
                drawn = cut.clips[self._samplings.index(rule)]
                own = frames[torch.from_numpy(cut.places(drawn.indices[clip]))]
                times, mask = (torch.from_numpy(part[clip]) for part in (drawn.times, drawn.mask))
                for crop, look in zip(crops, views(self._any_size(own, form), form, self._crops), strict=True):
                    crop.append(Frames.of(look.contiguous(), times, mask, drawn.windows))
            looks += crops
        return looks

    def named(self, kinds: Sequence[Frames]) -> dict[str, Frames]:
        """One view per kind -> one per stream."""
        return {name: kinds[place] for name, place in self._of.items()}

    def _any_size(self, frames: Tensor, form: ClipFormat) -> Tensor:
        if form.size is not None or self._size is None:
            return frames
        return fit_frames(frames, ClipFormat(size=(self._size, self._size)))


def drawn_of(row: Row, samplings: Sequence[Sampling]) -> list[ClipIndices]:
    """The frames that each sampling takes of a row, without decoding any.

    Raises:
        VideoError: the video cannot be read, or no frame lies in the segment.
    """
    with open_video(row.video, fps=row.fps) as reader:
        return plan_cut(reader, samplings, row.start_seconds, row.end_seconds).clips


def read_size(row: Row) -> tuple[int, int]:
    """(height, width) of a row's frames."""
    with open_video(row.video, fps=row.fps) as reader:
        width, height = reader.size
        return height, width
