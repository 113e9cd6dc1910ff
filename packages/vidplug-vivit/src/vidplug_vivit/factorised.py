"""The factorised causal ViViT as an extractor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from torch import Tensor, nn
from torchvision.transforms.v2.functional import rgb_to_grayscale
from vidcore.catalog import ClipFormat, ExtractorSpec
from vidcore.errors import ConfigError, ShapeError
from vidcore.extractors import Extractor, step_times
from vidcore.features import FeatureMap

from .architecture import Architecture
from .config import FactorisedConfig
from .network import FactorisedViViT
from .variants import FACTORISED

# Options under the names that the network's own description has for them.
_SHARED = (
    "in_channels",
    "norm",
    "final_norm",
    "spatial_position",
    "temporal_position",
    "rope_base",
    "learned_grid",
    "registers",
    "patch_dropout",
    "attention_dropout",
    "feedforward_dropout",
    "stochastic_depth",
    "gradient_checkpointing",
)


class FactorisedViVitExtractor(Extractor):
    """Spatial blocks, then causal temporal blocks; see :class:`~vidplug_vivit.network.FactorisedViViT`.

    Input   (B, 3, T, H, W) in [-1, 1]; T, H and W multiples of the patch (t, p, p)
    Output  ``features``   (B, D, T/t, H/p, W/p): of the last temporal block (after the final norm, where there is one)
            ``tokens``     the same shape: of the tokenizer
            ``spatialI``, ``temporalI``  the same shape: of block I of either stage

    Rows and columns are those of the clip, whatever its aspect. Step i sees frames up to ``(i + 1) t - 1`` and none
    after; its time is its centre, but ``extract`` gives frame f the last step that is complete by f. Frames before the
    end of the first step, which have no complete step, hold the first one: they alone see up to t - 1 later frames.

    Blocks after the last one asked for are not run. A video longer than 64 frames is read by windows: still no
    later frame, but no frame of before the window either.

    Raises:
        ConfigError: the size is not a multiple of the patch, or options contradict one another.
    """

    config: FactorisedConfig

    def __init__(self, spec: ExtractorSpec, config: FactorisedConfig) -> None:
        super().__init__(spec, config)
        published = FACTORISED[spec.name].architecture
        try:
            architecture = replace(published, **{name: getattr(config, name) for name in _SHARED})
        except ValueError as exc:
            raise ConfigError(f"extractor {spec.name!r}: {exc}") from exc
        _check_size(spec.name, config, architecture)
        self.network = FactorisedViViT(architecture)

    @property
    def clip(self) -> ClipFormat:
        """The declared format at the size of the options; with learned time positions, no longer than their table."""
        size, a = self.config.size, self.network.architecture
        clip = self.spec.clip
        if a.in_channels != 3:
            clip = replace(clip, channels="grey" if a.in_channels == 1 else f"{a.in_channels} channels")
        if a.temporal_position == "learned" and a.learned_grid is not None:
            longest = min(clip.max_frames, a.learned_grid[0] * a.patch_size[0])
            clip = replace(clip, max_frames=longest, overlap_frames=min(clip.overlap_frames, longest // 4))
        return clip if size is None else replace(clip, size=(size, size) if isinstance(size, int) else size)

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """Tokenizer, then one module per block."""
        return [self.network.tokenizer, *self.network.spatial_blocks, *self.network.temporal_blocks]

    def preprocess(self, video: Tensor) -> Tensor:
        """uint8 (B, T, C, H, W) -> float (B, in_channels, T, h, w) in [-1, 1]; RGB becomes grey if ``in_channels=1``.

        Raises:
            ShapeError: the video has other channels than the network.
        """
        wanted, channels = self.config.in_channels, video.shape[2]
        if wanted == 1 and channels == 3:
            video = rgb_to_grayscale(video)
        elif channels != wanted:
            raise ShapeError(
                f"the video has {channels} channels, extractor {self.spec.name!r} was built for in_channels={wanted}; "
                f"build it with in_channels={channels}"
            )
        clip: Tensor = super().preprocess(video)
        return clip

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """Own files; the state dict of a bare network as well."""
        return {f"network.{name.removeprefix('network.')}": value for name, value in published.items()}

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, C, T, H, W) -> the maps asked for, one step per t frames."""
        names = self._layers()
        maps = self.network.forward_layers(clip, names)
        stride = self.network.architecture.patch_size[0]
        times = step_times(clip.shape[2] // stride, stride, clip)
        return {output: FeatureMap(maps[name], times) for output, name in zip(self.output_names, names, strict=True)}

    def _layers(self) -> tuple[str, ...]:
        return tuple("output" if name == "features" else name for name in self.output_names)


def _check_size(name: str, config: FactorisedConfig, architecture: Architecture) -> None:
    sides = (config.size, config.size) if isinstance(config.size, int) else config.size or ()
    patches = architecture.patch_size[1:]
    if any(side % patch for side, patch in zip(sides, patches, strict=False)):
        good = " x ".join(str(max(round(side / patch), 1) * patch) for side, patch in zip(sides, patches, strict=True))
        raise ConfigError(
            f"extractor {name!r}: size {config.size} is not a multiple of its patch ({patches[0]} x {patches[1]}); "
            f"the nearest that is: {good}"
        )
