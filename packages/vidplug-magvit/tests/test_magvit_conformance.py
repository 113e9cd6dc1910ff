from __future__ import annotations

from dataclasses import replace

from vidcore.testing import ExtractorConformance


class TestVideo(ExtractorConformance):
    name = "magvit2/video_test"
    clip_shape = (2, 5, 3, 32, 40)


class TestVideoNative(ExtractorConformance):
    name = "magvit2/video_test"
    clip_shape = (2, 9, 3, 32, 40)
    options = {"size": None}  # noqa: RUF012


class TestVideoFrameNorm(ExtractorConformance):
    """What ``norm="frame"`` promises beyond the published network: that it is causal."""

    name = "magvit2/video_test"
    clip_shape = (2, 17, 3, 32, 32)
    options = {"size": 32, "norm": "frame"}  # noqa: RUF012

    @property
    def spec(self):
        return replace(self.entry().spec, causal=True)
