"""Published parameter names -> those of the extractors here, which are PyTorchVideo's.

Other layouts: PySlowFast (github.com/facebookresearch/SlowFast, slowfast/models) and mmaction2
(github.com/open-mmlab/mmaction2, mmaction/models/backbones/resnet3d*.py and c2d.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor
from vidcore.weights.rename import Layout, Renamed, convert_names

_PYSLOWFAST_BLOCK = (
    (r"\.branch1\.", ".branch1_conv."),
    (r"\.branch1_bn\.", ".branch1_norm."),
    (r"\.branch2\.([abc])\.", r".branch2.conv_\1."),
    (r"\.branch2\.([abc])_bn\.", r".branch2.norm_\1."),
)
_MMACTION_BLOCK = (
    *((rf"\.conv{number}\.conv\.", f".branch2.conv_{letter}.") for number, letter in enumerate("abc", 1)),
    *((rf"\.conv{number}\.bn\.", f".branch2.norm_{letter}.") for number, letter in enumerate("abc", 1)),
    (r"\.downsample\.conv\.", ".branch1_conv."),
    (r"\.downsample\.bn\.", ".branch1_norm."),
)
_PIXELS = "mmaction2 normalises pixels by ImageNet's mean and deviation, this extractor by 0.45 and 0.225"
_POOL = "the first pool of mmaction2's C2D has no padding, this one has 1"


def convert(published: Mapping[str, Tensor], own: Collection[str], blocks: Sequence[int], pathways: int) -> Renamed:
    """The file's names, ``network.`` before those the extractor has; the classifier keeps its published name.

    Args:
        published: the file's tensors.
        own: names in the extractor's state.
        blocks: which of the network's ``blocks`` are res2 to res5.
        pathways: 2 for SlowFast.
    """
    layouts = _two_pathways() if pathways == 2 else _one_pathway(blocks)
    return convert_names(published, own, layouts)


def _two_pathways() -> tuple[Layout, Layout]:
    pyslowfast = [
        rule
        for stage in range(1, 6)
        for rule in (
            (rf"^s{stage}_fuse\.conv_f2s\.", f"blocks.{stage - 1}.multipathway_fusion.conv_fast_to_slow."),
            (rf"^s{stage}_fuse\.bn\.", f"blocks.{stage - 1}.multipathway_fusion.norm."),
            (rf"^s{stage}\.pathway(\d)_stem\.bn\.", rf"blocks.{stage - 1}.multipathway_blocks.\1.norm."),
            (rf"^s{stage}\.pathway(\d)_stem\.", rf"blocks.{stage - 1}.multipathway_blocks.\1."),
            (rf"^s{stage}\.pathway(\d)_res", rf"blocks.{stage - 1}.multipathway_blocks.\1.res_blocks."),
        )
    ]
    mmaction = [
        # Only where laterals have a norm (lateral_norm=True) is mmaction2's network this one.
        (r"^slow_path\.conv1_lateral\.conv\.", "blocks.0.multipathway_fusion.conv_fast_to_slow."),
        (r"^slow_path\.conv1_lateral\.bn\.", "blocks.0.multipathway_fusion.norm."),
        (r"^slow_path\.layer(\d)_lateral\.conv\.", r"blocks.\1.multipathway_fusion.conv_fast_to_slow."),
        (r"^slow_path\.layer(\d)_lateral\.bn\.", r"blocks.\1.multipathway_fusion.norm."),
    ]
    for place, path in enumerate(("slow_path", "fast_path")):
        mmaction += [
            (rf"^{path}\.conv1\.conv\.", f"blocks.0.multipathway_blocks.{place}.conv."),
            (rf"^{path}\.conv1\.bn\.", f"blocks.0.multipathway_blocks.{place}.norm."),
            (rf"^{path}\.layer(\d)\.", rf"blocks.\1.multipathway_blocks.{place}.res_blocks."),
        ]
    return (
        Layout(name="PySlowFast", sign=r"s1\.pathway1_stem\.", rules=(*pyslowfast, *_PYSLOWFAST_BLOCK)),
        Layout(name="mmaction2", sign=r"slow_path\.", rules=(*mmaction, *_MMACTION_BLOCK), note=_PIXELS),
    )


def _one_pathway(blocks: Sequence[int]) -> tuple[Layout, Layout]:
    pyslowfast = [(r"^s1\.pathway0_stem\.bn\.", "blocks.0.norm."), (r"^s1\.pathway0_stem\.", "blocks.0.")]
    mmaction = [(r"^conv1\.conv\.", "blocks.0.conv."), (r"^conv1\.bn\.", "blocks.0.norm.")]
    for number, block in enumerate(blocks, 1):
        pyslowfast.append((rf"^s{number + 1}\.pathway0_res", f"blocks.{block}.res_blocks."))
        mmaction.append((rf"^layer{number}\.", f"blocks.{block}.res_blocks."))
    note = f"{_PIXELS}; {_POOL}" if blocks[1] == 3 else _PIXELS
    return (
        Layout(name="PySlowFast", sign=r"s1\.pathway0_stem\.", rules=(*pyslowfast, *_PYSLOWFAST_BLOCK)),
        Layout(name="mmaction2", sign=r"conv1\.conv\.", rules=(*mmaction, *_MMACTION_BLOCK), note=note),
    )
