"""Which parameters and buffers the outputs of an extractor depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

from vidcore.catalog import ClipFormat
from vidcore.preprocess import plan_windows

if TYPE_CHECKING:
    from vidcore.extractors.base import Extractor

# Sides to try where the clip may have any: the small one is enough for every network but the deepest.
_SIDES = (64, 224)


def tensors_read(extractor: Extractor) -> frozenset[str]:
    """Names of the parameters and persistent buffers that one forward reads.

    The forward runs on the meta device, so it costs neither memory nor arithmetic. Where it cannot run there (a
    plugin that is exempt from that), every name is given.
    """
    state = {**dict(extractor.named_parameters(remove_duplicate=False)),
             **dict(extractor.named_buffers(remove_duplicate=False))}  # fmt: skip
    everything = frozenset(extractor.state_dict())
    if not everything:
        return everything
    modes = [(module, module.training) for module in extractor.modules()]
    try:
        # Running statistics are read in eval mode only.
        extractor.eval()
        for side in _SIDES if extractor.clip.size is None else _SIDES[:1]:
            found = _read_by_forward(extractor, state, side)
            if found:
                return found & everything
    finally:
        for module, training in modes:
            module.training = training
    return everything


class _Recorder(TorchDispatchMode):
    """Notes which of the tensors it knows enter an operation."""

    def __init__(self, names: Mapping[int, list[str]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names = names
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in tree_iter((args, kwargs or {})):
            if isinstance(value, Tensor):
                self.found.update(self.names.get(id(value), ()))
        return func(*args, **(kwargs or {}))


def _read_by_forward(extractor: Extractor, state: Mapping[str, Tensor], side: int) -> frozenset[str] | None:
    """Names read by one forward; None where it does not run."""
    # A tensor of two names stays one tensor.
    stand_ins = {id(tensor): torch.empty_like(tensor, device="meta") for tensor in state.values()}
    names: dict[int, list[str]] = {}
    for name, tensor in state.items():
        names.setdefault(id(stand_ins[id(tensor)]), []).append(name)
    recorder = _Recorder(names)
    try:
        with torch.no_grad():
            clip = extractor.preprocess(_video(extractor.clip, side))
            on_meta = tree_map_only(Tensor, lambda t: t.to("meta"), clip)
            with recorder:
                functional_call(extractor, {n: stand_ins[id(t)] for n, t in state.items()}, (on_meta,))
    # Whatever a stranger's network raises on the meta device, the answer is the same: it does not run there.
    except Exception:  # noqa: BLE001
        return None
    return frozenset(recorder.found)


def _video(clip: ClipFormat, side: int) -> Tensor:
    """The shortest raw video the clip format takes, black: (1, T, C, H, W)."""
    multiple = clip.size_multiple
    height, width = clip.size or (-(-side // multiple) * multiple,) * 2
    number = clip.channels.split()[0]
    channels = int(number) if number.isdigit() else 3
    frames = plan_windows(1, clip)[0].length
    return torch.zeros(1, frames, channels, height, width, dtype=torch.uint8, device="cpu")
