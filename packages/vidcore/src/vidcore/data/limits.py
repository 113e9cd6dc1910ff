"""The most that a video file may ask of this machine, in one place.

A file of a few hundred bytes can declare frames of gigabytes or a billion frames. What is asked is computed from what
the file declares and refused before memory is asked for. Each limit has an environment variable, which reaches the
processes that decode, and an option of the ``vidcore`` command that sets it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from vidcore.errors import ConfigError

BYTES_PER_PIXEL = 3


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: what it counts, how much is allowed by default, and how a person changes it.

    Attributes:
        variable: Environment variable.
        option: Option of the ``vidcore`` command.
        default: Used where the variable is not set.
        what: What is counted.
    """

    variable: str
    option: str
    default: int
    what: str

    @property
    def value(self) -> int:
        """The limit in force.

        Raises:
            ConfigError: The variable is not a positive integer.
        """
        text = os.environ.get(self.variable)
        if text is None:
            return self.default
        if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) < 1:
            raise ConfigError(f"{self.variable}={text[:40]!r}: expected a positive integer, {self.what}")
        return int(text)

    def advice(self, needed: int) -> str:
        """What to type where a file is to be read all the same."""
        return (
            f"if you trust the file and have the memory: vidcore {self.option} {needed} COMMAND, "
            f"or set {self.variable}={needed}"
        )


# 8192 x 8192: twice an 8K frame; as RGB 192 MiB.
FRAME_PIXELS = Limit("VIDCORE_MAX_FRAME_PIXELS", "--max-frame-pixels", 1 << 26, "pixels in one frame")
# 46 hours at 60 frames a second; the index takes about 0.3 KB for each.
FRAMES = Limit("VIDCORE_MAX_FRAMES", "--max-frames", 10_000_000, "frames in one video")
CLIP_BYTES = Limit("VIDCORE_MAX_CLIP_BYTES", "--max-clip-bytes", 8 << 30, "bytes of the frames read at once")
LIMITS = (FRAME_PIXELS, FRAMES, CLIP_BYTES)
