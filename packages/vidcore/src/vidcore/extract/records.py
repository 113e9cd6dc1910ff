"""From the maps of a batch to what the store keeps of each clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vidcore.extract.identity import Keep, StoredType
from vidcore.features import FeatureMap
from vidcore.store import Record

_TYPES = {"float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class BadFeatures:
    """Why the features of a clip cannot be kept."""

    reason: str


def make_records(
    maps: Mapping[str, FeatureMap], batch: int, keep: Keep, dtype: StoredType
) -> list[dict[str, Record] | BadFeatures]:
    """Records of ``batch`` clips from maps (B, D, T, H, W); one answer a clip.

    Features that are not finite, before or after they are brought to the stored type, are refused.
    """
    finite = torch.ones(batch, dtype=torch.bool)
    fits = torch.ones(batch, dtype=torch.bool)
    kept: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    for name, fmap in maps.items():
        reduced = reduce_map(fmap, keep)
        stored = reduced.data.to(_TYPES[dtype])
        sound = stored.isfinite().flatten(1).all(1)
        if not bool(sound.all()):
            was = fmap.data.isfinite().flatten(1).all(1).cpu()
            finite &= was
            fits &= sound.cpu() | ~was
        mask = reduced.mask if reduced.mask is not None else torch.ones(batch, reduced.steps, dtype=torch.bool)
        times = reduced.times.to("cpu", torch.float32).expand(batch, -1)
        kept[name] = (stored.cpu().contiguous(), times, mask.cpu())
    records: list[dict[str, Record] | BadFeatures] = []
    for clip in range(batch):
        if not finite[clip]:
            records.append(BadFeatures("its features are not finite (NaN or infinity)"))
        elif not fits[clip]:
            records.append(BadFeatures(f"its features do not fit {dtype}: store them with dtype float32"))
        else:
            records.append(
                {
                    name: Record(data[clip].numpy(), times[clip].contiguous().numpy(), mask[clip].numpy())
                    for name, (data, times, mask) in kept.items()
                }
            )
    return records


def reduce_map(fmap: FeatureMap, keep: Keep) -> FeatureMap:
    """What is kept of a map: all of it, its spatial mean, or the mean of its real steps (padding counts where all is).

    The one step of a pooled map stands at the mean time of the steps it is made of.
    """
    if keep == "map":
        return fmap
    spatial = fmap.to(dtype=torch.float32).pooled()
    if keep == "sequence":
        return spatial
    batch, _, steps, _, _ = spatial.data.shape
    real = torch.ones(batch, steps, device=fmap.data.device) if fmap.mask is None else fmap.mask.float()
    real = torch.where(real.any(1, keepdim=True), real, torch.ones_like(real))
    weight = real / real.sum(1, keepdim=True)
    data = (spatial.data * weight[:, None, :, None, None]).sum(2, keepdim=True)
    times = (spatial.times.float().expand(batch, -1) * weight).sum(1, keepdim=True)
    return FeatureMap(data, times, torch.ones(batch, 1, dtype=torch.bool, device=data.device))
