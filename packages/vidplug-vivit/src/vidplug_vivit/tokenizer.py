"""A clip becomes tokens: one strided 3D convolution, a norm, and whole-token dropout."""

from __future__ import annotations

from torch import Tensor, nn

from .architecture import Architecture
from .blocks import make_norm


class Tokenizer(nn.Module):
    """Tubelet embedding (Arnab et al., arXiv:2103.15691): a 3D convolution whose stride is its kernel.

    Patches do not overlap, so step t sees frames ``[t * p, (t + 1) * p)`` and no other. The norm after the
    convolution is ViV1T's.

    Patch dropout zeroes whole tokens and scales the survivors by 1 / (1 - rate), as ViV1T's ``DropPatch`` does.
    The grid stays complete: a dropped token still has its place, gets its position afterwards, and is filled
    in from its neighbours by attention. Each token of each clip is drawn on its own.

    Args:
        architecture: the network's numbers.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.in_channels = a.in_channels
        self.patch_size = a.patch_size
        self.project = nn.Conv3d(a.in_channels, a.width, kernel_size=a.patch_size, stride=a.patch_size)
        self.norm = make_norm(a.norm, a.width)
        self.drop_patch = nn.Dropout1d(a.patch_dropout)

    def grid(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """(T', H', W') of a clip of this shape.

        Args:
            shape: (B, C, T, H, W).

        Raises:
            ValueError: not five axes, other channels, or a length that is not a positive multiple of the patch.
        """
        if len(shape) != 5:
            raise ValueError(f"a clip is (B, C, T, H, W), got {len(shape)} axes: {tuple(shape)}")
        if shape[1] != self.in_channels:
            raise ValueError(
                f"the clip has {shape[1]} channels, the network in_channels={self.in_channels}; "
                f"a clip is (B, C, T, H, W), got {tuple(shape)}"
            )
        for axis, length, patch in zip(("frames", "rows", "columns"), shape[2:], self.patch_size, strict=True):
            if length < patch or length % patch:
                below, above = max(length // patch, 1) * patch, -(-length // patch) * patch
                fits = f"{below}" if below == above else f"{below} or {above}"
                raise ValueError(
                    f"the clip has {length} {axis}, which is not a positive multiple of the patch's {patch}; "
                    f"pad, crop or resize to {fits}"
                )
        frames, rows, columns = (n // p for n, p in zip(shape[2:], self.patch_size, strict=True))
        return frames, rows, columns

    def forward(self, clip: Tensor) -> Tensor:
        """Map (B, C, T, H, W) to (B, T', H' * W', D), columns fastest; raises as :meth:`grid` does."""
        self.grid(tuple(clip.shape))
        tokens = self.norm(self.project(clip).flatten(3).permute(0, 2, 3, 1))
        # Dropout1d drops along its second axis, so time and space are one axis while it draws.
        dropped: Tensor = self.drop_patch(tokens.flatten(1, 2)).unflatten(1, tokens.shape[1:3])
        return dropped
