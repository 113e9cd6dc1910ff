"""Which parts of an extractor are trained: all, the last blocks, or none."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from vidcore.errors import ConfigError
from vidcore.extractors.base import Extractor


def parameter_blocks(extractor: Extractor) -> list[nn.Module]:
    """``extractor.blocks`` without parts that have no parameters or are but a norm.

    A final norm is no block: to train the last block is to train what comes after it as well.
    """
    return [block for block in extractor.blocks if any(True for _ in block.parameters()) and not _is_norm(block)]


def block_places(extractor: Extractor) -> dict[str, int]:
    """The place of each parameter among the n blocks: 0 for the first block, n - 1 for the last.

    A parameter of no block has the place of the block that was registered before it, 0 where there is none,
    and n after the last one: a final norm.
    """
    blocks = parameter_blocks(extractor)
    owner = {id(parameter): place for place, block in enumerate(blocks) for parameter in block.parameters()}
    left, places, last = set(owner), {}, 0
    for name, parameter in extractor.named_parameters():
        if id(parameter) in owner:
            left.discard(id(parameter))
            last = max(last, owner[id(parameter)])
            places[name] = owner[id(parameter)]
        else:
            places[name] = last if left else len(blocks)
    return places


def train_last_blocks(extractor: Extractor, count: int, stream: str) -> None:
    """Take the gradient from all but the last ``count`` blocks and what comes after them.

    Raises:
        ConfigError: the extractor has fewer blocks.
    """
    total = len(parameter_blocks(extractor))
    if count > total:
        raise ConfigError(
            f"unfreeze_blocks is {count}, and extractor {stream!r} has {total} blocks; give fewer, or freeze=false "
            "to train all of it"
        )
    places = block_places(extractor)
    for name, parameter in extractor.named_parameters():
        if places[name] < total - count:
            parameter.requires_grad_(False)


def untrained_modules(extractor: Extractor) -> list[nn.Module]:
    """The largest modules that have parameters, none of which is trained: they belong in eval mode."""
    found: list[nn.Module] = []
    _collect(extractor, found)
    return found


def normalisers(extractor: Extractor) -> list[nn.Module]:
    """The layers that keep running statistics."""
    return [module for module in extractor.modules() if isinstance(module, _NormBase)]


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, _NormBase))


def _collect(module: nn.Module, found: list[nn.Module]) -> None:
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        found.append(module)
        return
    for child in module.children():
        _collect(child, found)
