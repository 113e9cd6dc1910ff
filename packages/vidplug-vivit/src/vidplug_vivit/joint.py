"""The joint space-time ViViT, whose published weights classify Kinetics-400."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import VivitConfig, VivitModel
from vidcore.catalog import ExtractorSpec
from vidcore.extractors import Extractor, middle_time, step_times
from vidcore.features import FeatureMap

from . import convert
from .config import JointConfig
from .variants import JOINT, JointVariant


class JointViVitExtractor(Extractor):
    """ViViT-B/16x2, model 1 of Arnab et al. 2021 (arXiv:2103.15691): attention among all tokens of the clip.

    Input   (B, 3, 32, 224, 224), every second frame of a video, in [-1, 1]
    Output  ``features``  (B, 768, 16, 14, 14): every token after the final norm
            ``cls``       (B, 768, 1, 1, 1): the class token after the final norm, which the classifier reads
            ``blockI``    (B, 768, 16, 14, 14): the tokens block I gives, not normalised
            ``logits``, ``probabilities``  (B, 400, 1, 1, 1)

    Blocks after the last one asked for are not run.
    """

    config: JointConfig

    def __init__(self, spec: ExtractorSpec, config: JointConfig) -> None:
        super().__init__(spec, config)
        self.variant = JOINT[spec.name]
        self.network = _build(self.variant, len(self.classes))

    @property
    def blocks(self) -> list[nn.Module]:
        """Embeddings, then one module per Transformer block."""
        return [self.network.embeddings, *self.network.layers]

    @property
    def position_grids(self) -> dict[str, tuple[int, ...]]:
        """Steps, rows and columns of the position table, for weights trained on other clips."""
        v = self.variant
        frames, rows, columns = v.tubelet
        return {"network.embeddings.position_embeddings": (v.frames // frames, v.size // rows, v.size // columns)}

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """The hub's files."""
        return {f"network.{name}": value for name, value in convert.convert(published).items()}

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, H, W) -> the maps asked for, one step per two frames."""
        grid = tuple(length // patch for length, patch in zip(clip.shape[2:], self.variant.tubelet, strict=True))
        inner = [int(name.removeprefix("block")) for name in self.output_names if name.startswith("block")]
        final = len(inner) < len(self.output_names)
        depth = self.variant.depth if final else max(inner) + 1
        tokens = self.network.embeddings(clip.transpose(1, 2))
        found: dict[str, Tensor] = {}
        for index, layer in zip(range(depth), self.network.layers, strict=False):
            tokens = layer(tokens)
            if index in inner:
                found[f"block{index}"] = tokens[:, 1:]
        if final:
            normed = self.network.layernorm(tokens)
            found |= {"features": normed[:, 1:], "cls": normed[:, :1]}
        steps = step_times(grid[0], self.variant.tubelet[0], clip)
        middle = middle_time(clip.shape[2], clip)
        maps = {
            name: FeatureMap(_as_map(found[name], (1, 1, 1)), middle)
            if name == "cls"
            else FeatureMap(_as_map(found[name], grid), steps)
            for name in self.feature_names
        }
        if self.classes:
            maps |= self.answers(self.network.classifier(found["cls"][:, 0]), middle)
        return maps


def _as_map(tokens: Tensor, grid: tuple[int, ...]) -> Tensor:
    """(B, N, D) -> (B, D, steps, rows, columns); columns vary fastest, as the tokenizer flattens them."""
    return tokens.transpose(1, 2).unflatten(2, grid)


def _build(v: JointVariant, classes: int) -> VivitModel:
    config = VivitConfig(
        image_size=v.size,
        num_frames=v.frames,
        tubelet_size=list(v.tubelet),
        hidden_size=v.width,
        num_hidden_layers=v.depth,
        num_attention_heads=v.heads,
        intermediate_size=4 * v.width,
        attn_implementation="sdpa",
    )
    network = VivitModel(config, add_pooling_layer=False)
    if classes:
        network.classifier = nn.Linear(v.width, classes)
    return network
