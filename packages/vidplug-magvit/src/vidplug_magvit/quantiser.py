"""Lookup-free quantisation (Yu et al. 2023, arXiv:2310.05737): the sign of each channel is one bit of the code."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LookupFreeQuantiser(nn.Module):
    """Binary latents and their integer codes; no parameters and no table.

    Bit i of a code is 1 where channel i is above zero (bit 0 is the least significant), and a quantised latent is
    +1 there and -1 elsewhere, at exactly zero too.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, latents: Tensor) -> Tensor:
        """(B, C, T, H, W) -> the +-1 latents, same shape and dtype; gradients pass straight through."""
        one = torch.ones((), dtype=latents.dtype, device=latents.device)
        signs = torch.where(latents.detach() > 0, one, -one)
        # The difference is exactly zero, so the values stay exactly +-1 while the gradient is the identity.
        return signs + (latents - latents.detach()) if latents.requires_grad else signs

    def codes(self, latents: Tensor) -> Tensor:
        """(B, C, T, H, W) -> codes (B, T, H, W), int64 in [0, 2^C)."""
        bits = (latents > 0).movedim(1, -1).long()
        return (bits << self._shifts(latents.device)).sum(-1)

    def latents(self, codes: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Codes (B, T, H, W) -> the +-1 latents (B, C, T, H, W) they stand for."""
        bits = (codes.unsqueeze(-1) >> self._shifts(codes.device)) & 1
        return (bits * 2 - 1).movedim(-1, 1).to(dtype)

    def _shifts(self, device: torch.device) -> Tensor:
        return torch.arange(self.channels, device=device)
