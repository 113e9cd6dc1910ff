"""timm's image models, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from vidcore.catalog import ClipFormat, ExtractorSpec, WeightsInfo
from vidcore.extractors import Extractor, step_times
from vidcore.features import FeatureMap

from .config import TimmConfig
from .convert import timm_names
from .network import build
from .variants import VARIANTS


class TimmExtractor(Extractor):
    """An image model of timm over each frame on its own; time is folded into the batch.

    Input   (B, 3, T, H, W), H and W those of the weights' published configuration
    Output  ``features`` (B, D, T, H', W'): what ``forward_features`` gives, on its grid, channels first
            ``pooled``   (B, K, T, 1, 1): what ``forward_head(..., pre_logits=True)`` makes of it, the vector
                         that timm's own classifier reads (pooled, and projected or normalised where the
                         architecture does so)
            ``cls``      (B, D, T, 1, 1): the class token of ``forward_features``, where there is one
            ``logits``, ``probabilities``  (B, classes, T, 1, 1): of the published classifier, frame by frame

    The default is ``cls`` where the published classifier reads the class token, ``pooled`` elsewhere: the
    vector whose accuracy is published, and one vector a frame to store instead of a grid.

    Under timm's own parameter names, below ``network``.
    """

    config: TimmConfig

    def __init__(self, spec: ExtractorSpec, config: TimmConfig) -> None:
        super().__init__(spec, config)
        self.variant = VARIANTS[spec.name]
        published = self._published()
        self.network = build(self.variant.name, published.tag if published else None, len(self.classes))

    def _published(self) -> WeightsInfo | None:
        return next((info for info in self.spec.weights if info.tag == self.config.weights), None)

    @property
    def clip(self) -> ClipFormat:
        """The clip of the weights asked for, where it is not the variant's."""
        published = self._published()
        return (published and published.clip) or self.spec.clip

    @property
    def blocks(self) -> Iterator[nn.Module]:
        """Parts of the network in order; of a sequence of stages or blocks, each."""
        for child in self.network.children():
            parts = child.children() if isinstance(child, (nn.Sequential, nn.ModuleList)) else [child]
            yield from (part for part in parts if next(part.parameters(), None) is not None)

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """Timm's names, or those of the authors' files that timm knows how to read."""
        return {f"network.{name}": value for name, value in timm_names(published, self.network).items()}

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, H, W) -> the maps asked for, one step per frame."""
        batch, _, steps, height, width = clip.shape
        found: Tensor = self.network.forward_features(clip.transpose(1, 2).flatten(0, 1))
        maps: dict[str, Tensor] = {}
        for name in self.feature_names:
            if name == "features":
                maps[name] = self._grid(found, height, width)
            elif name == "cls":
                maps[name] = found[:, 0, :, None, None]
            else:
                maps[name] = self.network.forward_head(found, pre_logits=True)[..., None, None]
        times = step_times(steps, 1, clip)
        given = {name: FeatureMap(m.unflatten(0, (batch, steps)).transpose(1, 2), times) for name, m in maps.items()}
        if self.classes:
            given |= self.answers(self.network.forward_head(found).unflatten(0, (batch, steps)).transpose(1, 2), times)
        return given

    def _grid(self, features: Tensor, height: int, width: int) -> Tensor:
        """What ``forward_features`` gives -> (N, D, H', W')."""
        if self.variant.layout == "NCHW":
            return features
        if self.variant.layout == "NHWC":
            return features.permute(0, 3, 1, 2)
        _, _, rows, columns = self.spec.outputs["features"].shape(1, height, width)
        return features[:, self.variant.prefix :].transpose(1, 2).unflatten(2, (rows, columns))
