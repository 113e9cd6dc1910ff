"""TimeSformer: attention over time, then over space, in every block."""

from __future__ import annotations

from torch import Tensor, nn
from vidcore.catalog import ExtractorSpec
from vidcore.extractors import Extractor, middle_time, step_times
from vidcore.features import FeatureMap

from . import convert
from .config import TimesformerConfig
from .network import build
from .variants import VARIANTS

PATCH = 16


class TimesformerExtractor(Extractor):
    """TimeSformer with divided space-time attention (Bertasius et al. 2021, arXiv:2102.05095).

    Input   (B, 3, 8, 224, 224), every 32nd frame of a video
    Output  ``features``  (B, D, 8, 14, 14): every patch token after the final norm
            ``cls``       (B, D, 1, 1, 1): the class token after the final norm, which the published classifiers read
            ``blockI``    (B, D, 8, 14, 14): the patch tokens block I gives, not normalised
            ``logits``, ``probabilities``  (B, classes, 1, 1, 1): 400, 600 or 174 classes, by the weights

    Tokens run over rows, columns, then time: the network keeps the steps of one place together. Blocks after the
    last one asked for are not run.
    """

    config: TimesformerConfig

    def __init__(self, spec: ExtractorSpec, config: TimesformerConfig) -> None:
        super().__init__(spec, config)
        self.variant = VARIANTS[spec.name]
        self.network = build(self.variant, len(self.classes))

    @property
    def blocks(self) -> list[nn.Module]:
        """Embeddings, then one module per Transformer block."""
        return [self.network.embeddings, *self.network.encoder.layer]

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """The hub's files and the authors' ``.pyth`` alike."""
        return {f"network.{name}": value for name, value in convert.convert(published).items()}

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, H, W) -> the maps asked for, one step per frame."""
        frames, height, width = clip.shape[2:]
        places = (height // PATCH, width // PATCH, frames)
        inner = [int(name.removeprefix("block")) for name in self.output_names if name.startswith("block")]
        final = len(inner) < len(self.output_names)
        depth = self.variant.depth if final else max(inner) + 1
        tokens = self.network.embeddings(clip.transpose(1, 2))
        found: dict[str, Tensor] = {}
        for index, layer in zip(range(depth), self.network.encoder.layer, strict=False):
            tokens = layer(tokens)[0]
            if index in inner:
                found[f"block{index}"] = tokens[:, 1:]
        normed = self.network.layernorm(tokens) if final else tokens
        if "features" in self.output_names:
            found["features"] = normed[:, 1:]
        times = step_times(frames, 1, clip)
        maps = {
            # (B, rows * columns * steps, D) -> (B, D, steps, rows, columns)
            name: FeatureMap(value.unflatten(1, places).permute(0, 4, 3, 1, 2), times)
            for name, value in found.items()
        }
        if "cls" in self.output_names:
            maps["cls"] = FeatureMap(normed[:, 0, :, None, None, None], middle_time(frames, clip))
        if self.classes:
            maps |= self.answers(self.network.classifier(normed[:, 0]), middle_time(frames, clip))
        return maps
