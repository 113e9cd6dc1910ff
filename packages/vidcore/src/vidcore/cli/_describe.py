"""Specs in words, shared by the commands that show them."""

from __future__ import annotations

from vidcore.catalog import ClipFormat, FeatureInfo, pace_in_words


def clip_in_words(clip: ClipFormat) -> str:
    """The clip a network takes: ``32 x 224x224, stride 2 at 30 fps``."""
    if clip.frames is not None:
        frames = str(clip.frames)
    else:
        frames = f"{clip.min_frames}-{clip.max_frames}" if clip.min_frames < clip.max_frames else str(clip.max_frames)
    size = "any size" if clip.size is None else f"{clip.size[0]}x{clip.size[1]}"
    stride = f"stride {clip.stride_frames}" if (clip.stride_frames or 1) > 1 else ""
    rate = f"{clip.fps:g} fps" if clip.fps else ""
    pace = " at ".join(part for part in (stride, rate) if part)
    return f"{frames} x {size}{', ' if pace else ''}{pace}"


def pace_of(clip: ClipFormat) -> str:
    """What an extractor sees of a segment by default: ``64 frames at 25 a second: windows of 2.56 s``."""
    if clip.stride_frames is None and clip.fps is None:
        return f"none published: {clip.window_for(16)} frames spread evenly over the segment"
    frames, stride = clip.window_frames, clip.stride_frames or 1
    words = pace_in_words(frames, stride, clip.fps)
    return words if clip.fps is None else f"{words}: windows of {frames * stride / clip.fps:.3g} s"


def resize_in_words(clip: ClipFormat) -> str:
    """How frames come to the clip's size: ``short side to 256, centre 224x224, bilinear``."""
    filtered = clip.interpolation if clip.antialias else f"{clip.interpolation} without antialiasing"
    if clip.size is None:
        if clip.size_multiple == 1:
            return ""
        return f"each side down to a multiple of {clip.size_multiple}, {filtered}"
    size = f"{clip.size[0]}x{clip.size[1]}"
    if clip.fit == "stretch":
        return f"both sides to {size}, {filtered}"
    if clip.fit == "pad":
        return f"into {size}, the mean around it, {filtered}"
    if clip.resize_to is not None:
        before = f"both sides to {clip.resize_to[0]}x{clip.resize_to[1]}"
    elif clip.size[0] == clip.size[1]:
        before = f"short side to {clip.resize_short or clip.size[0]}"
    else:
        margin = (clip.resize_short or min(clip.size)) / min(clip.size)
        before = "sides until the crop just fits" if margin == 1 else f"sides until {margin:.3g} times the crop fits"
    return f"{before}, centre {size}, {filtered}"


def output_in_words(info: FeatureInfo) -> str:
    """Width and what one step covers: ``768, one step per 2 frames, 16x16 pixels``."""
    frames, rows, columns = info.stride
    in_time = (
        "one for the clip"
        if frames is None
        else "one step per frame"
        if frames == 1
        else f"one step per {frames} frames"
    )
    in_space = "pooled over space" if info.pooled else f"{rows}x{columns} pixels a cell"
    return f"{info.dim} channels, {in_time}, {in_space}"
