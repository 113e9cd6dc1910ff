"""The one error of the decoding room: which file, at which stage, why, and what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from vidcore.errors import DecodeError

Stage = Literal["open", "demux", "decode", "read", "timeout", "crash"]


class VideoError(DecodeError):
    """A video cannot give the frames asked of it, with the parts of the message kept apart for tables.

    Attributes:
        path: The file.
        stage: ``open`` (container not readable), ``demux`` (packets missing or damaged), ``decode`` (a frame does not
            decode), ``read`` (a frame was asked for that does not exist), ``timeout`` and ``crash`` (the process that
            decoded it did not answer or died).
        reason: What was found.
        advice: What a person can do about it.
    """

    def __init__(self, path: str | os.PathLike[str], stage: Stage, reason: str, advice: str) -> None:
        """Compose the message; every part stays available as an attribute."""
        self.path = Path(path)
        self.stage: Stage = stage
        self.reason = reason
        self.advice = advice
        super().__init__(f"{self.path}: cannot {_VERBS[stage]}: {reason}\n  {advice}")

    def __reduce__(self) -> tuple[type[VideoError], tuple[Path, Stage, str, str]]:
        """Survive a trip between processes, which an exception with its own arguments otherwise does not."""
        return type(self), (self.path, self.stage, self.reason, self.advice)


_VERBS: dict[Stage, str] = {
    "open": "open the video",
    "demux": "read the video's packets",
    "decode": "decode the video",
    "read": "read the frames",
    "timeout": "decode the video in time",
    "crash": "decode the video",
}

DAMAGED = "the file is damaged or cut short: fetch it again, or leave it out (--on-error skip)"
NOT_A_VIDEO = "check that this is a video file that FFmpeg can play, or take its row out of the manifest"
