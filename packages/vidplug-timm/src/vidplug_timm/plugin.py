"""Declares every image model of timm that gives a feature map. Read by ``vidcore list-models``: no torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from vidcore.plugin import ClassifierInfo, ClipFormat, ExtractorSpec, FeatureInfo, WeightsInfo, hookimpl

from .variants import CLIPS, LICENCES, TRAINED_ON, VARIANTS, Variant

_EXEMPT = {"time_order": "every frame is seen on its own: reversing a clip reverses its features"}
_KINDS = {"NCHW": "convolutional or hybrid", "NHWC": "hierarchical", "NLC": "token-based"}
_DEFAULT = "vit_base_patch16_224"
_CLASSIFIER = ClassifierInfo(averages="probabilities", stride=(1, None, None))
_DATA_SET = re.compile(r"in\d+k|inat21")


@hookimpl
def vidcore_extractors() -> list[ExtractorSpec]:
    """Every row of the catalogue."""
    return [_spec(name, variant) for name, variant in VARIANTS.items()]


def _spec(name: str, v: Variant) -> ExtractorSpec:
    return ExtractorSpec(
        name=name,
        target="vidplug_timm.extractor:TimmExtractor",
        config="vidplug_timm.config:TimmConfig",
        summary=_summary(v.layout, v.stride_rows),
        reference="Wightman 2019, PyTorch Image Models, doi:10.5281/zenodo.4414861",
        licence="Apache-2.0",
        outputs=_outputs(v.width, v.stride_rows, v.stride_columns, v.rounding, v.pooled, v.cls, v.token),
        clip=_clip(v.clip),
        numerics_revision=2,
        parameters=v.parameters,
        weights=tuple(
            [
                WeightsInfo(
                    tag=tag,
                    source=f"timm:{v.name}.{tag}",
                    licence=LICENCES[licence],
                    trained_on=TRAINED_ON[trained_on],
                    score=f"ImageNet-1k top-1 {score} % at {side} pixels" if score else "",
                    clip=None if clip == v.clip else _clip(clip),
                    classes=_classes(tag),
                )
                for tag, clip, licence, trained_on, score, side in v.weights
            ]
        ),
        # No authors say how frames become an answer about a video; the mean of probabilities is the usual ensemble.
        classifier=_CLASSIFIER,
        default=v.name == _DEFAULT,
        causal=True,
        exempt=_EXEMPT,
    )


# A thousand variants share a few dozen shapes and clips: each is made once, or listing would take its time.
@cache
def _summary(layout: str, stride: int) -> str:
    return f"frame-wise {_KINDS[layout]} image network of timm, stride {stride}"


@cache
def _outputs(
    width: int, rows: int, columns: int, rounding: str, pooled: int, cls: int, token: int
) -> Mapping[str, FeatureInfo]:
    found = {"pooled": FeatureInfo(pooled), "features": FeatureInfo(width, (1, rows, columns), rounding)}  # type: ignore[arg-type]
    if cls:
        vector = {"cls": FeatureInfo(width)}
        found = {**vector, **found} if token else {**found, **vector}
    return found


@cache
def _classes(tag: str) -> str:
    """The label set of the classifier that a tag's last data set left: of ImageNet-1k the names are known here."""
    parts = tag.split("_")
    last = next((part for part in reversed(parts) if _DATA_SET.fullmatch(part)), "")
    # I-JEPA's weights are pretrained on ImageNet-1k without labels.
    return "imagenet1k" if last == "in1k" and "ijepa" not in parts else ""


@cache
def _clip(index: int) -> ClipFormat:
    height, width, before, interpolation, mean, std = CLIPS[index]
    return ClipFormat(
        size=(height, width),
        fit="pad" if before == "pad" else "crop" if before else "stretch",
        resize_short=before if before and isinstance(before, int) else None,
        resize_to=tuple(before) if isinstance(before, list) else None,
        interpolation=interpolation,
        resampler="pillow",
        mean=tuple(mean),
        std=tuple(std),
        max_frames=32,
    )
