"""What is kept of a step whose loss is not a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from vidcore.frames import Frames
from vidcore.training.batches import Batch
from vidcore.training.files import replacing


def report_step(what: str, batches: Sequence[Batch], path: Path | None, lr: float) -> str:
    """A message about a step whose loss is not finite; its clips are kept at ``path``, where that is given.

    ``what`` says what is not finite and where; ``lr`` is the learning rate, of which a lower one is suggested.
    """
    lines = [what]
    for stream, rows in rows_not_finite(batches).items():
        lines.append(f"  the stored features of {stream!r} are not finite in rows {rows[:5]}: extract them anew")
    if path is not None:
        save_step(path, batches, {"what": what})
        lines.append(f"  the clips of the step are kept for inspection in {path}")
    lines.append(f"  try a lower learning rate (train.lr={lr / 10:g}) or train.precision=32-true")
    return "\n".join(lines)


def save_step(path: Path, batches: Sequence[Batch], facts: Mapping[str, str]) -> None:
    """Write the clips of a step as safetensors, micro-batch by micro-batch, with ``facts`` as its metadata.

    Names are ``0/targets``, ``0/mask``, ``0/rows``, ``0/clips/<stream>`` and ``0/features/<stream>``.

    Raises:
        RunError: the disk is full.
    """
    tensors: dict[str, Tensor] = {}
    for number, batch in enumerate(batches):
        parts = {"targets": batch.targets, "mask": batch.mask, "rows": torch.tensor(batch.rows)}
        parts |= {
            f"clips/{name}": clip.video if isinstance(clip, Frames) else clip
            for name, clip in (batch.clips or {}).items()
        }
        parts |= {f"features/{name}": fmap.data for name, fmap in (batch.features or {}).items()}
        # A copy each: streams that look at one view share its memory, which the format refuses.
        tensors |= {f"{number}/{name}": tensor.detach().cpu().clone().contiguous() for name, tensor in parts.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        save_file(tensors, str(temporary), dict(facts))


def rows_not_finite(batches: Sequence[Batch]) -> dict[str, list[int]]:
    """Per stream the rows whose stored features hold NaN or infinity."""
    found: dict[str, list[int]] = {}
    for batch in batches:
        for name, fmap in (batch.features or {}).items():
            bad = ~fmap.data.isfinite().flatten(1).all(1)
            for place in bad.nonzero().flatten().tolist():
                found.setdefault(name, []).append(batch.rows[place])
    return found
