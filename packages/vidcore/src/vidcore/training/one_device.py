"""The services of Fabric that a training in one process uses, without Fabric: importing that takes seconds.

Fabric asks for the version of torchmetrics by importing all of it, and with it torchvision, torch._dynamo and
transformers. Several processes, and losses that are scaled, are still Fabric's.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class OneDevicePrecision:
    """float32, or autocast to bfloat16 with outputs in float32."""

    def __init__(self, device: str, bfloat16: bool) -> None:
        self._device = device
        self._bfloat16 = bfloat16

    def forward_context(self) -> AbstractContextManager[Any]:
        """The context of a forward."""
        return torch.autocast(self._device, dtype=torch.bfloat16) if self._bfloat16 else nullcontext()

    def convert_output(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Floating outputs in float32, in which losses are computed."""
        if not self._bfloat16:
            return outputs
        return {name: value.float() if value.is_floating_point() else value for name, value in outputs.items()}

    def state_dict(self) -> dict[str, Any]:
        """Nothing has to be kept for resuming."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing was kept."""


class OneDevice:
    """One process on one device, with the interface of ``lightning_fabric.Fabric`` as far as it is used.

    Args:
        device: ``cpu`` or ``cuda``.
        bfloat16: Whether forwards run in autocast to bfloat16.
    """

    global_rank = 0
    world_size = 1

    def __init__(self, device: str, *, bfloat16: bool = False) -> None:
        self.device = torch.device(device, 0) if device == "cuda" else torch.device(device)
        self.precision = OneDevicePrecision(self.device.type, bfloat16)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward."""
        return self.precision.forward_context()

    def setup_module(self, module: ModuleT) -> ModuleT:
        """The module itself, moved to the device."""
        return module.to(self.device)

    def setup_optimizers(self, optimizer: Optimizer) -> Optimizer:
        """The optimiser itself."""
        return optimizer

    def no_backward_sync(self, module: nn.Module, *, enabled: bool = True) -> AbstractContextManager[Any]:
        """There is nobody to synchronise with."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Gradients of the loss."""
        loss.backward()

    def clip_gradients(
        self, module: nn.Module, optimizer: Optimizer, *, max_norm: float, error_if_nonfinite: bool = False
    ) -> Tensor:
        """Scale the gradients of ``optimizer`` down to a common norm of ``max_norm``; returns the norm before."""
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        return torch.nn.utils.clip_grad_norm_(trained, max_norm, error_if_nonfinite=error_if_nonfinite)
