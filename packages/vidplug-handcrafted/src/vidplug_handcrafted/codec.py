"""Cues of the container: how a file was encoded, without decoding it and without an external program."""

from __future__ import annotations

import os

from vidcore.data.decode import probe

CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mjpeg", "prores")
CODEC_FEATURES: tuple[str, ...] = (
    "bit_rate",
    "bits_per_pixel",
    "fps",
    "duration_seconds",
    "width",
    "height",
    "variable_rate",
    "chroma_subsampled",
    *(f"codec_{name}" for name in CODECS),
    "codec_other",
)


def codec_cues(path: str | os.PathLike[str]) -> dict[str, float]:
    """Named cues of a video file, the same names in the same order for every file (``CODEC_FEATURES``).

    They need the file, so no extractor gives them. Join them to pixel features as columns of the same row
    before a fitted head: ``np.concatenate([pooled, list(codec_cues(path).values())])``.

    ``bit_rate`` is in bits per second; where the container states none it is the file's size over its
    duration. Codecs are 0 or 1; one that is not listed is ``codec_other``.

    Raises:
        VideoError: the file is not a video that can be read.
    """
    info = probe(path)
    rate = float(info.bit_rate or 8 * info.path.stat().st_size / max(info.duration_seconds, 1e-6))
    cues = {
        "bit_rate": rate,
        "bits_per_pixel": rate / max(info.width * info.height * info.fps, 1e-6),
        "fps": info.fps,
        "duration_seconds": info.duration_seconds,
        "width": float(info.width),
        "height": float(info.height),
        "variable_rate": float(info.variable_rate),
        "chroma_subsampled": float("420" in info.pix_fmt or info.pix_fmt.startswith(("nv12", "p010"))),
        **{f"codec_{name}": float(info.codec == name) for name in CODECS},
        "codec_other": float(info.codec not in CODECS),
    }
    return {name: cues[name] for name in CODEC_FEATURES}
