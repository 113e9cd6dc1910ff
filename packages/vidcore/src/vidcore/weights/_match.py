"""Published tensors to an extractor's parameters and buffers: what fits, and what is wrong with the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vidcore.weights._report import Resized, Unfit
from vidcore.weights._resize import resize

# What a float32 parameter can be read from; formats of eight bits need scales that a plain tensor does not carry.
_FLOATING = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@dataclass(slots=True)
class Match:
    """What of a file fits a module, and what does not; names as in ``WeightsReport``."""

    state: dict[str, Tensor] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    left_over: tuple[str, ...] = ()
    resized: list[Resized] = field(default_factory=list)
    mismatched: list[Resized] = field(default_factory=list)
    unfit: list[Unfit] = field(default_factory=list)
    converted: tuple[str, ...] = ()


def match(
    wanted: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    published: Mapping[str, Tensor],
    needed: Collection[str],
    *,
    grids: Mapping[str, tuple[int, ...]],
    adapt: bool = False,
    starts_at_zero: Callable[[str], bool] = lambda _: False,
) -> Match:
    """Pair a module's state with published tensors by name, resizing where a rule allows it.

    Args:
        wanted: the module's state.
        parameters: the parameters in it, shared ones under each of their names.
        published: the file's tensors under the module's names.
        needed: names that the outputs asked for depend on; the others may be absent.
        grids: grids of position tables that the extractor declares.
        adapt: whether kernels may be inflated in time and a first convolution take other channels.
        starts_at_zero: whether the module's own initialisation of a parameter is all zeros.
    """
    found = Match(needed=tuple(name for name, tensor in wanted.items() if name in needed and _counts(name, tensor)))
    first = next((n for n, target in wanted.items() if target.ndim in (4, 5) and n.endswith("weight")), None)
    kinds: set[str] = set()
    for name, target in wanted.items():
        if name not in published:
            continue
        tensor = published[name]
        if not target.is_floating_point():
            # Tables of indices are the architecture's own; a file's may be laid out in another way.
            if tensor.shape == target.shape and not tensor.is_floating_point():
                found.state[name] = tensor
            continue
        if tensor.dtype not in _FLOATING:
            found.unfit.append(Unfit(name, f"{_plain(tensor.dtype)}, expected floating point"))
            continue
        fitted = _shaped(found, name, tensor, tuple(target.shape), grids.get(name), name == first, adapt)
        if fitted is None:
            continue
        if tensor.dtype != target.dtype:
            kinds.add(_plain(tensor.dtype))
        values = fitted.to(target.dtype)
        found.state[name] = values
        if name in needed:
            found.unfit += _unsound(name, values, starts_at_zero)
    found.unfit += _dead_gains(found)
    found.converted = tuple(sorted(kinds))
    _share(found.state, parameters)
    _list_absent(found, wanted, published)
    return found


def _counts(name: str, tensor: Tensor) -> bool:
    """Batch counters change nothing in evaluation, and files older than PyTorch 0.4.1 lack them."""
    return tensor.is_floating_point() and not name.endswith("num_batches_tracked")


def _shaped(
    found: Match,
    name: str,
    tensor: Tensor,
    wanted: tuple[int, ...],
    grid: tuple[int, ...] | None,
    first: bool,
    adapt: bool,
) -> Tensor | None:
    shape = tuple(tensor.shape)
    if shape == wanted:
        return tensor
    if _same_numbers(shape, wanted):
        return tensor.reshape(wanted)
    fitted = resize(name, tensor, wanted, grid, first, adapt)
    if fitted is None:
        found.mismatched.append(Resized(name, shape, wanted))
        return None
    found.resized.append(Resized(name, shape, wanted, fitted[1]))
    return fitted[0]


def _same_numbers(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether two shapes say the same in another way.

    A linear layer as a convolution of one cell (axes of length 1 behind), a token with or without its axes (in front),
    and a kernel of frames as one of a single step.
    """
    behind = _stripped(shape) == _stripped(wanted)
    in_front = _stripped(shape[::-1]) == _stripped(wanted[::-1])
    one_step = len(wanted) == 5 and shape == (*wanted[:2], *wanted[3:]) and wanted[2] == 1
    return behind or in_front or one_step


def _stripped(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without the axes of length 1 behind the last longer one."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _unsound(name: str, values: Tensor, starts_at_zero: Callable[[str], bool]) -> Iterator[Unfit]:
    """What no trained network has: values that are not finite, variances below zero, kernels of zeros."""
    if not bool(values.isfinite().all()):
        wrong = int((~values.isfinite()).sum())
        yield Unfit(name, f"{wrong:,} of {values.numel():,} values are not finite")
        return
    variance = name.endswith("running_var")
    if variance and bool((values < 0).any()):
        yield Unfit(name, "a variance below zero")
    # Biases, gains and scales may be zero: they are where training starts, and a residual branch can be off.
    # A kernel, a matrix or a table has two axes that are longer than one.
    bias = name.rpartition(".")[2].endswith(("bias", "bias_table"))
    matrix = sum(size > 1 for size in values.shape) >= 2 and not bias
    if (variance or matrix) and not bool(values.any()) and not starts_at_zero(name):
        yield Unfit(name, "all zeros")


def _dead_gains(found: Match) -> list[Unfit]:
    """The gains of all norms, where every one of them is zero: nothing passes."""
    needed = set(found.needed)
    gains = [n for n, t in found.state.items() if n in needed and t.ndim == 1 and n.endswith("weight")]
    if any(bool(found.state[name].any()) for name in gains):
        return []
    return [Unfit(name, "all zeros, as every other gain") for name in gains]


def _list_absent(found: Match, wanted: Mapping[str, Tensor], published: Mapping[str, Tensor]) -> None:
    known = {entry.name for entry in found.mismatched} | {entry.name for entry in found.unfit}
    absent = [n for n, t in wanted.items() if n not in found.state and n not in known and _counts(n, t)]
    needed = set(found.needed)
    found.missing = tuple(name for name in absent if name in needed)
    found.spare = tuple(name for name in absent if name not in needed)
    found.left_over = tuple(name for name in published if name not in wanted)


def _share(state: dict[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
    """Give a parameter of two names its value under both: safetensors files keep one of them."""
    values = {id(parameters[name]): tensor for name, tensor in state.items() if name in parameters}
    for name, parameter in parameters.items():
        if name not in state and id(parameter) in values:
            state[name] = values[id(parameter)]


def prefix_hint(missing: Iterable[str], left_over: Iterable[str]) -> str | None:
    """One line on the prefix that would make most missing names match, if one would."""
    missing, left_over = set(missing), set(left_over)
    for longer, shorter, words in (
        (left_over, missing, "the file's names begin with {0!r}: without it {1} of the {2} missing names are there"),
        (missing, left_over, "the file's names lack {0!r} in front: with it {1} of the {2} missing names are there"),
    ):
        prefixes = Counter(head for name in longer for head, tail in _splits(name) if tail in shorter)
        for prefix, count in prefixes.most_common(1):
            if 2 * count > len(missing):
                return words.format(prefix, count, len(missing))
    own = next(iter(missing), "").partition(".")[0] + "."
    bare = {name.removeprefix(own) for name in missing}
    if bare != missing:
        # The extractor's own prefix is put in front by ``convert`` only where the rest is known.
        return prefix_hint(bare, left_over)
    return None


def _splits(name: str) -> Iterator[tuple[str, str]]:
    position = name.find(".")
    while position >= 0:
        yield name[: position + 1], name[position + 1 :]
        position = name.find(".", position + 1)


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
