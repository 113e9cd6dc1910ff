"""How training clips are varied."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(gt=0, le=1)]
Chance = Annotated[float, Field(ge=0, le=1)]


class AugmentConfig(BaseModel):
    """Random changes of training clips, drawn once a clip and the same for all its frames; all off by default.

    Where in time a clip begins is drawn too: that is ``data.jitter``, which belongs to the sampling of frames.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    crop: Literal["none", "resized", "multi_scale"] = "none"
    """resized: a part of random area and aspect (Szegedy et al., arXiv:1409.4842). multi_scale: sides drawn from
    crop_scales, at a corner or the centre (Wang et al., Temporal Segment Networks, arXiv:1608.00859)."""
    crop_area: tuple[Share, Share] = (0.3, 1.0)
    """Least and largest share of the picture, for crop=resized."""
    crop_aspect: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.75, 4 / 3)
    """Least and largest width in heights, for crop=resized."""
    crop_scales: tuple[Share, ...] = Field((1.0, 0.875, 0.75, 0.66), min_length=1)
    """Sides in short sides of the picture, for crop=multi_scale; height and width differ by one place at most."""
    flip: Chance = 0.0
    """Chance of mirroring left and right. Off where classes name a side, unless flip_map says what becomes of them."""
    flip_map: dict[str, str] = Field(default_factory=dict)
    """Class -> class of its mirror image; one direction is enough. A class that mirroring does not change maps to
    itself."""
    brightness: float = Field(0.0, ge=0)
    """Colour jitter: a factor from 1 - brightness to 1 + brightness; likewise contrast and saturation."""
    contrast: float = Field(0.0, ge=0)
    saturation: float = Field(0.0, ge=0)
    hue: float = Field(0.0, ge=0, le=0.5)
    """Largest shift, in turns of the colour circle."""
    rand_augment: int = Field(0, ge=0)
    """Operations drawn by RandAugment (Cubuk et al., arXiv:1909.13719); 0: none."""
    rand_augment_magnitude: int = Field(9, ge=0, le=30)
    erase: Chance = 0.0
    """Chance of erasing a rectangle through all frames (Zhong et al., arXiv:1708.04896), to the clip's mean colour."""
    erase_area: tuple[Share, Share] = (0.02, 0.33)
    """Least and largest share of the picture that is erased."""
    drop_frames: float = Field(0.0, ge=0, lt=1)
    """Chance of every frame but the first to be lost, and the one before it held instead."""
    mixup: float = Field(0.0, ge=0)
    """Alpha of mixup (Zhang et al., arXiv:1710.09412): the share of a clip is drawn from Beta(alpha, alpha). 0: off."""
    cutmix: float = Field(0.0, ge=0)
    """Alpha of CutMix (Yun et al., arXiv:1905.04899), its rectangle through all frames. 0: off. Beside mixup, a batch
    is mixed in one of both ways."""
    mix: Chance = 1.0
    """Chance of a batch to be mixed, where mixup or cutmix is on."""

    @property
    def changes_clips(self) -> bool:
        """Whether any clip is changed by itself."""
        options = (self.flip, self.brightness, self.contrast, self.saturation, self.hue)
        return self.crop != "none" or any((*options, self.rand_augment, self.erase, self.drop_frames))

    @property
    def mixes(self) -> bool:
        """Whether clips of a batch are mixed with each other."""
        return self.mix > 0 and (self.mixup > 0 or self.cutmix > 0)

    @property
    def moves_things(self) -> bool:
        """Whether what is in the picture may end up elsewhere in it."""
        return self.crop != "none" or self.flip > 0 or self.rand_augment > 0

    @model_validator(mode="after")
    def _ranges_ascend(self) -> AugmentConfig:
        for name in ("crop_area", "crop_aspect", "erase_area"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} is ({low:g}, {high:g}); the least comes first")
        return self
