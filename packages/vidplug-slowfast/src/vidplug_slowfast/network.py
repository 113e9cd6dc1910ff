"""PyTorchVideo's SlowFast and ResNet networks, with or without heads, under the published parameter names."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

from torch import nn

from .variants import Variant

with warnings.catch_warnings():
    # fvcore, below pytorchvideo, scripts a loss when it is imported; nothing here uses it.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", category=FutureWarning)
    from pytorchvideo.models.resnet import create_resnet
    from pytorchvideo.models.slowfast import create_slowfast

# Same values, one pass over memory less; the published definition allocates a new map for every ReLU.
_ReLU = partial(nn.ReLU, inplace=True)
# The published pool drops the last frame of an odd number; with an even one there is no difference.
_PairPool = partial(nn.MaxPool3d, ceil_mode=True)
_ONE, _THREE = (1, 1, 1), (3, 1, 1)


def build(variant: Variant, classes: int = 0) -> nn.Module:
    """The variant's network as a ``Net`` whose ``blocks`` end before the head's pooling.

    With classes there is one block more, the head, of which only ``proj`` is kept.

    SlowFast: Feichtenhofer et al. 2019, arXiv:1812.03982; its slow pathway alone is Slow. C2D: Wang et
    al. 2018, arXiv:1711.07971, a 2D ResNet with one temporal max pool. Settings are those of
    ``pytorchvideo.models.hub``.
    """
    network = create_slowfast(**_two_pathways(variant)) if variant.alpha > 1 else create_resnet(**_one(variant))
    last = stage_blocks(variant)[-1]
    network.blocks = network.blocks[: last + 1]
    if classes:
        if variant.alpha > 1:
            # The published block that pools and concatenates the pathways; it has no parameters.
            network.blocks.append(nn.Identity())
        width = variant.width * (32 + 4 * (variant.alpha > 1))
        network.blocks.append(nn.ModuleDict({"proj": nn.Linear(width, classes)}))
    return network


def stage_blocks(variant: Variant) -> tuple[int, int, int, int]:
    """Which of the network's ``blocks`` give res2, res3, res4 and res5."""
    # C2D pools time between res2 and res3.
    return (1, 3, 4, 5) if variant.architecture == "c2d" else (1, 2, 3, 4)


def _two_pathways(v: Variant) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "model_depth": v.depth,
        "stem_dim_outs": (v.width, v.width // 8),
        "slowfast_fusion_conv_kernel_size": (v.fusion_kernel, 1, 1),
        "slowfast_fusion_conv_stride": (v.alpha, 1, 1),
        "activation": _ReLU,
        "head": None,
        "head_pool": None,
    }
    if v.temporal_blocks is not None:
        blocks = {101: 23}[v.depth]
        res4 = (_THREE,) * v.temporal_blocks + (_ONE,) * (blocks - v.temporal_blocks)
        settings["stage_conv_a_kernel_sizes"] = ((_ONE, _ONE, res4, _THREE), (_THREE, _THREE, res4, _THREE))
    return settings


def _one(v: Variant) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "model_depth": v.depth,
        "stem_dim_out": v.width,
        "stem_conv_kernel_size": (1, 7, 7),
        "activation": _ReLU,
        "head": None,
    }
    if v.architecture == "c2d":
        settings |= {"stage1_pool": _PairPool, "stage_conv_a_kernel_size": (_ONE,) * 4}
    return settings
