"""What the values of stored features depend on besides the clip."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vidcore.extractors.base import Extractor

Keep = Literal["map", "sequence", "pooled"]
StoredType = Literal["float16", "float32"]
Precision = Literal["float32", "bfloat16"]


def extractor_identity(
    extractor: Extractor, keep: Keep = "map", dtype: StoredType = "float32", precision: Precision = "float32"
) -> dict[str, Any]:
    """Identity of a collection of the feature store, plain JSON data.

    Weights count by their values: one state dict has one hash whatever file, tag or seed it came from. The runtime
    does not count: every runtime stays within a stated tolerance of the eager one.

    Args:
        extractor: On any real device.
        keep: ``map`` keeps (D, T, H, W), ``sequence`` its spatial mean, ``pooled`` the mean over time too.
        dtype: Type in which features are stored.
        precision: Type in which they are computed.
    """
    options = extractor.config.model_dump(mode="json", exclude={"weights", "adapt_weights", "outputs", "classes"})
    identity = {
        "name": extractor.spec.name,
        "options": options,
        "outputs": list(extractor.output_names),
        # Weights may bring a clip format of their own; what the pixels go through counts, not where it is written.
        "clip": asdict(extractor.clip),
        "weights": state_digest(extractor),
        "numerics_revision": extractor.spec.numerics_revision,
        "plugin": extractor.spec.target.partition(":")[0].partition(".")[0],
        "keep": keep,
        "dtype": dtype,
        "precision": precision,
    }
    # As JSON gives it back: lists, no tuples.
    plain: dict[str, Any] = json.loads(json.dumps(identity))
    return plain


def state_digest(module: nn.Module) -> str:
    """SHA-256 of a state dict: names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(_bytes(value))
        else:
            digest.update(f"{name} {json.dumps(value, sort_keys=True, default=repr)}\n".encode())
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview | bytes:
    flat = tensor.detach().to("cpu").contiguous().flatten()
    return flat.view(torch.uint8).numpy().data if flat.numel() else b""
