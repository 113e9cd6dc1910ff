"""Readouts side by side, one for each of several heads, which the model takes for one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from vidcore.features import FeatureMap, ReadoutInfo
from vidcore.readouts.base import Readout


class SeveralReadouts(Readout):
    """What each head reads of one map. A readout that several heads share is computed once.

    Input   (B, D, T', H', W')
    Output  {label: (B, K) or (B, T', K)}

    Args:
        readouts: by label; heads that share one name the same object.
    """

    def __init__(self, readouts: Mapping[str, Readout]) -> None:
        # Not a component: it has no spec and no options of its own.
        nn.Module.__init__(self)
        distinct = list(dict.fromkeys(readouts.values()))
        self._place = {label: distinct.index(readout) for label, readout in readouts.items()}
        self.readouts = nn.ModuleList(distinct)

    @property
    def spatial(self) -> bool:
        """Whether one of them is."""
        return any(readout.spatial for readout in self.readouts if isinstance(readout, Readout))

    @property
    def output(self) -> ReadoutInfo:
        """That of the first; each head is told its own."""
        first = self.readouts[0]
        if not isinstance(first, Readout):
            raise TypeError(f"{type(first).__name__} is no readout")
        return first.output

    def forward(self, features: FeatureMap) -> dict[str, Tensor]:  # type: ignore[override]
        """(B, D, T', H', W') -> {label: (B, K) or (B, T', K)}."""
        read = [readout(features) for readout in self.readouts]
        return {label: read[place] for label, place in self._place.items()}
