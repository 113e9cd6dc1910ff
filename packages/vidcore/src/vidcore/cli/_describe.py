"""Specs in words, shared by the commands that show them."""

from __future__ import annotations

from vidcore.catalog import ClipFormat, FeatureInfo


def clip_in_words(clip: ClipFormat) -> str:
    """The clip a network takes: ``32 x 224x224, stride 2``."""
    if clip.frames is not None:
        frames = str(clip.frames)
    else:
        frames = f"{clip.min_frames}-{clip.max_frames}" if clip.min_frames < clip.max_frames else str(clip.max_frames)
    size = "any size" if clip.size is None else f"{clip.size[0]}x{clip.size[1]}"
    pace = f", {clip.fps:g} fps" if clip.fps else f", stride {clip.stride_frames}" if clip.stride_frames > 1 else ""
    return f"{frames} x {size}{pace}"


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
