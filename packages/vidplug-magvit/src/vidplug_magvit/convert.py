"""Published Open-MAGVIT2 parameter names -> those of the extractor here."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

NETWORK_PREFIXES = ("encoder.", "decoder.")


def convert(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Encoder and decoder of a published file under ``tokenizer.``.

    Published files are Lightning checkpoints that hold losses, a discriminator and quantiser counters as well: these
    are dropped. The moving averages in them (``model_ema.encoderconvweight``), which the authors evaluate with, have
    taken the place of the raw weights when the file was read.

    Raises:
        ValueError: there is no ``encoder.*`` or ``decoder.*`` tensor.
    """
    state = {f"tokenizer.{name}": tensor for name, tensor in published.items() if name.startswith(NETWORK_PREFIXES)}
    if not state:
        found = ", ".join(sorted({name.split(".")[0] for name in published})[:8]) or "nothing"
        raise ValueError(
            f"not an Open-MAGVIT2 checkpoint: expected tensors named encoder.* and decoder.*, found {found}"
        )
    return state
