"""What an extraction will take, told before it begins."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.data.streams import drawn_of
from vidcore.errors import DecodeError, VidcoreError
from vidcore.extract.engine import lanes_on, one_device
from vidcore.extractors.base import Extractor

# Rows whose windows are counted; they stand for all.
_LOOKED_AT = 16
# So few windows are computed sooner than one is measured.
_FEW_WINDOWS = 16
_ANY_SIZE = 224


@dataclass(frozen=True, slots=True)
class Estimate:
    """Work that is to be done.

    Attributes:
        clips: How many are to be computed.
        windows: Extractor -> forwards of all clips together.
        seconds: Of the models, from one measured forward each; ``None``: too few to measure.
    """

    clips: int
    windows: dict[str, int]
    seconds: float | None

    def in_words(self) -> str:
        """``120 clips to extract: i3d/inception 250 windows; about 12 min``."""
        count = "1 clip" if self.clips == 1 else f"{self.clips} clips"
        each = ", ".join(f"{name} {many} window{'s' * (many != 1)}" for name, many in self.windows.items())
        if self.seconds is None:
            return f"{count} to extract: {each}"
        minutes = self.seconds / 60
        words = "less than a minute" if minutes < 1 else f"about {minutes:.0f} min" if minutes < 90 else (
            f"about {minutes / 60:.1f} h"
        )  # fmt: skip
        return f"{count} to extract: {each}; {words}"


def estimate(
    rows: Sequence[Row], clips: int, extractors: Mapping[str, Extractor], sampling: Sampling, size: int | None = None
) -> Estimate:
    """Windows and seconds of an extraction, from the containers of some rows and one forward of each extractor.

    Args:
        rows: Some of those to be extracted, or all.
        clips: How many there are in all.
        extractors: Those that lack features; on their device, run as they are.
        sampling: How clips are cut.
        size: Side in pixels for extractors that take any size.
    """
    rules = [sampling.of(extractor.clip) for extractor in extractors.values()]
    drawn = []
    for row in rows[:: max(len(rows) // _LOOKED_AT, 1)]:
        try:
            drawn.append(drawn_of(row, rules))
        except (DecodeError, OSError):
            # A row that cannot be read costs nothing; the extraction says so.
            continue
    if not drawn:
        return Estimate(clips, dict.fromkeys(extractors, clips), None)
    windows, seconds = {}, 0.0
    for place, name in enumerate(extractors):
        mean = sum(clip[place].windows for clip in drawn) / len(drawn)
        windows[name] = max(round(mean * clips), 1)
    if sum(windows.values()) <= _FEW_WINDOWS:
        return Estimate(clips, windows, None)
    device = one_device(extractors)
    lanes = lanes_on(device)
    try:
        for place, (name, extractor) in enumerate(extractors.items()):
            length = max(clip[place].indices.shape[1] // clip[place].windows for clip in drawn)
            seconds += windows[name] * _forward_seconds(extractor, length, size, lanes.threads)
    except (VidcoreError, RuntimeError, ValueError, MemoryError):
        # What an extractor cannot do is the extraction's to report.
        return Estimate(clips, windows, None)
    return Estimate(clips, windows, seconds / (lanes.count if device.type == "cpu" else 1))


@torch.inference_mode()
def _forward_seconds(extractor: Extractor, frames: int, size: int | None, threads: int) -> float:
    height, width = extractor.clip.size or (size or _ANY_SIZE, size or _ANY_SIZE)
    device = one_device({"": extractor})
    video = torch.zeros((1, frames, 3, height, width), dtype=torch.uint8, device=device)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        if device.type == "cuda":
            # The first one chooses kernels.
            _wait(extractor.features(video))
        began = time.perf_counter()
        _wait(extractor.features(video))
        return time.perf_counter() - began
    finally:
        torch.set_num_threads(before)


def _wait(maps: Mapping[str, object]) -> None:
    for fmap in maps.values():
        data = getattr(fmap, "data", None)
        if isinstance(data, Tensor) and data.device.type == "cuda":
            torch.cuda.synchronize(data.device)
