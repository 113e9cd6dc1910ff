"""Open-MAGVIT2: the encoder of a video tokenizer as an extractor, and the tokenizer itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from vidcore.catalog import ClipFormat, ExtractorSpec, FeatureInfo
from vidcore.errors import ConfigError, ShapeError
from vidcore.extractors import Extractor, step_times
from vidcore.extractors.base import stitch
from vidcore.features import FeatureMap
from vidcore.preprocess import check_video, plan_windows

from .config import MagvitConfig
from .convert import convert
from .network import Tokenizer
from .variants import VARIANTS

_OWN = "tokenizer."


class MagvitExtractor(Extractor):
    """Open-MAGVIT2's video tokenizer (Luo et al. 2024, arXiv:2409.04410).

    Input   (B, 3, 4k + 1, H, W), RGB in [-1, 1]
    Output  ``mid``      (B, 512, k + 1, H/8, W/8): the map behind the encoder's middle blocks
            ``latents``  (B, 18, k + 1, H/8, W/8): the latents before quantisation, one per bit of a code

    Step 0 is frame 0, step i frames 4i - 3 to 4i: its time is their centre, 4i - 1.5. Windows of a long video share
    this grid, and the one-frame step with which a later window begins, which lies between two steps of it, is left out.

    Causality: no convolution sees a later frame, but the published group norms average over the clip, so a later
    frame rescales earlier steps. With ``norm="frame"`` no later frame reaches an earlier step, and ``extract`` gives
    frame t the last step that is complete by t.

    The decoder takes no gradient unless it is asked to (``extractor.tokenizer.decoder.requires_grad_()``), nor does
    any other part that the outputs asked for do not need: gradients reach all that is trained.
    """

    config: MagvitConfig

    def __init__(self, spec: ExtractorSpec, config: MagvitConfig) -> None:
        # Whether a step waits for later frames is decided by the norm, and ``extract`` reads it from the spec.
        super().__init__(replace(spec, causal=config.norm == "frame"), config)
        architecture = replace(VARIANTS[spec.name].architecture, norm_scope=config.norm)
        self.tokenizer = Tokenizer(architecture, decoder=config.decoder)
        first = self.output_names[0]
        self.projection = nn.Conv3d(spec.outputs[first].dim, config.project, 1) if config.project else None
        unused: list[nn.Module] = [self.tokenizer.decoder] if self.tokenizer.decoder is not None else []
        if "latents" not in self.output_names:
            unused += [self.tokenizer.encoder.norm_out, self.tokenizer.encoder.conv_out]
        for module in unused:
            module.requires_grad_(False)

    @property
    def clip(self) -> ClipFormat:
        """The declared format at the size of the options."""
        size = self.config.size
        if size is None:
            return replace(self.spec.clip, size=None, size_multiple=self.tokenizer.config.space_stride)
        return replace(self.spec.clip, size=(size, size) if isinstance(size, int) else size)

    @property
    def outputs(self) -> Mapping[str, FeatureInfo]:
        """Declared shapes, the first output as wide as its projection."""
        declared = dict(super().outputs)
        if self.config.project:
            first = self.output_names[0]
            declared[first] = replace(declared[first], dim=self.config.project)
        return declared

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """First convolution, levels from fine to coarse, middle blocks."""
        encoder = self.tokenizer.encoder
        return [encoder.conv_in, *encoder.down, *encoder.mid_block]

    @property
    def unpublished(self) -> tuple[str, ...]:
        """The projection that ``project`` adds."""
        return ("projection.",)

    def required_tensors(self) -> frozenset[str]:
        """All: ``encode`` and ``decode`` read what the outputs do not."""
        return frozenset(self.state_dict())

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """The authors' Lightning checkpoints, moving averages preferred; a bare state dict as well."""
        if any(name.startswith(_OWN) for name in published):
            return published
        return convert(published)

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, 4k + 1, H, W) -> the maps asked for, k + 1 steps.

        Raises:
            ValueError: the clip's length is not 4k + 1.
        """
        encoder = self.tokenizer.encoder
        found = {"mid": encoder.mid(clip)}
        if "latents" in self.output_names:
            found["latents"] = encoder.latents(found["mid"])
        if self.projection is not None:
            first = self.output_names[0]
            found[first] = self.projection(found[first])
        times = self._times(found["mid"])
        return {name: FeatureMap(found[name], times) for name in self.output_names}

    def clip_features(self, video: Tensor) -> dict[str, FeatureMap]:
        """Maps on the grid of steps 0, 2.5, 6.5, 10.5, ...; see ``Extractor``."""
        return {name: _on_grid(fmap, self._stride) for name, fmap in super().clip_features(video).items()}

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """Codes of a video.

        A video of at most 17 frames is encoded as published. A longer one is read by windows whose latents are
        averaged where they overlap, before they become codes, so that memory stays bounded.

        Args:
            video: raw, uint8 (B, T, 3, H, W); T frames become 1 + ceil((T - 1) / 4) steps.

        Returns:
            (B, T', H', W'), int64 in [0, 2^18).

        Raises:
            ShapeError: ``video`` is not a raw batch.
        """
        check_video(video)
        parts = []
        for window in plan_windows(video.shape[1], self.clip, self._stride):
            latents = self.tokenizer.encoder(self.preprocess(window.take(video)))
            parts.append(FeatureMap(latents, self._times(latents) + window.start))
        return self.tokenizer.quantiser.codes(_on_grid(stitch(parts), self._stride).data)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """The video that codes stand for, in one pass: its norms span the clip, and memory grows with it.

        Args:
            codes: (B, T', H', W'), integers in [0, 2^18).

        Returns:
            RGB uint8 (B, 4 (T' - 1) + 1, 3, 8 H', 8 W').

        Raises:
            ConfigError: the extractor was built without its decoder.
            ShapeError: ``codes`` is not a 4D integer tensor or a code is outside the codebook.
        """
        if self.tokenizer.decoder is None:
            raise ConfigError(f"extractor {self.spec.name!r} was built with decoder=false; build it with decoder=true")
        try:
            video = self.tokenizer.decode(codes)
        except ValueError as exc:
            raise ShapeError(str(exc)) from exc
        return ((video.transpose(1, 2) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

    @property
    def _stride(self) -> int:
        return self.tokenizer.config.time_stride

    def _times(self, fmap: Tensor) -> Tensor:
        # Steps of four frames that end at frame 4i; the first has only its last frame.
        return step_times(fmap.shape[2], self._stride, fmap, offset=(1 - self._stride) / 2).clamp(min=0)


def _on_grid(fmap: FeatureMap, stride: int) -> FeatureMap:
    """Without the first steps of later windows, which begin at a multiple of the stride: no centre lies there."""
    kept = (fmap.times == 0) | (fmap.times % stride != 0)
    return FeatureMap(fmap.data[:, :, kept], fmap.times[kept])
