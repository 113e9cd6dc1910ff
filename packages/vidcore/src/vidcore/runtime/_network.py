"""From an extractor to the network that engines run: reference outputs, folding, rewriting, checking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vidcore.errors import ShapeError
from vidcore.extractors.base import Extractor
from vidcore.features import FeatureMap
from vidcore.runtime._clip import leaves, skeleton
from vidcore.runtime._copy import share
from vidcore.runtime._fold import PairFinder, fold
from vidcore.runtime._job import CONVERSION_ERRORS, FlatNetwork, first_line
from vidcore.runtime._measure import TOLERANCE, difference
from vidcore.runtime._relative_attention import use_relative_attention


@dataclass(frozen=True)
class Network:
    """An extractor made ready for clips of one shape."""

    flat: FlatNetwork
    maps: dict[str, FeatureMap]
    """What the plain extractor gave for the clip: the reference, and times and masks of every clip of its shape."""
    notes: tuple[str, ...]

    @property
    def reference(self) -> list[Tensor]:
        """Data of the maps."""
        return [fmap.data for fmap in self.maps.values()]


def ready(extractor: Extractor, clip: Any) -> Network:
    """Run the extractor once, then fold and rewrite a copy that shares its weights; keep it where the numbers agree.

    Raises:
        ShapeError: the extractor gives other outputs than it declares.
    """
    plain = share(extractor)
    finder = PairFinder(plain)
    with torch.no_grad():
        maps: dict[str, FeatureMap] = plain(clip)
    pairs = finder.pairs()
    if set(maps) != set(extractor.output_names):
        raise ShapeError(f"{type(extractor).__name__} gave {sorted(maps)}; expected {sorted(extractor.output_names)}")
    structure = skeleton(clip)
    faster = share(extractor)
    fold(faster, pairs)
    notes = [f"{len(pairs)} batch normalisations folded into convolutions"] if pairs else []
    if use_relative_attention(faster):
        notes.append("relative positions fused into attention")
    if not notes:
        return Network(FlatNetwork(faster, structure), maps, ())
    flat = FlatNetwork(faster, structure)
    try:
        with torch.no_grad():
            apart = difference(list(flat(*leaves(clip))), [fmap.data for fmap in maps.values()])
        reason = "" if apart <= TOLERANCE else f"relative difference {apart:.1e}, at most {TOLERANCE:.0e}"
    except CONVERSION_ERRORS as exc:
        reason = first_line(exc)
    if reason:
        return Network(FlatNetwork(share(extractor), structure), maps, (f"not rewritten: {reason}",))
    return Network(flat, maps, tuple(notes))
