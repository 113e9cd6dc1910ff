"""From a raw video to the clips a network takes: fitting frames, scaling pixels, planning windows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vidcore.catalog import ClipFormat
from vidcore.errors import ShapeError

_VECTORISED = "AVX" in torch.backends.cpu.get_cpu_capability()


def fit_frames(video: Tensor, clip: ClipFormat) -> Tensor:
    """Resize and crop frames to the clip's size, still uint8: (..., C, H, W) -> (..., C, h, w).

    Sides, margins, filter and antialiasing follow the clip format, so that a family sees what its publisher's own
    transform gives. A video that already has the size is returned as it is, so fitting in a loader and again in
    ``preprocess`` costs nothing and changes nothing.
    """
    height, width = video.shape[-2:]
    if clip.size is None:
        multiple = clip.size_multiple
        target = (max(height // multiple, 1) * multiple, max(width // multiple, 1) * multiple)
        return video if target == (height, width) else _resize(video, target, clip)
    if (height, width) == clip.size:
        return video
    if clip.fit == "stretch":
        return _resize(video, clip.size, clip)
    if clip.fit == "pad":
        return _pad(_resize(video, _inside(height, width, clip.size), clip), clip.size, clip)
    return _crop(frames_before_crop(video, clip.size, clip), clip.size, clip.crop_rounding)


def frames_before_crop(video: Tensor, size: tuple[int, int], clip: ClipFormat) -> Tensor:
    """Frames resized so that a crop of ``size`` (height, width) is cut from them: (..., C, H, W) -> (..., C, h, w)."""
    return _resize(video, _before_crop(video.shape[-2], video.shape[-1], size, clip), clip)


def _before_crop(height: int, width: int, size: tuple[int, int], clip: ClipFormat) -> tuple[int, int]:
    """The size from which the centre is cropped."""
    if clip.resize_to is not None:
        return clip.resize_to
    short = clip.resize_short or min(size)
    if size[0] == size[1]:
        # The long side is truncated, as torchvision, timm, transformers and PyTorchVideo do.
        return (short, short * width // height) if height <= width else (short * height // width, short)
    # timm's rule for a crop that is not square: the published margin on both sides, and sides rounded.
    target = [side * short // min(size) for side in size]
    ratio = min(height / target[0], width / target[1])
    return round(height / ratio), round(width / ratio)


def _inside(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    ratio = max(height / size[0], width / size[1])
    return max(round(height / ratio), 1), max(round(width / ratio), 1)


def _resize(video: Tensor, size: tuple[int, int], clip: ClipFormat) -> Tensor:
    """The pixels of torchvision's ``resize``, without the seconds that its import takes, or those of Pillow's.

    Bit for bit on ARM and x86 with AVX2; torchvision takes another way on older x86, and so differs by a level. On GPUs
    either differs by two levels at most where a cubic overshoots.
    """
    if tuple(video.shape[-2:]) == size:
        return video
    frames = video.reshape(-1, *video.shape[-3:])
    if clip.resampler == "pillow" and video.device.type == "cpu" and frames.shape[1] == 3:
        return _resize_by_pillow(frames, size, clip.interpolation).reshape(*video.shape[:-2], *size)
    # Without vector instructions the CPU's integer kernels are known to round well only where they antialias.
    if video.device.type == "cpu" and (clip.antialias or _VECTORISED):
        resized = F.interpolate(frames, size, mode=clip.interpolation, antialias=clip.antialias)
    else:
        resized = _resize_by_floats(frames, size, clip.interpolation, antialias=clip.antialias)
    return resized.reshape(*video.shape[:-2], *size)


def _resize_by_floats(frames: Tensor, size: tuple[int, int], mode: str, *, antialias: bool = True) -> Tensor:
    """(N, C, H, W) -> (N, C, h, w), still uint8: PyTorch resizes integers on a CPU only."""
    # A cubic overshoots at edges. The CPU's integer kernels, and Pillow's, go over the rows first and clamp and round
    # what comes out before they go over the columns: in one pass of floats an edge is up to 30 levels off.
    passes = [(frames.shape[-2], size[1]), size] if mode == "bicubic" and antialias else [size]
    for step in passes:
        resized = F.interpolate(frames.float(), step, mode=mode, antialias=antialias)
        frames = resized.clamp_(0, 255).round_()
    return frames.to(torch.uint8)


def _resize_by_pillow(frames: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """RGB (N, 3, H, W) -> (N, 3, h, w), uint8 on a CPU, as publishers do who resize pictures."""
    import numpy as np
    from PIL import Image

    resampling = Image.Resampling[mode.upper()]
    resized = torch.empty((len(frames), *size, 3), dtype=torch.uint8)
    for frame, target in zip(frames.permute(0, 2, 3, 1).numpy(), resized.numpy(), strict=True):
        target[...] = np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize(size[::-1], resampling))
    return resized.permute(0, 3, 1, 2)


def _crop(video: Tensor, size: tuple[int, int], rounding: str) -> Tensor:
    """The centre of the frames; where they are smaller, black is put around."""
    # The odd pixel of a border goes below and to the right in every library.
    missing = [max(wanted - given, 0) for wanted, given in zip(size, video.shape[-2:], strict=True)]
    if any(missing):
        (above, below), (left, right) = ((n // 2, n - n // 2) for n in missing)
        video = F.pad(video, (left, right, above, below))
    free = (given - wanted for wanted, given in zip(size, video.shape[-2:], strict=True))
    top, left = (n // 2 if rounding == "down" else round(n / 2) for n in free)
    return video[..., top : top + size[0], left : left + size[1]]


def _pad(video: Tensor, size: tuple[int, int], clip: ClipFormat) -> Tensor:
    """Frames in the middle of a plain colour, the clip's mean."""
    height, width = video.shape[-2:]
    low, high = clip.value_range
    colour = torch.tensor([round(255 * (mean - low) / (high - low)) for mean in clip.mean], dtype=video.dtype)
    canvas = colour.to(video.device).reshape(-1, 1, 1).expand(*video.shape[:-2], *size).clone()
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas[..., top : top + height, left : left + width] = video
    return canvas


def scale_pixels(video: Tensor, clip: ClipFormat, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 (B, T, C, H, W) -> float (B, C, T, H, W) in the clip's value range, mean and std.

    Raises:
        ShapeError: the video's channel count fits neither the clip's mean nor its std.
    """
    low, high = clip.value_range
    mean = torch.tensor(clip.mean, device=video.device, dtype=dtype)
    std = torch.tensor(clip.std, device=video.device, dtype=dtype)
    channels = video.shape[2]
    for label, values in (("mean", mean), ("std", std)):
        if values.numel() not in (1, channels):
            raise ShapeError(f"the clip's {label} has {values.numel()} values; the video has {channels} channels")
    # (x * (high - low) / 255 + low - mean) / std in one multiply and one add.
    gain = ((high - low) / 255.0 / std).expand(channels).reshape(1, channels, 1, 1, 1)
    offset = ((low - mean) / std).expand(channels).reshape(1, channels, 1, 1, 1)
    return torch.addcmul(offset, video.transpose(1, 2).to(dtype), gain)


# Place of the axis of three channels -> what the order seems to be, and the permutation that mends it.
_OTHER_ORDERS = ((1, ("(B, C, T, H, W)", (0, 2, 1, 3, 4))), (4, ("(B, T, H, W, C)", (0, 1, 4, 2, 3))))


def check_video(video: Tensor) -> None:
    """Refuse what is not a raw batch of videos.

    Raises:
        ShapeError: not uint8, not (B, T, C, H, W), or empty.
    """
    shape = tuple(video.shape)
    if video.dim() != 5 or video.dtype != torch.uint8:
        hint = "; add a batch axis with video[None]" if video.dim() == 4 else ""
        dtype = str(video.dtype).removeprefix("torch.")
        raise ShapeError(f"a raw video is uint8 (B, T, C, H, W); got {dtype} {shape}{hint}")
    if video.shape[2] not in (1, 2, 3) and (order := next((o for axis, o in _OTHER_ORDERS if shape[axis] == 3), None)):
        wrong, move = order
        raise ShapeError(f"a raw video is uint8 (B, T, C, H, W); got {shape}, which looks like {wrong}; "
                         f"reorder it with video.permute{move}")  # fmt: skip
    if 0 in video.shape:
        raise ShapeError(f"a raw video has at least one frame and one pixel; got {tuple(video.shape)}")


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a video that one forward sees: frames start .. start + length, the end held."""

    start: int
    length: int
    frames: int
    """Frames of the whole video."""

    def take(self, video: Tensor) -> Tensor:
        """The window's frames of (B, T, C, H, W); frames past the end repeat the last one."""
        stop = self.start + self.length
        part = video[:, self.start : min(stop, self.frames)]
        missing = stop - self.frames
        return part if missing <= 0 else torch.cat([part, part[:, -1:].expand(-1, missing, -1, -1, -1)], 1)


def plan_windows(frames: int, clip: ClipFormat, align: int = 1) -> list[Window]:
    """The windows by which a video of ``frames`` frames is read, in order.

    Every window has the same length, one the clip format allows; starts are multiples of ``align``
    (the temporal stride of the features), so that overlapping windows share their steps. The last
    window is moved back to end with the video rather than padded, up to ``align - 1`` held frames.
    """
    length = clip.window_for(frames)
    if frames <= length:
        return [Window(0, length, frames)]
    hop = max((length - clip.overlap_frames) // align * align, align)
    last = -(-(frames - length) // align) * align
    starts = [*range(0, last, hop), last]
    return [Window(start, length, frames) for start in starts]
