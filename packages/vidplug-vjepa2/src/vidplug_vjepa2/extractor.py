"""V-JEPA 2: the encoder, without its predictor."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn
from transformers import VJEPA2Config, VJEPA2Model
from vidcore.catalog import ClipFormat, ExtractorSpec
from vidcore.extractors import Extractor, step_times
from vidcore.features import FeatureMap

from . import convert
from .config import VJepa2Config
from .variants import VARIANTS, Variant

TUBELET = 2
PATCH = 16


class VJepa2Extractor(Extractor):
    """V-JEPA 2 (Assran et al. 2025, arXiv:2506.09985): a video ViT with rotary positions in time, rows and columns.

    Input   (B, 3, T, 256, 256), T even, up to 64, at 4 frames a second
    Output  ``features``  (B, D, T/2, 16, 16): every token after the final norm, what published probes read
            ``blockI``    (B, D, T/2, 16, 16): the tokens block I gives, not normalised

    Blocks after the last one asked for are not run.
    """

    config: VJepa2Config

    def __init__(self, spec: ExtractorSpec, config: VJepa2Config) -> None:
        super().__init__(spec, config)
        self.variant = VARIANTS[spec.name]
        self.network = _build(self.variant, self._side)

    @property
    def _side(self) -> int:
        trained = {w.tag: w.size for w in self.variant.weights}
        tag = (self.config.weights or "").removesuffix("_original")
        return self.config.size or trained.get(tag, self.variant.size)

    @property
    def clip(self) -> ClipFormat:
        """The declared format at the side of the options or of the weights."""
        # The published margin: 256 : 224 at any side.
        return replace(super().clip, size=(self._side, self._side), resize_short=self._side * 256 // 224)

    @property
    def blocks(self) -> list[nn.Module]:
        """Embeddings, then one module per Transformer block."""
        return [self.network.embeddings, *self.network.layer]

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """The hub's safetensors and the authors' ``vit*.pt`` alike."""
        return {f"network.{name}": value for name, value in convert.convert(published).items()}

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, side, side) -> the maps asked for, one step per two frames."""
        frames, height, width = clip.shape[2:]
        grid = (frames // TUBELET, height // PATCH, width // PATCH)
        inner = [int(name.removeprefix("block")) for name in self.output_names if name.startswith("block")]
        final = len(inner) < len(self.output_names)
        depth = self.variant.depth if final else max(inner) + 1
        tokens = self.network.embeddings(clip.transpose(1, 2))
        found: dict[str, Tensor] = {}
        for index, layer in zip(range(depth), self.network.layer, strict=False):
            tokens = layer(tokens)[0]
            if index in inner:
                found[f"block{index}"] = tokens
        if final:
            found["features"] = self.network.layernorm(tokens)
        times = step_times(grid[0], TUBELET, clip)
        return {name: FeatureMap(value.transpose(1, 2).unflatten(2, grid), times) for name, value in found.items()}


def _build(v: Variant, side: int) -> nn.Module:
    model = VJEPA2Model(
        VJEPA2Config(
            # The grid that rotary positions count rows and columns by.
            crop_size=side,
            hidden_size=v.width,
            num_hidden_layers=v.depth,
            num_attention_heads=v.heads,
            mlp_ratio=v.hidden / v.width,
            # The whole model is built for its initialisation; its predictor is thrown away, so it is small.
            pred_num_hidden_layers=1,
            attn_implementation="sdpa",
        )
    )
    encoder: nn.Module = model.encoder
    return encoder
