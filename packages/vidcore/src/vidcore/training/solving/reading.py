"""What a head reads of every clip, and which of its columns come from which stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from vidcore.features import FeatureMap
from vidcore.model import VideoModel
from vidcore.training.batches import Batch, BatchSource, in_order
from vidcore.training.statistics import check_finite

# Clips of which maps are held at once; what is read out of them is kept.
_AT_ONCE = 64
# Random clips by which columns are told apart.
_TRIED = 2


@dataclass(frozen=True, slots=True, eq=False)
class ReadRows:
    """Rows as a head reads them.

    vectors  (N, K) float64
    targets  (N, ...)
    rows     number of each row within the data
    columns  {stream: (K_s,) its columns}; one entry for all streams where they cannot be told apart
    """

    vectors: Tensor
    targets: Tensor
    rows: tuple[int, ...]
    columns: Mapping[str, Tensor]


@torch.no_grad()
def read_rows(
    model: VideoModel,
    sources: Sequence[BatchSource],
    maps_of: Callable[[Batch], Mapping[str, FeatureMap]],
    autocast: Callable[[], AbstractContextManager[object]],
    name_of: Callable[[int], str],
    told: Callable[[int], None],
) -> ReadRows:
    """Read every clip of ``sources`` once.

    Args:
        model: in eval mode; nothing before its head has parameters.
        sources: clips.
        maps_of: the streams' maps of a batch, on the device.
        autocast: the run's precision.
        name_of: what an error calls the clip of a row.
        told: hears how many clips were read.

    Raises:
        DataError: features that are not finite; names the clip and the stream.
    """
    read: list[Tensor] = []
    targets: list[Tensor] = []
    rows: list[int] = []
    columns: Mapping[str, Tensor] = {}
    for source in sources:
        for batch in source.batches(in_order(source, _AT_ONCE), 0):
            maps = maps_of(batch)
            for stream in model.streams or maps:
                check_finite(maps[stream], stream, batch, name_of)
            columns = columns or stream_columns(model, maps)
            with autocast():
                read.append(model.read(maps).double().cpu())
            targets.append(batch.targets.cpu())
            rows += batch.rows
            told(len(batch))
    return ReadRows(torch.cat(read), torch.cat(targets), tuple(rows), columns)


def stream_columns(model: VideoModel, maps: Mapping[str, FeatureMap]) -> dict[str, Tensor]:
    """{stream: columns of ``model.read`` that depend on it}; one entry where a column depends on several."""
    generator = torch.Generator().manual_seed(0)

    def drawn() -> dict[str, FeatureMap]:
        found = {}
        for name, fmap in maps.items():
            shape = (min(_TRIED, len(fmap.data)), *fmap.data.shape[1:])
            times = fmap.times[: shape[0]] if fmap.times.dim() == 2 else fmap.times
            found[name] = FeatureMap(torch.randn(shape, generator=generator).to(fmap.data.device), times)
        return found

    one, other = drawn(), drawn()
    base = model.readout(model.fusion(one))
    depends = {name: (model.readout(model.fusion({**one, name: other[name]})) != base).any(0).cpu() for name in maps}
    if len(maps) > 1 and int(torch.stack(list(depends.values())).sum(0).max()) <= 1:
        return {name: mask.nonzero()[:, 0] for name, mask in depends.items()}
    return {" + ".join(maps): torch.arange(base.shape[1])}
