"""Declares the forensic features and the heads fitted on them. Read by ``vidcore list-models``: no torch here."""

from __future__ import annotations

from vidcore.plugin import ClipFormat, ExtractorSpec, FeatureInfo, HeadSpec, hookimpl

from .variants import FRAME_FEATURES, POOLED_FEATURES

_EXEMPT = {"options.class_weights": "the suite's classes have equally many rows, where balancing changes nothing"}


@hookimpl
def vidcore_extractors() -> list[ExtractorSpec]:
    """The forensic features."""
    return [
        ExtractorSpec(
            name="handcrafted/forensic",
            target="vidplug_handcrafted.extractor:ForensicExtractor",
            config="vidplug_handcrafted.config:ForensicConfig",
            summary="named statistics of noise, DCT bands, sharpness and block boundaries, per frame, no parameters",
            reference="Chen et al. 2008 (noise); Wang et al. 2000, Fan & de Queiroz 2003 (blocks); "
            "Pertuz et al. 2013 (sharpness)",
            licence="Apache-2.0",
            outputs={
                "frames": FeatureInfo(len(FRAME_FEATURES)),
                "pooled": FeatureInfo(len(POOLED_FEATURES), (None, None, None)),
            },
            # Native resolution: resizing would wipe out noise and the 8x8 grid, which are what is measured.
            clip=ClipFormat(size=None, value_range=(0.0, 255.0), max_frames=32),
            parameters=0,
            causal=True,
            exempt={
                "time_order": "every frame is measured on its own: reversing a clip reverses its features",
                "gradients": "there are no parameters",
                "safetensors": "there is no state to save",
            },
        )
    ]


@hookimpl
def vidcore_heads() -> list[HeadSpec]:
    """Linear classifiers on standardised features."""
    return [
        HeadSpec(
            name="logistic_regression",
            target="vidplug_handcrafted.heads:LogisticRegressionHead",
            config="vidplug_handcrafted.config:LinearConfig",
            summary="multinomial logistic regression on standardised features, fitted in one go",
            reference="scikit-learn LogisticRegression (lbfgs)",
            fitted=True,
            exempt=_EXEMPT,
        ),
        HeadSpec(
            name="linear_svm",
            target="vidplug_handcrafted.heads:LinearSvmHead",
            config="vidplug_handcrafted.config:LinearConfig",
            summary="one-versus-rest linear SVM on standardised features, probabilities by Platt scaling",
            reference="scikit-learn LinearSVC; Platt 1999",
            fitted=True,
            exempt=_EXEMPT,
        ),
    ]
