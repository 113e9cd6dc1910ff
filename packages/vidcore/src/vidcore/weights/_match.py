"""Published tensors to an extractor's parameters and buffers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from vidcore.weights._report import Resized


@dataclass(frozen=True, slots=True)
class Match:
    """What of a file fits a module, and what does not."""

    state: dict[str, Tensor]
    missing: tuple[str, ...]
    left_over: tuple[str, ...]
    resized: tuple[Resized, ...]
    mismatched: tuple[Resized, ...]
    parameter_fraction: float
    buffer_fraction: float


def match(wanted: Mapping[str, Tensor], parameters: Iterable[str], published: Mapping[str, Tensor]) -> Match:
    """Pair a module's state with published tensors by name."""
    state: dict[str, Tensor] = {}
    mismatched = []
    for name, target in wanted.items():
        tensor = published.get(name)
        if tensor is None:
            continue
        if tensor.shape == target.shape:
            state[name] = tensor
        else:
            mismatched.append(Resized(name, tuple(tensor.shape), tuple(target.shape)))
    names = set(parameters)
    # Counters are not needed to use or train a network; files older than PyTorch 0.4.1 lack them.
    missing = tuple(n for n in wanted if n not in state and not n.endswith("num_batches_tracked"))
    return Match(
        state,
        missing,
        tuple(n for n in published if n not in wanted),
        (),
        tuple(mismatched),
        _fraction({n: t for n, t in wanted.items() if n in names}, state),
        _fraction({n: t for n, t in wanted.items() if n not in names and t.is_floating_point()}, state),
    )


def _fraction(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> float:
    total = sum(t.numel() for t in wanted.values())
    return sum(t.numel() for n, t in wanted.items() if n in state) / total if total else 1.0


def parameter_names(module: nn.Module) -> list[str]:
    """Names of the module's parameters, shared ones under each of their names."""
    return [name for name, _ in module.named_parameters(remove_duplicate=False)]
