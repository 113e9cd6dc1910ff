"""The two I3D networks: inflated ResNet-50 and inflated Inception-v1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn
from vidcore.catalog import ClipFormat, ExtractorSpec
from vidcore.extractors import Extractor, middle_time, window_averages
from vidcore.features import FeatureMap

from .config import I3dConfig
from .convert import convert
from .inception import ENDPOINTS, InceptionI3D, same_padding
from .resnet import HEAD_POOL, STAGE_BLOCKS, build_resnet
from .variants import VARIANTS

# Inception's layers of temporal stride 2, in order, with their temporal kernels.
_HALVINGS = {"Conv3d_1a_7x7": 7, "MaxPool3d_4a_3x3": 3, "MaxPool3d_5a_2x2": 2}


class I3dExtractor(Extractor):
    """What the two networks share: their options and their weights."""

    config: I3dConfig

    def __init__(self, spec: ExtractorSpec, config: I3dConfig) -> None:
        super().__init__(spec, config)
        self.variant = VARIANTS[spec.name]

    @property
    def clip(self) -> ClipFormat:
        """The declared format at the frames and size of the options."""
        frames, size = self.config.frames or self.variant.frames, self.config.size
        stride = self.variant.temporal_stride
        fixed = self.spec.clip.frames is not None
        clip = replace(
            self.spec.clip,
            frames=frames if fixed else None,
            max_frames=self.spec.clip.max_frames if fixed else frames,
            overlap_frames=frames // 4 // stride * stride,
        )
        return clip if size is None else replace(clip, size=(size, size), resize_short=size)

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """The published files as they are."""
        return convert(published, self.state_dict())


class ResNetI3dExtractor(I3dExtractor):
    """I3D on a ResNet-50, 8 frames at stride 8.

    Input   (B, 3, T, H, W)
    Output  ``res5``  (B, 2048, T/2, H/32, W/32)
            ``resK``  (B, 64 * 2^K, T/2, H/2^K, W/2^K), K = 2, 3, 4; ``res2`` has T steps
            ``logits``, ``probabilities``  (B, 400, 1, 1, 1)

    After res2 a step stands for a pair of frames, the last one for a single frame where T is odd. The
    averages of ``res5`` over windows of 4 x 7 x 7 enter the published classifier, and its logits are averaged. Stages
    after the last one asked for are not run.
    """

    def __init__(self, spec: ExtractorSpec, config: I3dConfig) -> None:
        super().__init__(spec, config)
        self.network = build_resnet(self.variant.width_divisor, len(self.classes))

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """Stem, residual stages and the pool between them."""
        return list(self.network.blocks[: STAGE_BLOCKS["res5"] + 1])

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, H, W) -> the maps asked for."""
        wanted = {STAGE_BLOCKS[name]: name for name in self.feature_names}
        found: dict[str, Tensor] = {}
        x = clip
        for index in range((STAGE_BLOCKS["res5"] if self.classes else max(wanted)) + 1):
            x = self.network.blocks[index](x)
            if index in wanted:
                found[wanted[index]] = x
        sizes = {name: self.variant.outputs[name][1] for name in found}
        maps = {n: FeatureMap(found[n], group_times(clip.shape[2], sizes[n], clip)) for n in self.feature_names}
        if self.classes:
            pooled = window_averages(x, HEAD_POOL).mean((2, 3, 4))
            maps |= self.answers(self.network.blocks[-1].proj(pooled), middle_time(clip.shape[2], clip))
        return maps


class InceptionI3dExtractor(I3dExtractor):
    """I3D on Inception-v1 (Carreira & Zisserman 2017, arXiv:1705.07750), also the network of FVD.

    Takes any number of frames: every layer of stride 2 gives the half, rounded up.

    Input   (B, 3, T, H, W) in [-1, 1]
    Output  ``Mixed_5c``, the default: (B, 1024, ceil(T/8), H/32, W/32), what the published classifier
            averages; and every end point before it, by its published name
            ``logits``, ``probabilities``  (B, 400, 1, 1, 1); the logits are what FVD compares

    Layers after the last end point asked for are not run.
    """

    def __init__(self, spec: ExtractorSpec, config: I3dConfig) -> None:
        super().__init__(spec, config)
        self.network = InceptionI3D(len(self.classes), width=1 / self.variant.width_divisor)

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """The end points in the order of the network."""
        return [self.network.get_submodule(name) for name in ENDPOINTS]

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, H, W) -> the maps asked for."""
        last = ("Mixed_5c",) if self.classes else ()
        maps = self.network.forward_features(clip, dict.fromkeys((*self.feature_names, *last)))
        found = {
            name: FeatureMap(maps[name], endpoint_times(clip.shape[2], name).to(clip.device))
            for name in self.feature_names
        }
        if self.classes:
            found |= self.answers(self.network.logits(maps["Mixed_5c"]), middle_time(clip.shape[2], clip))
        return found


def group_times(frames: int, size: int, like: Tensor) -> Tensor:
    """Centres of successive groups of ``size`` frames, the last of which may be shorter, on the device of ``like``."""
    starts = torch.arange(0, frames, size, device=like.device, dtype=torch.float32)
    return (starts + (starts + size - 1).clamp(max=frames - 1)) / 2


def endpoint_times(frames: int, endpoint: str) -> Tensor:
    """Centres of an end point's steps in frames, (steps,).

    'SAME' padding puts an odd frame of padding at the end, so that each halving of an even number
    of steps moves the centres later: step k of ``Mixed_5c`` is centred on frame 8k + 5, not 8k + 3.5.
    """
    times = torch.arange(frames, dtype=torch.float32, device="cpu")
    for layer, kernel in _HALVINGS.items():
        if ENDPOINTS.index(layer) > ENDPOINTS.index(endpoint):
            break
        count = times.numel()
        front, _ = same_padding(count, kernel, 2)
        centres = (torch.arange(0, count, 2, device="cpu") - front + (kernel - 1) / 2).clamp(0, count - 1)
        times = torch.lerp(times[centres.floor().long()], times[centres.ceil().long()], centres.frac())
    return times
