"""What decodes the videos: the CPU, or the GPU's own decoder."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from vidcore.errors import ConfigError

Decoder = Literal["cpu", "nvdec"]


def decoding_gpu(decoder: Decoder, device: torch.device) -> int | None:
    """Number of the GPU that is to decode: the one the extractors are on; ``None`` where CPUs are to.

    Raises:
        ConfigError: There is no such decoder. Whether it can be used here is seen by the processes that decode.
    """
    if decoder not in get_args(Decoder):
        raise ConfigError(f"unknown decoder {decoder!r}; use {' or '.join(get_args(Decoder))}")
    return None if decoder == "cpu" else device.index or 0
