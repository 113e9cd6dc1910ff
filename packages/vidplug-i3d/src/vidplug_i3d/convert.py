"""Published I3D parameter names -> those of the extractors here.

Inception's are pytorch-i3d's, the ResNet's PyTorchVideo's; for the ResNet also PySlowFast's
(github.com/facebookresearch/SlowFast, slowfast/models).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor
from vidcore.weights.rename import Layout, Renamed, convert_names

_PYSLOWFAST = Layout(
    name="PySlowFast",
    sign=r"s1\.pathway0_stem\.",
    rules=(
        (r"^s1\.pathway0_stem\.bn\.", "blocks.0.norm."),
        (r"^s1\.pathway0_stem\.", "blocks.0."),
        (r"^s2\.pathway0_res", "blocks.1.res_blocks."),
        # Block 2 is the pool over pairs of frames.
        (r"^s3\.pathway0_res", "blocks.3.res_blocks."),
        (r"^s4\.pathway0_res", "blocks.4.res_blocks."),
        (r"^s5\.pathway0_res", "blocks.5.res_blocks."),
        (r"\.branch1\.", ".branch1_conv."),
        (r"\.branch1_bn\.", ".branch1_norm."),
        (r"\.branch2\.([abc])\.", r".branch2.conv_\1."),
        (r"\.branch2\.([abc])_bn\.", r".branch2.norm_\1."),
    ),
)
_MMACTION = Layout(
    name="mmaction2",
    sign=r"(conv1\.conv\.|layer1\.0\.conv1\.conv\.)",
    refused="its I3D halves time in the stem and in the first pool (configs/_base_/models/i3d_r50.py), which this "
    "network does not: shapes are equal, and the numbers would mean nothing",
)


def convert(published: Mapping[str, Tensor], own: Collection[str]) -> Renamed:
    """The published names under ``network.``; what the extractor does not have keeps its published name.

    Raises:
        ValueError: the file is of mmaction2, whose I3D is another network.
    """
    return convert_names(published, own, (_PYSLOWFAST, _MMACTION))
