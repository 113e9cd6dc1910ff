"""Low-rank adapters on the linear layers of a Transformer extractor, through peft."""

from __future__ import annotations

from typing import Any

from torch import nn

from vidcore.config.run import LoraOptions
from vidcore.errors import ConfigError
from vidcore.extractors.base import Extractor
from vidcore.extractors.freezing import parameter_blocks


def add_lora(extractor: Extractor, options: LoraOptions, stream: str) -> None:
    """Freeze ``extractor`` and put a trained pair of matrices beside each linear layer of its blocks, in place.

    W x becomes W x + alpha / rank * B A x, where B starts as zero, so that nothing changes before training
    (Hu et al. 2021, arXiv:2106.09685).

    Raises:
        ConfigError: peft is not installed, or the extractor has no linear layer that can be adapted.
    """
    targets = _targets(extractor, options, stream)
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as exc:
        raise ConfigError("low-rank adapters need peft: pip install 'vidcore[lora]'") from exc
    # PEFT divides alpha by the rank; its own annotation says int.
    alpha: Any = options.alpha
    settings: Any = LoraConfig(r=options.rank, lora_alpha=alpha, lora_dropout=options.dropout, target_modules=targets)
    inject_adapter_in_model(settings, extractor)


def _targets(extractor: Extractor, options: LoraOptions, stream: str) -> list[str]:
    inside = {id(module) for block in parameter_blocks(extractor) for module in _reachable(block)}
    linear = {name: module for name, module in extractor.named_modules() if id(module) in inside}
    if not linear:
        raise ConfigError(
            f"extractor {stream!r} has no linear layer in its blocks that an adapter could stand beside: low-rank "
            f"adapters are for Transformers; use unfreeze_blocks instead"
        )
    wanted = options.targets
    chosen = [name for name in linear if not wanted or name.rpartition(".")[2] in wanted]
    missing = sorted(set(wanted) - {name.rpartition(".")[2] for name in linear})
    if missing:
        there = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
        raise ConfigError(f"extractor {stream!r} has no linear layer named {missing[0]!r}; its layers are: {there}")
    return chosen


def _reachable(module: nn.Module) -> list[nn.Module]:
    """Linear layers that are called; torch's fused layers read the weights of theirs past any adapter."""
    if isinstance(module, (nn.MultiheadAttention, nn.TransformerEncoderLayer)):
        return []
    if isinstance(module, nn.Linear):
        return [module]
    return [found for child in module.children() for found in _reachable(child)]
