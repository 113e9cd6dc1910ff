"""Published parameter names -> those of the extractors here, which are PyTorchVideo's.

Other layouts: PySlowFast (github.com/facebookresearch/SlowFast, slowfast/models) and mmaction2
(github.com/open-mmlab/mmaction2, mmaction/models/backbones/x3d.py and heads/x3d_head.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor
from vidcore.weights.rename import Layout, Renamed, convert_names

# PyTorchVideo calls the stem's spatial convolution conv_t and its temporal one conv_xy.
_PYSLOWFAST = Layout(
    name="PySlowFast",
    sign=r"s1\.pathway0_stem\.",
    rules=(
        (r"^s1\.pathway0_stem\.conv_xy\.", "blocks.0.conv.conv_t."),
        (r"^s1\.pathway0_stem\.conv\.", "blocks.0.conv.conv_xy."),
        (r"^s1\.pathway0_stem\.bn\.", "blocks.0.norm."),
        *((rf"^s{stage}\.pathway0_res", f"blocks.{stage - 1}.res_blocks.") for stage in range(2, 6)),
        (r"\.branch1\.", ".branch1_conv."),
        (r"\.branch1_bn\.", ".branch1_norm."),
        (r"\.branch2\.([abc])\.", r".branch2.conv_\1."),
        (r"\.branch2\.b_bn\.", ".branch2.norm_b.0."),
        (r"\.branch2\.([ac])_bn\.", r".branch2.norm_\1."),
        (r"\.branch2\.se\.fc1\.", ".branch2.norm_b.1.block.0."),
        (r"\.branch2\.se\.fc2\.", ".branch2.norm_b.1.block.2."),
        (r"^head\.conv_5\.", "blocks.5.pool.pre_conv."),
        (r"^head\.conv_5_bn\.", "blocks.5.pool.pre_norm."),
        (r"^head\.lin_5\.", "blocks.5.pool.post_conv."),
    ),
)
_MMACTION = Layout(
    name="mmaction2",
    sign=r"conv1_s\.",
    rules=(
        (r"^conv1_s\.conv\.", "blocks.0.conv.conv_t."),
        (r"^conv1_t\.conv\.", "blocks.0.conv.conv_xy."),
        (r"^conv1_t\.bn\.", "blocks.0.norm."),
        (r"^layer(\d)\.", r"blocks.\1.res_blocks."),
        (r"\.conv1\.conv\.", ".branch2.conv_a."),
        (r"\.conv1\.bn\.", ".branch2.norm_a."),
        (r"\.conv2\.conv\.", ".branch2.conv_b."),
        (r"\.conv2\.bn\.", ".branch2.norm_b.0."),
        (r"\.conv3\.conv\.", ".branch2.conv_c."),
        (r"\.conv3\.bn\.", ".branch2.norm_c."),
        (r"\.se_module\.fc1\.", ".branch2.norm_b.1.block.0."),
        (r"\.se_module\.fc2\.", ".branch2.norm_b.1.block.2."),
        (r"\.downsample\.conv\.", ".branch1_conv."),
        (r"\.downsample\.bn\.", ".branch1_norm."),
        (r"^conv5\.conv\.", "blocks.5.pool.pre_conv."),
        (r"^conv5\.bn\.", "blocks.5.pool.pre_norm."),
        (r"^cls_head\.fc1\.", "blocks.5.pool.post_conv."),
    ),
)
# That norm's published names: the extractor has none, so they are not renamed.
_NORMS = ("s2.pathway0_res0.branch1_bn.", "layer1.0.downsample.bn.")
_SHORTCUT = "network.blocks.1.res_blocks.0."
# Both projects and PyTorchVideo use this.
_EPSILON = 1e-5


def convert(published: Mapping[str, Tensor], own: Collection[str]) -> Renamed:
    """The published names under ``network.``; what the extractor does not have keeps its published name."""
    found = convert_names(published, own, (_PYSLOWFAST, _MMACTION))
    return _fold_shortcut(found) if found.layout else found


def _fold_shortcut(found: Renamed) -> Renamed:
    """Put the norm of res2's first shortcut, which PyTorchVideo's network does not have, into its neighbours.

    The shortcut's convolution takes the scale. It has no bias; the shift goes to the norm of the branch that is
    added to it, and the sum is what it was.

    Raises:
        KeyError: a part of the norm is not there.
    """
    start = next((start for start in _NORMS if any(name.startswith(start) for name in found)), None)
    if start is None:
        return found
    convolution, bias = f"{_SHORTCUT}branch1_conv.weight", f"{_SHORTCUT}branch2.norm_c.bias"
    gain, shift, mean, variance = (
        found.pop(start + key).double() for key in ("weight", "bias", "running_mean", "running_var")
    )
    found.pop(f"{start}num_batches_tracked", None)
    scale = gain / torch.sqrt(variance + _EPSILON)
    found[convolution] = (found[convolution].double() * scale.reshape(-1, 1, 1, 1, 1)).to(found[convolution].dtype)
    found[bias] = (found[bias].double() + shift - mean * scale).to(found[bias].dtype)
    return found
