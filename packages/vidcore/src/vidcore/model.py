"""VideoModel: extractors, fusion, readout and head as one module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from vidcore.extractors.base import Extractor
from vidcore.features import FeatureMap, joined
from vidcore.frames import Frames
from vidcore.fusion.base import Fusion
from vidcore.heads.base import Head
from vidcore.readouts.base import Readout
from vidcore.standardise import Standardise


class VideoModel(nn.Module):
    """video -> extractor(s) -> standardise -> fusion -> readout -> head.

    ``standardise`` brings frozen streams to one scale by statistics of the training rows; it is the identity until
    training sets them.

    A frozen extractor stays in eval mode, takes no gradient and keeps no activations, whatever
    mode the model is put in; its BatchNorm statistics therefore stay those it came with. So do ``held``
    modules: the parts of an extractor that are not trained where others are.
    """

    def __init__(
        self,
        extractors: Mapping[str, Extractor],
        fusion: Fusion,
        readout: Readout,
        head: Head,
        frozen: frozenset[str] = frozenset(),
        held: Sequence[nn.Module] = (),
        standardise: Standardise | None = None,
    ) -> None:
        super().__init__()
        self.streams = tuple(extractors)
        self.frozen = frozen
        # A tuple, so that these modules are not registered a second time.
        self.held = tuple(held)
        # A module name holds no dot; a stream may (weights' tags do).
        self.extractors = nn.ModuleDict({_module_name(name): extractor for name, extractor in extractors.items()})
        self.standardise = standardise if standardise is not None else Standardise({})
        self.fusion = fusion
        self.readout = readout
        self.head = head
        for name in frozen:
            self.extractor(name).requires_grad_(False)
        self.train(self.training)

    def extractor(self, stream: str) -> Extractor:
        """The extractor of a stream."""
        module = self.extractors[_module_name(stream)]
        if not isinstance(module, Extractor):
            raise TypeError(f"stream {stream!r} holds a {type(module).__name__}, not an Extractor")
        return module

    def train(self, mode: bool = True) -> VideoModel:
        """Training mode for all but the frozen extractors and held modules."""
        super().train(mode)
        for name in self.frozen:
            self.extractor(name).eval()
        for module in self.held:
            module.eval()
        return self

    @property
    def untrained(self) -> frozenset[str]:
        """Names in ``state_dict`` of the extractors' tensors that training leaves as they are."""
        still = {id(module) for name in self.frozen for module in self.extractor(name).modules()}
        still |= {id(module) for held in self.held for module in held.modules()}
        names = set()
        for prefix, module in self.extractors.named_modules(prefix="extractors"):
            own = module.named_parameters(recurse=False)
            names |= {f"{prefix}.{name}" for name, parameter in own if not parameter.requires_grad}
            if id(module) in still:
                names |= {f"{prefix}.{name}" for name, _ in module.named_buffers(recurse=False)}
        return frozenset(names)

    def encode(
        self, videos: Tensor | Mapping[str, Tensor | Frames], mask: Tensor | None = None
    ) -> dict[str, FeatureMap]:
        """Each extractor's map of its own view of the video.

        Args:
            videos: uint8 (B, T, C, H, W), or per stream such a tensor, or the ``Frames`` that it takes of each video.
            mask: (B, T) bool, False where a frame of a tensor is padding; ``Frames`` have their own.
        """
        maps = {}
        for name in self.streams:
            extractor = self.extractor(name)
            video = videos if isinstance(videos, Tensor) else videos[name]
            with torch.no_grad() if name in self.frozen else nullcontext():
                if isinstance(video, Tensor):
                    maps[name] = extractor.features(video, mask)[extractor.output_names[0]]
                else:
                    maps[name] = _encoded(extractor, video)
        return maps

    def read(self, features: Mapping[str, FeatureMap]) -> Tensor:
        """What the head reads of the streams' maps: (B, K) or (B, T, K)."""
        found: Tensor = self.readout(self.fusion(self.standardise(features)))
        return found

    def decide(self, features: Mapping[str, FeatureMap]) -> dict[str, Tensor]:
        """The head's outputs from the streams' maps, fresh or stored."""
        outputs: dict[str, Tensor] = self.head(self.read(features))
        return outputs

    def forward(self, videos: Tensor | Mapping[str, Tensor | Frames], mask: Tensor | None = None) -> dict[str, Tensor]:
        """``decide(encode(videos, mask))``."""
        return self.decide(self.encode(videos, mask))


def _encoded(extractor: Extractor, frames: Frames) -> FeatureMap:
    """The map of clips that may differ in length; each is what it is alone, as in extraction."""
    numbers: list[int] = []
    parts = []
    for own, alike in frames.alike():
        numbers += own
        maps = extractor.features(alike.video, alike.mask, alike.times, alike.shapes[0][0])
        parts.append(maps[extractor.output_names[0]])
    if len(parts) == 1:
        return parts[0]
    places = torch.tensor(numbers).argsort().to(parts[0].data.device)
    whole = joined(parts)
    return FeatureMap(whole.data[places], whole.times[places], None if whole.mask is None else whole.mask[places])


def _module_name(stream: str) -> str:
    return stream.replace(".", "_")
