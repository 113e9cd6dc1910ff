"""oneDNN's convolutions in channels-last layout, whatever PyTorch would choose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_LAYOUTS = {torch.conv2d: (2, torch.channels_last), torch.conv3d: (3, torch.channels_last_3d)}


class OneDnnConvolutions(TorchFunctionMode):
    """While it is entered, this thread's convolutions run in oneDNN, channels-last; a context manager.

    PyTorch leaves convolutions of one clip on one thread to its own slow kernel (``ConvParams::use_mkldnn`` in
    ``aten/src/ATen/native/Convolution.cpp``), which also undoes the layout that the next one would be fastest in. What
    carries gradient, is not float32, is on a device or is autocast runs as always.
    """

    def __torch_function__(
        self, function: Callable[..., Any], types: Iterable[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """See ``torch.overrides``."""
        layout = _LAYOUTS.get(function)
        if layout is None:
            return function(*args, **(kwargs or {}))
        found = _convolution(*layout, *args, **(kwargs or {}))
        return function(*args, **(kwargs or {})) if found is None else found


def _convolution(
    dimensions: int,
    layout: torch.memory_format,
    input: Tensor,  # noqa: A002 - the name it has in torch
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor | None:
    """The convolution, or None where it is not one for oneDNN. Names and defaults are those of ``torch.conv3d``."""
    if (
        not torch.backends.mkldnn.is_available()
        or isinstance(padding, str)
        or input.dim() != dimensions + 2
        or not (_fits(input) and _fits(weight))
        or not input.numel()
        or torch.is_autocast_enabled("cpu")
        or (torch.is_grad_enabled() and (input.requires_grad or weight.requires_grad))
    ):
        return None

    def each(value: int | Sequence[int]) -> list[int]:
        given = [value] if isinstance(value, int) else list(value)
        return given * dimensions if len(given) == 1 else given

    return torch.mkldnn_convolution(
        input.contiguous(memory_format=layout), weight, bias, each(padding), each(stride), each(dilation), groups
    )


def _fits(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and tensor.device.type == "cpu" and tensor.dtype == torch.float32
