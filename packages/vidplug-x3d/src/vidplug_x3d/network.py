"""PyTorchVideo's X3D, with or without its classifier, under the published parameter names."""

from __future__ import annotations

import operator
import warnings
from functools import partial
from typing import Any

from torch import nn

from .variants import Variant

with warnings.catch_warnings():
    # fvcore, below pytorchvideo, scripts a loss when it is imported; nothing here uses it.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", category=FutureWarning)
    from pytorchvideo.models.resnet import ResBlock
    from pytorchvideo.models.x3d import create_x3d

# Same values, one pass over memory less; the published definition allocates a new map for every ReLU.
_ReLU = partial(nn.ReLU, inplace=True)


def build(variant: Variant, classes: int = 0) -> Any:
    """The variant's network (Feichtenhofer 2020, arXiv:2004.04730); settings of ``pytorchvideo.models.hub.x3d``.

    A ``Net`` of ``blocks``: the stem, four residual stages, and the head, of which only the
    ``pool`` (432 channels, average, projection) is kept, and the classifier ``proj`` where there are classes.
    """
    network = create_x3d(
        input_clip_length=variant.frames,
        input_crop_size=variant.train_size,
        model_num_class=classes or 1,
        width_factor=variant.width_factor,
        depth_factor=variant.depth_factor,
        head_dim_out=variant.projection,
        activation=_ReLU,
        head_pool_act=_ReLU,
        # The library's Swish is the same function as an autograd.Function, which no compiler sees through.
        inner_act=nn.SiLU,
    )
    head = network.blocks[5]
    network.blocks[5] = nn.ModuleDict({"pool": head.pool} | ({"proj": head.proj} if classes else {}))
    for module in network.modules():
        if isinstance(module, ResBlock):
            # The library's is a lambda, which cannot be pickled and so not be sent to another process.
            module.branch_fusion = operator.add
    return network
