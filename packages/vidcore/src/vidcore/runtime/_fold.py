"""Batch normalisation that follows a convolution, folded into the convolution's weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vidcore.runtime._copy import replace

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class PairFinder:
    """Watches one forward and finds each convolution whose output goes as it is into a batch normalisation.

    The forward must not run in inference mode: a tensor changed in place between the two is known by its version.
    That nothing else reads the convolution's output is not seen; the folded network's numbers show it.
    """

    def __init__(self, root: nn.Module) -> None:
        self._calls: Counter[str] = Counter()
        self._found: dict[str, str] = {}
        self._handles = []
        for name, module in root.named_modules():
            if type(module).forward in {kind.forward for kind in _CONVOLUTIONS}:
                self._handles.append(module.register_forward_hook(self._mark(name)))
            elif type(module).forward is _BatchNorm.forward and module.running_var is not None:
                self._handles.append(module.register_forward_pre_hook(self._look(name)))

    def pairs(self) -> list[tuple[str, str]]:
        """Names of convolution and normalisation; each of them ran once. Stops watching."""
        for handle in self._handles:
            handle.remove()
        return [(conv, norm) for norm, conv in self._found.items() if self._calls[conv] == self._calls[norm] == 1]

    def _mark(self, name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def mark(_: nn.Module, __: Any, output: Tensor) -> None:
            self._calls[name] += 1
            output._convolution = (name, output._version)  # type: ignore[attr-defined]

        return mark

    def _look(self, name: str) -> Callable[[nn.Module, Any], None]:
        def look(_: nn.Module, inputs: Any) -> None:
            self._calls[name] += 1
            conv, version = getattr(inputs[0], "_convolution", (None, None))
            if conv is not None and version == inputs[0]._version:
                self._found[name] = conv

        return look


def fold(root: nn.Module, pairs: list[tuple[str, str]]) -> None:
    """Fold each pair in place of ``root``, whose modules must not be anyone else's; the shared tensors stay."""
    for conv_name, norm_name in pairs:
        conv: Any = root.get_submodule(conv_name)
        norm: Any = root.get_submodule(norm_name)
        replace(root, conv_name, fuse_conv_bn_eval(conv, norm))
        replace(root, norm_name, nn.Identity())
