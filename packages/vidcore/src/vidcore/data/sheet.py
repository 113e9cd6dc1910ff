"""Contact sheets: clips as rows of frames under their labels, to look at a data set with one's own eyes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vidcore.errors import DataError, ShapeError

_MARGIN = 4
_CAPTION = 14
_SMALLEST_SIDE = 48
_LARGEST_SIDE = 160


def contact_sheet(
    items: Sequence[tuple[NDArray[np.uint8], str]], out: Path, columns: int = 2, frames_per_clip: int = 8
) -> Path:
    """Writes a PNG that shows every clip as one strip of frames under its label.

    Frames are evenly spaced from the first to the last; a clip that is shorter than ``frames_per_clip`` shows each
    frame once. All strips have the same cell size; a frame is scaled to fit its cell with its shape kept.

    Args:
        items: RGB uint8 clips (T, 3, H, W), T at least 1, of any sizes, each with its label.
        out: the file to write; its folder is made, and the file appears only when it is complete.
        columns: clips side by side.
        frames_per_clip: frames shown of each clip.

    Returns:
        ``out``.

    Raises:
        DataError: there is no clip, ``columns`` or ``frames_per_clip`` is below 1, or the file cannot be written.
        ShapeError: a clip is not uint8 of the shape (T, 3, H, W).
    """
    for name, value in (("columns", columns), ("frames_per_clip", frames_per_clip)):
        if value < 1:
            raise DataError(f"contact sheet: {name} must be at least 1, got {value}")
    if not items:
        raise DataError("contact sheet: no clip to show; give at least one")
    for clip, label in items:
        _check(clip, label)
    shown = [(clip[_pick(len(clip), frames_per_clip)], label) for clip, label in items]
    columns = min(columns, len(shown))
    height, width = _cell(shown)
    strip = max(len(clip) for clip, _ in shown) * (width + 1)
    rows = -(-len(shown) // columns)
    step_x, step_y = strip + _MARGIN, height + _CAPTION + _MARGIN
    sheet = Image.new("RGB", (columns * step_x + _MARGIN, rows * step_y + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for number, (clip, label) in enumerate(shown):
        row, column = divmod(number, columns)
        x, y = _MARGIN + column * step_x, _MARGIN + row * step_y
        draw.text((x, y), _fit(label, draw, font, strip), fill="black", font=font)
        for k, frame in enumerate(clip):
            picture = _scaled(frame, height, width)
            left = x + k * (width + 1) + (width - picture.width) // 2
            sheet.paste(picture, (left, y + _CAPTION + (height - picture.height) // 2))
    _save(sheet, Path(out))
    return Path(out)


def _check(clip: NDArray[np.uint8], label: str) -> None:
    if clip.ndim != 4 or clip.shape[1] != 3 or clip.dtype != np.uint8 or 0 in clip.shape:
        raise ShapeError(
            f"contact sheet: clip '{label}' must be uint8 of shape (T, 3, H, W), got {clip.dtype} {tuple(clip.shape)}"
        )


def _pick(frames: int, wanted: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, frames - 1, min(frames, wanted)).round().astype(np.int64))


def _cell(shown: Sequence[tuple[NDArray[np.uint8], str]]) -> tuple[int, int]:
    """Height and width of a cell: those of the largest clip, brought to a size one can see and a sheet can hold."""
    height = max(clip.shape[2] for clip, _ in shown)
    width = max(clip.shape[3] for clip, _ in shown)
    side = max(height, width)
    scale = min(max(side, _SMALLEST_SIDE), _LARGEST_SIDE) / side
    return max(1, round(height * scale)), max(1, round(width * scale))


def _scaled(frame: NDArray[np.uint8], height: int, width: int) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0)))
    scale = min(height / picture.height, width / picture.width)
    if scale == 1:
        return picture
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))


def _fit(label: str, draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    label = " ".join(label.split())  # a line break would run into the strip
    if draw.textlength(label, font=font) <= width:
        return label
    while label and draw.textlength(label + "...", font=font) > width:
        label = label[:-1]
    return label + "..."


def _save(sheet: Image.Image, out: Path) -> None:
    part = out.with_name(out.name + ".part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(part, format="PNG")
        part.replace(out)
    except OSError as error:
        raise DataError(f"cannot write the contact sheet {out}: {error.strerror or error}") from error
