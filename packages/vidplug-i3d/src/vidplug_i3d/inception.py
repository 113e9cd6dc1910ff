"""Inflated Inception-v1 (I3D; Carreira & Zisserman 2017, arXiv:1705.07750), under the published PyTorch names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Published: (b0, b1a, b1b, b2a, b2b, b3b), the widths of the four branches of each Inception block.
MIXED_WIDTHS = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}

# Network order. Time is halved by the first convolution and the pools 4a and 5a, space by all of the first five.
ENDPOINTS = (
    "Conv3d_1a_7x7",
    "MaxPool3d_2a_3x3",
    "Conv3d_2b_1x1",
    "Conv3d_2c_3x3",
    "MaxPool3d_3a_3x3",
    "Mixed_3b",
    "Mixed_3c",
    "MaxPool3d_4a_3x3",
    "Mixed_4b",
    "Mixed_4c",
    "Mixed_4d",
    "Mixed_4e",
    "Mixed_4f",
    "MaxPool3d_5a_2x2",
    "Mixed_5b",
    "Mixed_5c",
)

HEAD_POOL = (2, 7, 7)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding in front and behind under TensorFlow's 'SAME' rule, which gives ``ceil(size / stride)`` outputs."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def prefers_onednn(x: Tensor) -> bool:
    """Whether to pool through oneDNN: the same maxima, for the price of two copies.

    PyTorch's own 3D pooling is not vectorised over channels-first float32 on a CPU and takes 40 % of this network's
    time there; oneDNN's takes a fifth to a twentieth of that. It has no backward of this kind and no place in a
    traced graph, and a channels-last map is pooled fast as it is.
    """
    return (
        type(x) is Tensor
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.is_contiguous()
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and not (x.requires_grad and torch.is_grad_enabled())
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
    )


class Unit3D(nn.Module):
    """'SAME' convolution without bias, batch norm (epsilon 1e-3, as in the original) and ReLU.

    Input   (B, in_channels, T, H, W)
    Output  (B, out_channels, ceil(T / stride), ceil(H / stride), ceil(W / stride))
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        # At stride 1 'SAME' is symmetric whatever the size, so the convolution pads by itself, without a copy.
        padding = kernel // 2 if stride == 1 else 0
        self.conv3d = nn.Conv3d(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm3d(out_channels, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, T, H, W) -> (B, out_channels, T', H', W'), not negative."""
        if self.stride > 1:
            sides = [same_padding(size, self.kernel, self.stride) for size in reversed(x.shape[2:])]
            x = F.pad(x, [amount for side in sides for amount in side])
        return F.relu(self.bn(self.conv3d(x)), inplace=True)


class SameMaxPool3d(nn.Module):
    """'SAME' max pool of maps that are not negative, which every map behind a ReLU is.

    TensorFlow leaves padding out of the maximum, the published PyTorch definition pads with zeros; on such maps
    both are the same. 'SAME' puts an odd amount behind, where ``ceil_mode`` lets the last window hang over the
    edge: so nothing is ever copied into a padded tensor.

    Input   (B, C, T, H, W)
    Output  (B, C, ceil(T / s_t), ceil(H / s_h), ceil(W / s_w))
    """

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, T', H', W')."""
        front = [same_padding(*axis)[0] for axis in zip(x.shape[2:], self.kernel, self.stride, strict=True)]
        if prefers_onednn(x):
            dense: Tensor = F.max_pool3d(x.to_mkldnn(), self.kernel, self.stride, front, ceil_mode=True).to_dense()
            return dense
        return F.max_pool3d(x, self.kernel, self.stride, front, ceil_mode=True)

    def extra_repr(self) -> str:
        """Kernel and stride."""
        return f"kernel={self.kernel}, stride={self.stride}"


class InceptionBlock(nn.Module):
    """Four branches on one grid, concatenated: 1x1x1; 1x1x1, 3x3x3; 1x1x1, 3x3x3; 3x3x3 max pool, 1x1x1.

    Input   (B, in_channels, T, H, W), not negative
    Output  (B, out_channels, T, H, W)
    """

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.out_channels = b0 + b1b + b2b + b3b
        self.b0 = Unit3D(in_channels, b0)
        self.b1a = Unit3D(in_channels, b1a)
        self.b1b = Unit3D(b1a, b1b, kernel=3)
        self.b2a = Unit3D(in_channels, b2a)
        self.b2b = Unit3D(b2a, b2b, kernel=3)
        self.b3a = SameMaxPool3d((3, 3, 3), (1, 1, 1))
        self.b3b = Unit3D(in_channels, b3b)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, T, H, W) -> (B, out_channels, T, H, W)."""
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], dim=1)


class Classifier(nn.Module):
    """The published classifier: 2x7x7 average pool of stride 1, dropout, 1x1x1 convolution, mean over time.

    A map smaller than the pool is averaged whole; on one larger than 7x7 the logits are averaged over space as well,
    as they are over time.

    Input   (B, in_channels, T, H, W)
    Output  (B, num_classes)
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.conv3d = nn.Conv3d(in_channels, num_classes, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_channels, T, H, W) -> logits (B, num_classes)."""
        kernel = [min(size, pool) for size, pool in zip(features.shape[2:], HEAD_POOL, strict=True)]
        # PyTorch has no 3D average pool of half-precision maps on a CPU.
        wide = features.float() if features.dtype in (torch.bfloat16, torch.float16) else features
        pooled = F.avg_pool3d(wide, kernel, stride=1).to(features.dtype)
        logits: Tensor = self.conv3d(self.dropout(pooled))
        return logits.mean((2, 3, 4))


class InceptionI3D(nn.Module):
    """Inception-v1 I3D with its Kinetics classifier.

    Every convolution and pool follows TensorFlow's 'SAME' rule, so any T, H, W of at least 1 goes through and each
    stride-2 layer gives ``ceil(size / 2)``. Published checkpoints (``rgb_imagenet.pt``) load strictly.

    Input   (B, 3, T, H, W), RGB in [-1, 1]; published at 224 x 224
    Output  logits (B, num_classes); Mixed_5c is (B, 1024, ceil(T / 8), ceil(H / 32), ceil(W / 32))

    Args:
        num_classes: outputs of the classifier; 0: none is built.
        in_channels: 3 for RGB, 2 for optical flow.
        width: multiplies every channel count; 1 is the published network.
        dropout: of the classifier, while training.
    """

    def __init__(self, num_classes: int = 400, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__()

        def scaled(channels: int) -> int:
            return max(1, round(channels * width))

        self.Conv3d_1a_7x7 = Unit3D(in_channels, scaled(64), kernel=7, stride=2)
        self.MaxPool3d_2a_3x3 = SameMaxPool3d((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit3D(scaled(64), scaled(64))
        self.Conv3d_2c_3x3 = Unit3D(scaled(64), scaled(192), kernel=3)
        self.MaxPool3d_3a_3x3 = SameMaxPool3d((1, 3, 3), (1, 2, 2))
        self.MaxPool3d_4a_3x3 = SameMaxPool3d((3, 3, 3), (2, 2, 2))
        self.MaxPool3d_5a_2x2 = SameMaxPool3d((2, 2, 2), (2, 2, 2))
        channels = scaled(192)
        for name, widths in MIXED_WIDTHS.items():
            block = InceptionBlock(channels, [scaled(w) for w in widths])
            self.add_module(name, block)
            channels = block.out_channels
        self.dim = channels
        if num_classes:
            self.logits = Classifier(channels, num_classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Clip (B, 3, T, H, W), RGB in [-1, 1] -> logits (B, num_classes)."""
        logits: Tensor = self.logits(self.forward_features(x)["Mixed_5c"])
        return logits

    def forward_features(self, x: Tensor, endpoints: Collection[str] = ("Mixed_5c",)) -> dict[str, Tensor]:
        """The maps of the end points asked for, in that order; layers behind the last of them are not run.

        Args:
            x: (B, 3, T, H, W), RGB in [-1, 1].
            endpoints: names out of ``ENDPOINTS``.

        Returns:
            name -> (B, C, T', H', W').

        Raises:
            ValueError: an unknown end point, or none.
        """
        unknown = [name for name in endpoints if name not in ENDPOINTS]
        if unknown or not endpoints:
            problem = f"unknown end points {unknown}" if unknown else "no end point asked for"
            raise ValueError(f"{problem}; choose from {', '.join(ENDPOINTS)}")
        maps: dict[str, Tensor] = {}
        for name in ENDPOINTS[: 1 + max(map(ENDPOINTS.index, endpoints))]:
            x = self.get_submodule(name)(x)
            if name in endpoints:
                maps[name] = x
        return {name: maps[name] for name in endpoints}
