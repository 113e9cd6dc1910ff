"""Declares the core's own components. Read by ``vidcore list-models``, so: no torch here."""

from vidcore.plugin import (
    ClipFormat,
    DatasetSpec,
    ExtractorSpec,
    FeatureInfo,
    FusionSpec,
    HeadSpec,
    ReadoutSpec,
    hookimpl,
)


@hookimpl
def vidcore_extractors() -> list[ExtractorSpec]:
    """The extractors that need no weights."""
    pixels = ClipFormat(size=(64, 64), value_range=(-1.0, 1.0), max_frames=128)
    return [
        ExtractorSpec(
            name="basic/keypoints",
            target="vidcore.extractors._keypoints:Keypoints",
            config="vidcore.extractors.config:KeypointsConfig",
            summary="spatial softmax finds points in each frame, temporal convolutions read their paths",
            reference="arXiv:1509.06113",
            licence="Apache-2.0",
            outputs={"features": FeatureInfo(64)},
            clip=ClipFormat(size=(64, 64), value_range=(-1.0, 1.0), max_frames=128, overlap_frames=12),
            parameters=56_689,
            default=True,
        ),
        ExtractorSpec(
            name="basic/naive_cnn",
            target="vidcore.extractors._naive_cnn:NaiveCnn",
            config="vidcore.extractors.config:NaiveCnnConfig",
            summary="2D CNN on 8 uniformly sampled frames, averaged; sees no motion",
            licence="Apache-2.0",
            outputs={"mean": FeatureInfo(128, (None, None, None))},
            clip=pixels,
            parameters=97_680,
            exempt={"time_order": "the features of its frames are averaged: the baseline that sees no motion"},
        ),
        ExtractorSpec(
            name="basic/patch_transformer",
            target="vidcore.extractors._patch_transformer:PatchTransformer",
            config="vidcore.extractors.config:PatchTransformerConfig",
            summary="space-time patches and a Transformer encoder, from scratch; 4 blocks, width 256",
            licence="Apache-2.0",
            outputs={"features": FeatureInfo(256, (2, 16, 16))},
            clip=ClipFormat(size=(64, 64), value_range=(-1.0, 1.0), min_frames=2, max_frames=128, frame_multiple=2),
            parameters=3_555_072,
        ),
    ]


@hookimpl
def vidcore_fusions() -> list[FusionSpec]:
    """Built-in fusions."""
    return [
        FusionSpec(
            name="concat",
            target="vidcore.fusion._concat:Concat",
            config="vidcore.fusion.config:ConcatConfig",
            summary="streams side by side in channels, on the grid of one",
        ),
        FusionSpec(
            name="gated",
            target="vidcore.fusion._gated:GatedSum",
            config="vidcore.fusion.config:GatedConfig",
            summary="learned convex combination of projected streams",
        ),
        FusionSpec(
            name="cross_attention",
            target="vidcore.fusion._cross_attention:CrossAttention",
            config="vidcore.fusion.config:CrossAttentionConfig",
            summary="each stream attends to the others, in both directions or one; found by time and place",
            reference="arXiv:1908.02265",
        ),
        FusionSpec(
            name="bottleneck",
            target="vidcore.fusion._bottleneck:Bottleneck",
            config="vidcore.fusion.config:BottleneckConfig",
            summary="a Transformer per stream; streams exchange through a few bottleneck tokens",
            reference="arXiv:2107.00135",
        ),
        FusionSpec(
            name="late",
            target="vidcore.fusion._late:Late",
            config="vidcore.fusion.config:LateConfig",
            summary="ensemble of one linear classifier per stream, averaged in the logits with learned weights",
        ),
    ]


@hookimpl
def vidcore_readouts() -> list[ReadoutSpec]:
    """Built-in readouts."""
    return [
        ReadoutSpec(
            name="mean",
            target="vidcore.readouts._mean:Mean",
            config="vidcore.readouts.config:MeanConfig",
            summary="mean over time and space",
        ),
        ReadoutSpec(
            name="max",
            target="vidcore.readouts._max:Max",
            config="vidcore.readouts.config:MaxConfig",
            summary="largest value of each channel over time and space",
        ),
        ReadoutSpec(
            name="last",
            target="vidcore.readouts._last:Last",
            config="vidcore.readouts.config:LastConfig",
            summary="the last step, averaged over space",
        ),
        ReadoutSpec(
            name="attention",
            target="vidcore.readouts._attention:AttentionPool",
            config="vidcore.readouts.config:AttentionConfig",
            summary="learned queries attend to every token; with blocks, the attentive probe of V-JEPA",
            reference="arXiv:2404.08471",
        ),
        ReadoutSpec(
            name="gru",
            target="vidcore.readouts._recurrent:Gru",
            config="vidcore.readouts.config:RecurrentConfig",
            summary="gated recurrent unit over the steps, in one direction or both",
            reference="arXiv:1406.1078",
        ),
        ReadoutSpec(
            name="lstm",
            target="vidcore.readouts._recurrent:Lstm",
            config="vidcore.readouts.config:RecurrentConfig",
            summary="long short-term memory over the steps, in one direction or both",
            reference="doi:10.1162/neco.1997.9.8.1735",
        ),
        ReadoutSpec(
            name="transformer",
            target="vidcore.readouts._transformer:Transformer",
            config="vidcore.readouts.config:TransformerConfig",
            summary="Transformer encoder over the steps, which know their times",
            reference="arXiv:1706.03762",
        ),
    ]


@hookimpl
def vidcore_heads() -> list[HeadSpec]:
    """Built-in heads."""
    column = "it says where in the manifest the targets are, which the data reads and the head does not"
    return [
        HeadSpec(
            name="classification",
            target="vidcore.heads._classification:Classification",
            config="vidcore.heads.config:ClassificationConfig",
            summary="linear layer, cross-entropy; label smoothing, class weights, several labels a clip",
            exempt={"options.column": column},
        ),
        HeadSpec(
            name="published",
            target="vidcore.heads._published:Published",
            config="vidcore.heads.config:PublishedConfig",
            summary="the extractor's published classifier, untrained; its class names are matched to the data's labels",
            fitted=True,
            published=True,
            exempt={
                "options.column": column,
                "fit_predict": "nothing is fitted: the answers are those of the published classifier",
                "missing_class": "nothing is fitted, so it does not matter which classes have rows",
            },
        ),
        HeadSpec(
            name="multilabel",
            target="vidcore.heads._multilabel:Multilabel",
            config="vidcore.heads.config:MultilabelConfig",
            summary="several labels a clip: linear layer, binary cross-entropy, mean average precision",
            targets="multilabel",
            exempt={"options.column": column},
        ),
        HeadSpec(
            name="regression",
            target="vidcore.heads._regression:Regression",
            config="vidcore.heads.config:RegressionConfig",
            summary="numbers from columns of the manifest; error in their own units and in standard deviations",
            targets="value",
            exempt={"options.columns": column},
        ),
        HeadSpec(
            name="forecast",
            target="vidcore.heads._forecast:Forecast",
            config="vidcore.heads.config:ForecastConfig",
            summary="positions after the end of the video; mean squared error, and RMSE at every step ahead",
            targets="position",
            exempt={"options.column": column, "options.origin": column, "options.history": column},
        ),
    ]


@hookimpl
def vidcore_datasets() -> list[DatasetSpec]:
    """Built-in data sets."""
    return [
        DatasetSpec(
            name="trajectories",
            target="vidcore.data.datasets:Trajectories",
            config="vidcore.data.config:TrajectoriesConfig",
            summary="a ball in linear, circular, helical or parabolic motion; made on the spot, no download",
            licence="Apache-2.0",
        )
    ]
