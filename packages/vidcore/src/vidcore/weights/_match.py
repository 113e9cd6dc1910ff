"""Published tensors to an extractor's parameters and buffers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from vidcore.weights._report import Resized
from vidcore.weights._resize import resize


@dataclass(slots=True)
class Match:
    """What of a file fits a module, and what does not; names as in ``WeightsReport``."""

    state: dict[str, Tensor] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    left_over: tuple[str, ...] = ()
    resized: list[Resized] = field(default_factory=list)
    mismatched: list[Resized] = field(default_factory=list)
    parameter_fraction: float = 1.0
    buffer_fraction: float = 1.0


def match(
    wanted: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    published: Mapping[str, Tensor],
    grids: Mapping[str, tuple[int, ...]],
) -> Match:
    """Pair a module's state with published tensors by name, resizing where a rule allows it.

    Args:
        wanted: the module's state.
        parameters: the parameters in it, shared ones under each of their names.
        published: the file's tensors under the module's names.
        grids: grids of position tables that the extractor declares.
    """
    found = Match()
    first = next((n for n, target in wanted.items() if target.ndim in (4, 5) and n.endswith("weight")), None)
    for name, target in wanted.items():
        if name not in published:
            continue
        tensor = published[name]
        shapes = tuple(tensor.shape), tuple(target.shape)
        if shapes[0] == shapes[1]:
            found.state[name] = tensor
            continue
        fitted = resize(name, tensor, shapes[1], grids.get(name), name == first)
        if fitted is None:
            found.mismatched.append(Resized(name, *shapes))
        else:
            found.state[name] = fitted[0]
            found.resized.append(Resized(name, *shapes, fitted[1]))
    _share(found.state, parameters)
    # The batch counters change nothing in evaluation, and files older than PyTorch 0.4.1 lack them.
    found.missing = tuple(n for n in wanted if n not in found.state and not n.endswith("num_batches_tracked"))
    found.left_over = tuple(n for n in published if n not in wanted)
    buffers = {n: t for n, t in wanted.items() if n not in parameters and t.is_floating_point()}
    found.parameter_fraction = _fraction({n: t for n, t in wanted.items() if n in parameters}, found.state)
    found.buffer_fraction = _fraction(buffers, found.state)
    return found


def _share(state: dict[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
    """Give a parameter of two names its value under both: safetensors files keep one of them."""
    values = {id(parameters[name]): tensor for name, tensor in state.items() if name in parameters}
    for name, parameter in parameters.items():
        if name not in state and id(parameter) in values:
            state[name] = values[id(parameter)]


def _fraction(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> float:
    total = sum(tensor.numel() for tensor in wanted.values())
    return sum(tensor.numel() for name, tensor in wanted.items() if name in state) / total if total else 1.0


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
    return None


def _splits(name: str) -> Iterator[tuple[str, str]]:
    position = name.find(".")
    while position >= 0:
        yield name[: position + 1], name[position + 1 :]
        position = name.find(".", position + 1)
