"""SlowFast, and the single-pathway networks Slow and C2D."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from vidcore.catalog import ClipFormat, ExtractorSpec
from vidcore.extractors import Extractor, middle_time, window_averages
from vidcore.features import FeatureMap

from .config import SlowFastConfig
from .convert import convert
from .network import build, stage_blocks
from .variants import VARIANTS


class PathwayExtractor(Extractor):
    """What the one- and two-pathway extractors share: their clip, their blocks, their weights."""

    config: SlowFastConfig

    def __init__(self, spec: ExtractorSpec, config: SlowFastConfig) -> None:
        super().__init__(spec, config)
        self.variant = VARIANTS[spec.name]
        self.network = build(self.variant, len(self.classes))
        # res2 is 0; the last stage that each output needs.
        self._stages = {name: int(name[-1]) - 2 if name[-4:-1] == "res" else 3 for name in spec.outputs}

    @property
    def clip(self) -> ClipFormat:
        """The declared format at the frames and size of the options."""
        published = self.spec.clip
        frames, size = self.config.frames or published.frames, self.config.size
        stride = self.variant.temporal_stride
        clip = replace(published, frames=frames, overlap_frames=(frames or 0) // 4 // stride * stride)
        return clip if size is None else replace(clip, size=(size, size), resize_short=size)

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """Stem, then the residual stages."""
        blocks: nn.ModuleList = self.network.blocks
        return list(blocks[: stage_blocks(self.variant)[-1] + 1])

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """PyTorchVideo's ``.pyth`` files, and those of PySlowFast and mmaction2."""
        pathways = 2 if self.variant.alpha > 1 else 1
        return convert(published, self.state_dict(), stage_blocks(self.variant), pathways)

    def _answers(self, clip: Tensor, *pathways: Tensor) -> dict[str, FeatureMap]:
        """The classifier's outputs: averages over windows of the training clip's size, then mean logits."""
        steps = [self.variant.frames // self.variant.temporal_stride, self.variant.frames]
        pooled = [window_averages(x, (t, 7, 7)).mean((2, 3, 4)) for x, t in zip(pathways, steps, strict=False)]
        return self.answers(self.network.blocks[-1].proj(torch.cat(pooled, 1)), middle_time(clip.shape[2], clip))


class SlowFastExtractor(PathwayExtractor):
    """SlowFast (Feichtenhofer et al. 2019, arXiv:1812.03982).

    The clip is the fast pathway's. The slow pathway takes ceil(T / alpha) of its frames, at
    ``linspace(0, T - 1)`` rounded down, as the published transform does where alpha divides T. A slow step stands for
    a group of ``alpha`` fast frames, one of which the slow pathway sees, and its time is the centre
    of the group; a last group of fewer frames is averaged over what it has.

    Input   (B, 3, T, H, W)
    Output  ``features``  (B, 2304, ceil(T/alpha), H/32, W/32): ``slow``, then ``fast`` averaged over each group
            ``slow``      (B, 2048, ceil(T/alpha), H/32, W/32)
            ``fast``      (B, 256, T, H/32, W/32), at its own rate
            ``slow_resK`` (B, 64 * 2^K, ceil(T/alpha), H/2^K, W/2^K), K = 2, 3, 4, before the lateral connection
            ``fast_resK`` (B, 8 * 2^K, T, H/2^K, W/2^K)
            ``logits``, ``probabilities``  (B, 400, 1, 1, 1)

    The averages of ``slow`` and ``fast`` over windows of the training clip's size enter the published classifier.
    Only the stages and the pathways that the outputs asked for need are run: ``fast`` alone costs a fraction of the
    whole.
    """

    def __init__(self, spec: ExtractorSpec, config: SlowFastConfig) -> None:
        super().__init__(spec, config)
        asked = {name: stage for name, stage in self._stages.items() if name in self.output_names}
        whole = {"logits": 3} if self.classes else {}
        self._last_slow = max((s for name, s in (asked | whole).items() if not name.startswith("fast")), default=-2)
        self._last_fast = max((s for name, s in (asked | whole).items() if not name.startswith("slow")), default=-2)

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, H, W) -> the maps asked for."""
        frames, alpha = clip.shape[2], self.variant.alpha
        found = self._stage_maps(clip.index_select(2, slow_frames(frames, alpha, clip.device)), clip)
        if "features" in self.output_names:
            grouped = F.avg_pool3d(found["fast"], (min(alpha, frames), 1, 1), ceil_mode=True)
            found["features"] = torch.cat([found["slow"], grouped], 1)
        maps = {
            name: FeatureMap(found[name], group_times(frames, 1 if name.startswith("fast") else alpha, clip))
            for name in self.feature_names
        }
        return maps | self._answers(clip, found["slow"], found["fast"]) if self.classes else maps

    def _stage_maps(self, slow: Tensor, fast: Tensor) -> dict[str, Tensor]:
        """Both pathways stage by stage, as far as each is needed."""
        found: dict[str, Tensor] = {}
        widths = list(self.variant.stage_widths.values())
        for index, block in enumerate(self.network.blocks):
            stage = index - 1
            if stage < self._last_slow:
                # The block writes into the list it is given and appends the lateral connection's channels.
                slow, fast = block([slow, fast])
            else:
                pathways = block.multipathway_blocks
                if stage == self._last_slow:
                    slow = pathways[0](slow)
                if stage <= self._last_fast:
                    fast = pathways[1](fast)
            if stage >= 0:
                suffix = f"_res{stage + 2}" if stage < 3 else ""
                found[f"slow{suffix}"], found[f"fast{suffix}"] = slow[:, : widths[stage]], fast
            if stage == max(self._last_slow, self._last_fast):
                break
        return found


class ResNetExtractor(PathwayExtractor):
    """One pathway: Slow, with temporal kernels in res4 and res5, or C2D, with none.

    C2D takes the maximum over pairs of frames after res2; where T is odd the last frame is alone.

    Input   (B, 3, T, H, W)
    Output  ``res5``  (B, 2048, T/s, H/32, W/32), s = 1 for Slow and 2 for C2D
            ``resK``  (B, 64 * 2^K, T/s, H/2^K, W/2^K), K = 2, 3, 4; s = 1 for res2, which comes before that
            ``logits``, ``probabilities``  (B, 400, 1, 1, 1)

    The averages of ``res5`` over windows of the training clip's size enter the published classifier. Stages after the
    last one asked for are not run.
    """

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, H, W) -> the maps asked for."""
        wanted = {stage_blocks(self.variant)[self._stages[name]]: name for name in self.feature_names}
        found: dict[str, Tensor] = {}
        x = clip
        for index in range((stage_blocks(self.variant)[-1] if self.classes else max(wanted)) + 1):
            x = self.network.blocks[index](x)
            if index in wanted:
                found[wanted[index]] = x
        strides = {name: self.spec.outputs[name].stride[0] or 1 for name in self.feature_names}
        maps = {n: FeatureMap(found[n], group_times(clip.shape[2], strides[n], clip)) for n in self.feature_names}
        return maps | self._answers(clip, x) if self.classes else maps


def slow_frames(frames: int, alpha: int, device: torch.device | None = None) -> Tensor:
    """Indices of the slow pathway's ceil(frames / alpha) frames, first and last frame included."""
    return torch.linspace(0, frames - 1, -(-frames // alpha), device=device).long()


def group_times(frames: int, size: int, like: Tensor) -> Tensor:
    """Centres of successive groups of ``size`` frames, the last of which may be shorter, on the device of ``like``."""
    starts = torch.arange(0, frames, size, device=like.device, dtype=torch.float32)
    return (starts + (starts + size - 1).clamp(max=frames - 1)) / 2
