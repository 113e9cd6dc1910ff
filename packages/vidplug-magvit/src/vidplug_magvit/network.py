"""The Open-MAGVIT2 video tokenizer (arXiv:2409.04410): encoder, lookup-free quantiser, decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .architecture import VIDEO_262144, TokenizerConfig
from .decoder import Decoder
from .encoder import Encoder
from .quantiser import LookupFreeQuantiser


class Tokenizer(nn.Module):
    """Video to a grid of integer codes and back.

    The parameters carry the published names (``encoder.*``, ``decoder.*``), so a state dict made by
    ``vidplug_magvit.convert`` loads strictly. Features are ``encoder.mid(video)`` and ``encoder(video)``.

    Input   (B, 3, 4k + 1, H, W), RGB in [-1, 1]
    Codes   (B, k + 1, ceil(H / 8), ceil(W / 8)), int64 in [0, 2^18)

    Args:
        config: the architecture.
        decoder: whether to build the decoder; without it, videos can be encoded only.
    """

    def __init__(self, config: TokenizerConfig = VIDEO_262144, *, decoder: bool = True) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config) if decoder else None
        self.quantiser = LookupFreeQuantiser(config.z_channels)

    def forward(self, video: Tensor) -> Tensor:
        """The reconstruction of a video, differentiable through the quantiser.

        Args:
            video: (B, 3, 4k + 1, H, W), RGB in [-1, 1].

        Returns:
            (B, 3, 4k + 1, 8 ceil(H / 8), 8 ceil(W / 8)), not clamped.

        Raises:
            ValueError: the clip is not 5D or its length is not 4k + 1, or there is no decoder.
        """
        return self._decoded(self.quantiser(self.encoder(video)))

    def encode(self, video: Tensor) -> Tensor:
        """Codes of a video.

        Args:
            video: (B, 3, 4k + 1, H, W), RGB in [-1, 1].

        Returns:
            (B, k + 1, ceil(H / 8), ceil(W / 8)), int64.

        Raises:
            ValueError: the clip is not 5D or its length is not 4k + 1.
        """
        return self.quantiser.codes(self.encoder(video))

    def decode(self, codes: Tensor) -> Tensor:
        """The video that codes stand for, not clamped.

        Args:
            codes: (B, T', H', W'), integers in [0, 2^18).

        Returns:
            (B, 3, 4 (T' - 1) + 1, 8 H', 8 W') in the dtype of the weights.

        Raises:
            ValueError: not a 4D integer tensor, a code outside the codebook, or there is no decoder.
        """
        if codes.ndim != 4 or codes.dtype.is_floating_point or codes.dtype in (torch.bool, torch.complex64):
            raise ValueError(f"expected integer codes (B, T, H, W), got {codes.dtype} of shape {tuple(codes.shape)}")
        codes = codes.long()
        # Meta tensors have no values to look at.
        if not codes.is_meta and codes.numel():
            low, high = int(codes.min()), int(codes.max())
            if low < 0 or high >= self.config.codebook_size:
                raise ValueError(f"codes from {low} to {high} are outside [0, {self.config.codebook_size})")
        dtype = self.encoder.conv_in.conv_1.weight.dtype
        return self._decoded(self.quantiser.latents(codes, dtype))

    def _decoded(self, latents: Tensor) -> Tensor:
        if self.decoder is None:
            raise ValueError("the tokenizer was built with decoder=False; build it with decoder=True")
        out: Tensor = self.decoder(latents)
        return out
