"""Forensic features of frames, measured and not learnt."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from vidcore.catalog import ExtractorSpec
from vidcore.extractors import Extractor, step_times
from vidcore.features import FeatureMap

from .config import ForensicConfig
from .features import block_boundaries, dct_bands, luma, noise, sharpness
from .variants import FRAME_FEATURES, POOLED_FEATURES


class ForensicExtractor(Extractor):
    """Statistics of each frame's luma at its own resolution; see ``features`` for each definition and source.

    Input   (B, 3, T, H, W) in [0, 255]
    Output  ``frames`` (B, 31, T, 1, 1), channels named by ``feature_names``
            ``pooled`` (B, 62, 1, 1, 1): mean, then standard deviation, over the frames of the window (of at most 32)

    What the container says (codec, rate) is not in the pixels: ``codec_cues(path)`` gives it as further columns.
    """

    config: ForensicConfig

    def __init__(self, spec: ExtractorSpec, config: ForensicConfig) -> None:
        # A frame's own statistics wait for nothing, their mean over a window waits for its end.
        super().__init__(replace(spec, causal="pooled" not in config.outputs), config)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Name of each channel of the output that downstream parts read."""
        return FRAME_FEATURES if self.output_names[0] == "frames" else POOLED_FEATURES

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, H, W) -> the maps asked for. Frame by frame: the median of a large frame takes nine copies."""
        steps = clip.shape[2]
        frames = torch.stack([_measure(clip[:, :, step]) for step in range(steps)], 2)
        maps = {}
        for name in self.output_names:
            if name == "frames":
                maps[name] = FeatureMap(frames[..., None, None], step_times(steps, 1, clip))
            else:
                pooled = torch.cat([frames.mean(2), frames.std(2, correction=0)], 1)
                maps[name] = FeatureMap(pooled[..., None, None, None], step_times(1, steps, clip))
        return maps


def _measure(frames: Tensor) -> Tensor:
    y = luma(frames)
    return torch.cat([noise(y), dct_bands(y), sharpness(y), block_boundaries(y)], 1)
