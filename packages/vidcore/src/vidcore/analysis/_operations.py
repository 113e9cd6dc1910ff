"""Floating-point operations of a forward, counted on the operators that really ran."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def count_flops(run: Callable[[], object]) -> int:
    """Operations of ``run``: matrix products, convolutions, attention and recurrent layers, by PyTorch's formulas.

    A multiplication and the addition that follows are two operations, so this is twice the "MACs" (often printed as
    "FLOPs") of many papers. Elementwise operations, normalisation, pooling and Fourier transforms count as none, the
    zeros of padding as if they were multiplied. Attention counts in full also where it is masked.
    """
    aten = torch.ops.aten
    formulas = {aten.mkldnn_rnn_layer: _mkldnn_rnn_layer, aten._cudnn_rnn: _cudnn_rnn}
    # Transformer layers otherwise run as one fused operator, for which there is no formula either.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
            run()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return int(counter.get_total_flops())


# PyTorch has no formulas for recurrent layers that run as one fused operator. Every step multiplies by each weight
# matrix once; shapes arrive here in place of tensors, the input's being (steps, rows, channels) or with both swapped.
def _mkldnn_rnn_layer(x: Sequence[int], *weights: Any, out_shape: Any = None, **options: Any) -> int:
    return _recurrent(x, weights[:2])


def _cudnn_rnn(x: Sequence[int], weights: Sequence[Sequence[int]], *rest: Any, out_shape: Any = None) -> int:
    return _recurrent(x, [weight for weight in weights if len(weight) == 2])


def _recurrent(x: Sequence[int], weights: Sequence[Sequence[int]]) -> int:
    return 2 * prod(x[:-1]) * sum(prod(weight) for weight in weights)
