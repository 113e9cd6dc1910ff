"""X3D, and what its head makes of the last map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from torch import Tensor, nn
from vidcore.catalog import ClipFormat, ExtractorSpec
from vidcore.extractors import Extractor, middle_time, step_times, window_averages
from vidcore.features import FeatureMap

from .config import X3dConfig
from .convert import convert
from .network import build
from .variants import VARIANTS

_STAGES = ("res2", "res3", "res4", "res5")


class X3dExtractor(Extractor):
    """X3D (Feichtenhofer 2020, arXiv:2004.04730).

    The published head widens the last map to 432 channels, averages it over the clip, and projects
    the average to the 2048 channels that its classifier reads; so the 2048 are one vector per clip.

    Input   (B, 3, T, H, W)
    Output  ``projected``   (B, 2048, 1, 1, 1): what enters the published classifier. On a map larger than
                            the head's pooling window (a larger crop, a longer clip), the mean over its positions
            ``steps``       (B, 2048, T, 1, 1): the projection of each step's own spatial mean, not averaged over time
            ``conv5``       (B, 432, T, H/32, W/32): the map that the head averages
            ``resK``        (B, 24 * 2^(K-2), T, H/2^K, W/2^K), K = 2, 3, 4, 5
            ``logits``, ``probabilities``  (B, 400, 1, 1, 1). On such a larger map the published head averages the
                            softmaxes of its positions: ``probabilities`` does so, ``logits`` are the mean logits

    Stages after the last one asked for are not run.
    """

    config: X3dConfig

    def __init__(self, spec: ExtractorSpec, config: X3dConfig) -> None:
        super().__init__(spec, config)
        self.variant = VARIANTS[spec.name]
        self.network = build(self.variant, len(self.classes))

    @property
    def clip(self) -> ClipFormat:
        """The declared format at the frames and size of the options."""
        frames, size = self.config.frames or self.variant.frames, self.config.size
        clip = replace(self.spec.clip, frames=frames, overlap_frames=frames // 4)
        return clip if size is None else replace(clip, size=(size, size), resize_short=size)

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """Stem, residual stages, head without classifier."""
        return list(self.network.blocks)

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """PyTorchVideo's ``.pyth`` files, and those of PySlowFast and mmaction2."""
        return convert(published, self.state_dict())

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, H, W) -> the maps asked for."""
        stages = [_STAGES.index(name) for name in self.output_names if name in _STAGES]
        head = len(stages) < len(self.output_names)
        found: dict[str, Tensor] = {}
        x = self.network.blocks[0](clip)
        for index in range(4 if head else max(stages) + 1):
            found[_STAGES[index]] = x = self.network.blocks[1 + index](x)
        if head:
            found |= self._head(x)
        frames = clip.shape[2]
        each = step_times(frames, 1, clip)
        whole = middle_time(frames, clip)
        maps = {name: FeatureMap(found[name], whole if name == "projected" else each) for name in self.feature_names}
        if self.classes:
            maps |= self.answers(found["logits"], whole, found["probabilities"])
        return maps

    def _head(self, x: Tensor) -> dict[str, Tensor]:
        head = self.network.blocks[5]
        pool = head["pool"]
        found = {"conv5": pool.pre_act(pool.pre_norm(pool.pre_conv(x)))}
        if "projected" in self.output_names or self.classes:
            places = pool.post_act(pool.post_conv(window_averages(found["conv5"], self.variant.pool)))
            found["projected"] = places.mean((2, 3, 4), keepdim=True)
            if self.classes:
                each = head["proj"](places.flatten(2).transpose(1, 2))
                found |= {"logits": each.mean(1), "probabilities": each.softmax(2).mean(1)}
        if "steps" in self.output_names:
            found["steps"] = pool.post_act(pool.post_conv(found["conv5"].mean((3, 4), keepdim=True)))
        return found
