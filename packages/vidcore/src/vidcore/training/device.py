"""Which device a run uses, and with which precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from vidcore.config import TrainConfig
from vidcore.errors import ConfigError

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(config: TrainConfig) -> Fabric:
    """Fabric on one device, launched.

    Raises:
        ConfigError: the device is unknown, not there, or cannot do the precision.
    """
    # Here, because it takes seconds to import, and a trained model predicts without it.
    from lightning_fabric import Fabric

    device = chosen_device(config.device)
    fabric = Fabric(accelerator=device, devices=1, precision=chosen_precision(config))
    fabric.launch()
    return fabric


def chosen_device(asked: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` is the GPU where there is one.

    Raises:
        ConfigError: an unknown device, or no GPU that torch can use.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"train.device is {asked!r}; use auto, cpu or cuda")
    if asked == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train.device is cuda, and torch sees no GPU here; use train.device=auto")
    return asked if asked != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def chosen_precision(config: TrainConfig) -> Precision:
    """The precision asked for; by default bf16-mixed on a GPU that has it, else 32-true.

    Raises:
        ConfigError: 16-mixed without a GPU.
    """
    device = chosen_device(config.device)
    if config.precision is not None:
        if config.precision == "16-mixed" and device == "cpu":
            raise ConfigError("train.precision is 16-mixed, which needs a GPU; use bf16-mixed or 32-true")
        return config.precision
    return "bf16-mixed" if device == "cuda" and torch.cuda.is_bf16_supported() else "32-true"


def device_name(device: torch.device) -> str:
    """The device in words: the GPU's name, or the number of CPU threads torch uses."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"
