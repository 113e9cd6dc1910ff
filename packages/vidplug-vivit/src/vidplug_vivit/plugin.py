"""Declares the ViViT extractors. Read by ``vidcore list-models``, so: no torch here."""

from __future__ import annotations

from vidcore.plugin import ClassifierInfo, ClipFormat, ExtractorSpec, FeatureInfo, WeightsInfo, hookimpl

from .variants import FACTORISED, JOINT, FactorisedVariant, JointVariant


@hookimpl
def vidcore_extractors() -> list[ExtractorSpec]:
    """Every variant of the two tables."""
    joint = [_joint(name, variant) for name, variant in JOINT.items()]
    return joint + [_factorised(name, variant) for name, variant in FACTORISED.items()]


def _joint(name: str, v: JointVariant) -> ExtractorSpec:
    grid = FeatureInfo(v.width, v.tubelet)
    pooled = FeatureInfo(v.width, (None, None, None))
    return ExtractorSpec(
        name=name,
        target="vidplug_vivit.joint:JointViVitExtractor",
        config="vidplug_vivit.config:JointConfig",
        summary=f"video ViT, joint space-time attention, {v.depth} blocks, width {v.width}, {v.frames} frames",
        reference="arXiv:2103.15691",
        licence="Apache-2.0",
        outputs={output: pooled if output == "cls" else grid for output in v.outputs},
        # The authors': short side 256, pixels in [-1, 1] and no further normalisation (scenic's
        # vivit_base_k400.py: min_resize 256, crop_size 224, stride 2, zero_centering). One hub repository,
        # google/vivit-b-16x2-kinetics400, and the library's default processor subtract 0.5 and halve once more,
        # to [-3, 1]; the other repository, google/vivit-b-16x2, does as the authors do.
        clip=ClipFormat(
            frames=v.frames,
            # "Kinetics videos has 250 frames" of ten seconds (the same file): 25 a second.
            stride_frames=2,
            fps=25.0,
            size=(v.size, v.size),
            resize_short=round(v.size * 256 / 224),
            crop_rounding="down",
            value_range=(-1.0, 1.0),
            overlap_frames=v.frames // 4,
        ),
        parameters=v.parameters,
        numerics_revision=2,
        weights=tuple(
            WeightsInfo(
                tag=tag,
                source=f"hf:{repository}/pytorch_model.bin",
                licence="MIT",
                trained_on="Kinetics-400, starting from a ViT-B/16 of ImageNet-21k",
                score="Kinetics-400 top-1 79.9 %, 4 x 3 views (the authors' checkpoint, of which this is a conversion)",
                classes="kinetics400",
            )
            for tag, repository in v.hub
        ),
        # Scenic's test averages the logits of the views.
        classifier=ClassifierInfo(averages="logits"),
        default=name == "vivit/b16x2",
    )


def _factorised(name: str, v: FactorisedVariant) -> ExtractorSpec:
    a = v.architecture
    frames, rows, columns = a.patch_size
    return ExtractorSpec(
        name=name,
        target="vidplug_vivit.factorised:FactorisedViVitExtractor",
        config="vidplug_vivit.config:FactorisedConfig",
        summary=(
            f"factorised ViViT, {a.spatial_depth} spatial then {a.temporal_depth} causal temporal blocks, "
            f"width {a.width}, patches {frames}x{rows}x{columns}; no published weights"
        ),
        reference="arXiv:2103.15691, doi:10.1101/2025.09.16.676524",
        licence="Apache-2.0",
        outputs={output: FeatureInfo(a.width, a.patch_size) for output in v.outputs},
        clip=ClipFormat(
            value_range=(-1.0, 1.0),
            min_frames=frames,
            max_frames=64,
            frame_multiple=frames,
            size_multiple=rows,
            overlap_frames=16,
        ),
        parameters=v.parameters,
        causal=True,
        exempt={"options.gradient_checkpointing": "saves memory in the backward pass; every value stays the same"},
    )
