"""VideoMAE: a plain video ViT pretrained as a masked autoencoder."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import VideoMAEConfig, VideoMAEModel
from vidcore.catalog import ExtractorSpec
from vidcore.extractors import Extractor, middle_time, step_times
from vidcore.features import FeatureMap

from . import convert
from .config import VideoMaeConfig
from .variants import VARIANTS, Variant

TUBELET = 2
PATCH = 16


class VideoMaeExtractor(Extractor):
    """VideoMAE (Tong et al. 2022, arXiv:2203.12602), the encoder without decoder or classifier.

    Input   (B, 3, 16, 224, 224), every fourth frame of a video
    Output  ``features``  (B, D, 8, 14, 14): every token after the final norm
            ``pooled``    (B, D, 1, 1, 1): the final norm of the mean token, which is what the published
                          classifiers read
            ``blockI``    (B, D, 8, 14, 14): the tokens block I gives, not normalised
            ``logits``, ``probabilities``  (B, classes, 1, 1, 1): of fine-tuned weights, 400 or 174 classes

    The final norm is always there. Pretrained files hold it as the encoder's last layer; fine-tuned ones behind
    the mean (``fc_norm``), from where it is taken. Blocks after the last one asked for are not run.
    """

    config: VideoMaeConfig

    def __init__(self, spec: ExtractorSpec, config: VideoMaeConfig) -> None:
        super().__init__(spec, config)
        self.variant = VARIANTS[spec.name]
        self.network = _build(self.variant, len(self.classes))

    @property
    def blocks(self) -> list[nn.Module]:
        """Embeddings, then one module per Transformer block."""
        return [self.network.embeddings, *self.network.encoder.layer]

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """The hub's files and the authors' own alike."""
        return {f"network.{name}": value for name, value in convert.convert(published).items()}

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, H, W) -> the maps asked for, one step per two frames."""
        frames, height, width = clip.shape[2:]
        grid = (frames // TUBELET, height // PATCH, width // PATCH)
        inner = [int(name.removeprefix("block")) for name in self.output_names if name.startswith("block")]
        final = len(inner) < len(self.output_names)
        depth = self.variant.depth if final else max(inner) + 1
        tokens = self.network.embeddings(clip.transpose(1, 2), None)
        found: dict[str, Tensor] = {}
        for index, layer in zip(range(depth), self.network.encoder.layer, strict=False):
            tokens = layer(tokens)
            if index in inner:
                found[f"block{index}"] = tokens
        if "features" in self.output_names:
            found["features"] = self.network.layernorm(tokens)
        times = step_times(grid[0], TUBELET, clip)
        maps = {name: FeatureMap(value.transpose(1, 2).unflatten(2, grid), times) for name, value in found.items()}
        if "pooled" in self.output_names or self.classes:
            mean = self.network.layernorm(tokens.mean(1))
            middle = middle_time(frames, clip)
            if "pooled" in self.output_names:
                maps["pooled"] = FeatureMap(mean[:, :, None, None, None], middle)
            if self.classes:
                maps |= self.answers(self.network.classifier(mean), middle)
        return maps


def _build(v: Variant, classes: int) -> VideoMAEModel:
    network = VideoMAEModel(
        VideoMAEConfig(
            image_size=v.size,
            hidden_size=v.width,
            num_hidden_layers=v.depth,
            num_attention_heads=v.heads,
            intermediate_size=4 * v.width,
            # Of the authors' norms; the library's default is 1e-12.
            layer_norm_eps=1e-6,
            # With it the library would leave the final norm off.
            use_mean_pooling=False,
            attn_implementation="sdpa",
        )
    )
    for layer in network.encoder.layer:
        # The authors' keys have no bias (softmax cancels it); older versions of the library add one.
        layer.attention.attention.key.register_parameter("bias", None)
    if classes:
        network.classifier = nn.Linear(v.width, classes)
    return network
