"""A folder with one subfolder per class as rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from vidcore.errors import ManifestError

from ._rows import SPLIT_ALIASES, SPLITS, Row

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".apng", ".asf", ".avi", ".dv", ".flv", ".gif", ".h264", ".h265", ".ivf", ".m2ts", ".m4v", ".mjpeg",
     ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogg", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"}
)  # fmt: skip
# Endings of other files that are counted one by one.
_ENDINGS = 6
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def is_frame(name: str) -> bool:
    """Whether a file of this name is a frame of a folder of images: an image, neither hidden nor optical flow."""
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    return suffix in IMAGE_SUFFIXES and not name.lower().startswith((".", "flow_x", "flow_y"))


def iter_folder(folder: Path, *, labels: bool) -> Iterator[Row]:
    """Rows of ``folder``, sorted by split, class and path; where labels are not needed, videos may lie in any order.

    Raises:
        ManifestError: Nothing in it, no subfolders, videos beside the class folders, or a class folder without videos.
    """
    subfolders = _subfolders(folder)
    if not any(folder.iterdir()):
        raise ManifestError(f"{folder}: the folder is empty; it needs one subfolder per class, with videos in it")
    loose = _videos(folder, deep=False)
    if not labels and (loose or not subfolders):
        rows = [Row(video) for video in _videos(folder, deep=True)]
        if not rows:
            raise ManifestError(f"{folder}: no videos in it ({_known()})")
        yield from rows
        return
    if not subfolders:
        raise ManifestError(
            f"{folder}: it has no subfolders; put the videos of each class into one, or give a manifest"
        )
    if loose:
        raise ManifestError(
            f"{folder}: {len(loose)} videos lie beside the class folders ({loose[0].name}); move them into one, "
            "or give a manifest"
        )
    splits = {sub: SPLIT_ALIASES.get(sub.name.lower(), sub.name.lower()) for sub in subfolders}
    if all(name in SPLITS for name in splits.values()):
        for sub in sorted(subfolders, key=lambda sub: SPLITS.index(splits[sub])):
            yield from _classes(sub, splits[sub])
    else:
        yield from _classes(folder, None)


def left_out(folder: Path) -> str | None:
    """A sentence that counts the visible files of ``folder`` that are not read as videos, by ending; None: no such."""
    endings: Counter[str] = Counter()
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if any(part.startswith((".", "__")) for part in inside.parts) or not path.is_file():
            continue
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            endings[path.suffix.lower() or "no ending"] += 1
    if not endings:
        return None
    ranked = sorted(endings.items(), key=lambda item: (-item[1], item[0]))
    counts = ", ".join(f"{count} {ending}" for ending, count in ranked[:_ENDINGS])
    more = f", {len(endings) - _ENDINGS} other endings" if len(endings) > _ENDINGS else ""
    return f"left out of {folder}, as not videos by their ending: {counts}{more}"


def _classes(folder: Path, split: str | None) -> Iterator[Row]:
    classes = _subfolders(folder)
    if not classes:
        raise ManifestError(f"{folder}: it has no class folders; put the videos of each class into one subfolder")
    for sub in classes:
        videos = _videos(sub, deep=True)
        if not videos:
            raise ManifestError(f"{sub}: the class folder holds no videos ({_known()}); fill it or remove it")
        for video in videos:
            yield Row(video, label=sub.name, split=split)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(sub for sub in folder.iterdir() if sub.is_dir() and not sub.name.startswith((".", "__")))


def _videos(folder: Path, *, deep: bool) -> list[Path]:
    found = folder.rglob("*") if deep else folder.iterdir()
    visible = (
        path for path in found if not any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
    )
    return sorted(path for path in visible if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())


def _known() -> str:
    return "endings looked for: " + " ".join(sorted(VIDEO_SUFFIXES))
