"""Random changes of one clip, the same in all its frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vidcore.config.augment import AugmentConfig
from vidcore.data.augment._flip import mirrored_classes, names_side, suggested_map
from vidcore.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable


class Augment:
    """Changes a clip at random: lost frames, crop, mirror image, colour, RandAugment, a rectangle erased.

    The transforms are those of ``torchvision.transforms.v2``. What is drawn is drawn once a clip, so that
    nothing flickers that did not; it depends on the generator alone.

    Args:
        config: what is done.
        classes: of the data, in the order of their indices; needed where clips are mirrored.
        kind: of the targets: class, multilabel, value or position.
        size: (height, width) a crop is brought to, best that of the extractor, which then resizes no more;
            by default that of the clip.
        antialias: whether crops are shrunk with antialiasing, best as the extractor's clips are.

    Attributes:
        flips: whether clips are ever mirrored.
        notes: what a person should be told, such as that clips are not mirrored, and why.

    Raises:
        ConfigError: positions are predicted and clips would be cropped, mirrored or distorted; ``flip_map``
            does not fit the classes.
    """

    def __init__(
        self,
        config: AugmentConfig,
        *,
        classes: Sequence[str] = (),
        kind: str = "class",
        size: tuple[int, int] | None = None,
        antialias: bool = True,
    ) -> None:
        self.config = config
        self.antialias = antialias
        self.size = size
        self.notes: tuple[str, ...] = ()
        if kind == "position" and config.moves_things:
            raise ConfigError(
                "augment moves what is in the picture, and positions are predicted, which would no longer be true; "
                "set crop: none, flip: 0 and rand_augment: 0"
            )
        mirrored = mirrored_classes(classes, config.flip_map)
        self.flips = config.flip > 0 and mirrored is not None
        self._mirrored = torch.tensor(mirrored or [], dtype=torch.int64)
        if config.flip > 0 and mirrored is None:
            self.notes = (_no_flips(classes, config),)
        self._colours = _colours(config)

    def __call__(
        self, frames: Tensor, generator: np.random.Generator, target: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Change a clip.

        Args:
            frames: uint8 (T, C, H, W); it is not written to.
            generator: what is drawn comes from it.
            target: of the clip: a class index (), {0, 1} (C,) of several labels, or numbers.

        Returns:
            uint8 (T, C, h, w), and the target of what it shows now: another one where it was mirrored and its
            class has a mirror image.

        Raises:
            ShapeError: ``frames`` are not uint8 (T, C, H, W).
        """
        if frames.dim() != 4 or frames.dtype != torch.uint8:
            raise ShapeError(
                "augment takes uint8 (T, C, H, W); got "
                f"{str(frames.dtype).removeprefix('torch.')} {tuple(frames.shape)}"
            )
        c = self.config
        if c.drop_frames:
            frames = _lose_frames(frames, c.drop_frames, generator)
        frames = self._crop(frames, generator)
        if self.flips and generator.random() < c.flip:
            frames, target = frames.flip(-1), self._mirror(target)
        for change in self._colours:
            with _torch_draws_from(generator):
                frames = change(frames)
        if c.erase:
            frames = _erase(frames, c, generator)
        return frames, target

    def _crop(self, frames: Tensor, generator: np.random.Generator) -> Tensor:
        if self.config.crop == "none":
            return frames
        from torchvision.transforms import v2

        height, width = frames.shape[-2:]
        size = list(self.size or (height, width))
        cropped: Tensor
        if self.config.crop == "resized":
            transform = v2.RandomResizedCrop(
                size, self.config.crop_area, self.config.crop_aspect, antialias=self.antialias
            )
            with _torch_draws_from(generator):
                cropped = transform(frames)
            return cropped
        box = _multi_scale_box(height, width, self.config.crop_scales, generator)
        cropped = v2.functional.resized_crop(frames, *box, size, antialias=self.antialias)
        return cropped

    def _mirror(self, target: Tensor | None) -> Tensor | None:
        if target is None or target.is_floating_point() or not len(self._mirrored):
            return target
        # Of several labels each goes to its mirror image's place; the map is its own inverse.
        return self._mirrored[target] if target.dim() == 0 else target[self._mirrored]


def _lose_frames(frames: Tensor, chance: float, generator: np.random.Generator) -> Tensor:
    steps = np.arange(len(frames))
    kept = np.where(generator.random(len(frames)) >= chance, steps, 0)
    return frames[torch.from_numpy(np.maximum.accumulate(kept))]


def _multi_scale_box(
    height: int, width: int, scales: Sequence[float], generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a crop whose sides are neighbours in ``scales``, at a corner or the centre."""
    sides = [max(round(min(height, width) * scale), 1) for scale in scales]
    first = int(generator.integers(len(sides)))
    second = int(generator.integers(max(first - 1, 0), min(first + 2, len(sides))))
    h, w = sides[first], sides[second]
    places = [(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)]
    down, right = places[int(generator.integers(len(places)))]
    return int(down * (height - h)), int(right * (width - w)), h, w


def _colours(config: AugmentConfig) -> list[Callable[[Tensor], Tensor]]:
    changes: list[Callable[[Tensor], Tensor]] = []
    jitter: dict[str, Any] = {
        name: getattr(config, name) for name in ("brightness", "contrast", "saturation", "hue") if getattr(config, name)
    }
    if not (jitter or config.rand_augment):
        return changes
    # Here, because importing torchvision takes as long as torch, and most runs change no colour.
    from torchvision.transforms import v2

    if jitter:
        changes.append(v2.ColorJitter(**jitter))
    if config.rand_augment:
        changes.append(v2.RandAugment(config.rand_augment, config.rand_augment_magnitude))
    return changes


def _erase(frames: Tensor, config: AugmentConfig, generator: np.random.Generator) -> Tensor:
    from torchvision.transforms import v2

    colour = frames.float().mean((0, 2, 3)).round().tolist()
    with _torch_draws_from(generator):
        erased: Tensor = v2.RandomErasing(config.erase, config.erase_area, value=colour)(frames)
    return erased


@contextmanager
def _torch_draws_from(generator: np.random.Generator) -> Iterator[None]:
    """Torchvision draws from torch's global generator, which is seeded from ours and put back.

    The CPU's alone: ``torch.manual_seed`` would seed the GPU's as well, from which dropout draws.
    """
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(int(generator.integers(2**63)))
    try:
        yield
    finally:
        torch.set_rng_state(state)


def _no_flips(classes: Sequence[str], config: AugmentConfig) -> str:
    sided = [name for name in classes if names_side(name) and name not in {*config.flip_map, *config.flip_map.values()}]
    pairs = suggested_map(sided)
    written = "{" + ", ".join(f"{a}: {b}" for a, b in pairs.items()) + "}"
    how = f"say what becomes of them: flip_map: {written}" if pairs else "say in flip_map what becomes of them"
    shown = ", ".join(repr(name) for name in sided[:3]) + (", ..." if len(sided) > 3 else "")
    return f"clips are not mirrored: {len(sided)} classes name a side ({shown}); {how}"
