"""PyTorchVideo's I3D ResNet-50, with or without its head, under the published parameter names."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

from torch import nn

with warnings.catch_warnings():
    # fvcore, below pytorchvideo, scripts a loss when it is imported; nothing here uses it.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", category=FutureWarning)
    from pytorchvideo.models.resnet import create_resnet

# Which of the network's blocks give res2 to res5; block 2 is the pool over pairs of frames.
STAGE_BLOCKS = {"res2": 1, "res3": 3, "res4": 4, "res5": 5}

# The head averages windows of a training clip's map.
HEAD_POOL = (4, 7, 7)

_ONE, _THREE = (1, 1, 1), (3, 1, 1)


def build_resnet(width_divisor: int = 1, classes: int = 0) -> Any:
    """I3D R50 as a ``Net`` whose ``blocks`` end in the head, or before it with 0 classes.

    Settings are those of ``pytorchvideo.models.hub.i3d_r50``.

    Carreira & Zisserman 2017, arXiv:1705.07750, on a ResNet as in Wang et al. 2018, arXiv:1711.07971.
    """
    head: dict[str, Any] = {"model_num_class": classes} if classes else {"head": None}
    return create_resnet(
        model_depth=50,
        stem_dim_out=64 // width_divisor,
        stem_conv_kernel_size=(5, 7, 7),
        # The published pool drops the last frame of an odd number; with an even one there is no difference.
        stage1_pool=partial(nn.MaxPool3d, ceil_mode=True),
        stage_conv_a_kernel_size=(_THREE, [_THREE, _ONE], [_THREE, _ONE], [_ONE, _THREE]),
        # Same values, one pass over memory less; the published definition allocates a new map for every ReLU.
        activation=partial(nn.ReLU, inplace=True),
        **head,
    )
