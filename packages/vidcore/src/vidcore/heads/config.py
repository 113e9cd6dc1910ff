"""Options of the built-in heads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vidcore.config import HeadConfig, tunable


class ClassificationConfig(HeadConfig):
    """Options of ``classification``."""

    column: str = "label"
    """Column of the manifest that holds the labels."""

    dropout: float = Field(0.0, ge=0, lt=1, json_schema_extra=tunable(0.0, 0.5))
    """Dropout before the linear layer."""
    label_smoothing: float = Field(0.0, ge=0, lt=1, json_schema_extra=tunable(0.0, 0.2))
    class_weights: Literal["none", "balanced"] | tuple[float, ...] = "none"
    """Weights of the classes in the loss: inverse training frequency, or one number per class in order."""
    multilabel: bool = False
    """Several labels per clip: sigmoid and binary cross-entropy instead of softmax."""


class MultilabelConfig(HeadConfig):
    """Options of ``multilabel``."""

    column: str = "label"
    """Column of the manifest that holds the labels of a row, separated by ``|``."""
    dropout: float = Field(0.0, ge=0, lt=1, json_schema_extra=tunable(0.0, 0.5))
    """Dropout before the linear layer."""
    label_smoothing: float = Field(0.0, ge=0, lt=1, json_schema_extra=tunable(0.0, 0.2))
    positive_weights: Literal["none", "balanced"] = "none"
    """balanced: a label's positives weigh as many times more as they are rarer than its negatives."""


class RegressionConfig(HeadConfig):
    """Options of ``regression``."""

    columns: tuple[str, ...] = Field(("label",), min_length=1)
    """Columns of the manifest that hold the numbers to predict."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Widths of hidden layers; none: linear."""
    dropout: float = Field(0.0, ge=0, lt=1, json_schema_extra=tunable(0.0, 0.5))
    """Dropout before every linear layer."""
    loss: Literal["mse", "huber", "l1"] = "mse"
    """In units of the columns' standard deviations; huber is linear beyond one of them."""


class ForecastConfig(HeadConfig):
    """Options of ``forecast``."""

    column: str = "future_positions"
    """Column of the manifest that holds the positions after the video: ``[[x, y], ...]``, one per step."""
    origin: str | None = "last_position"
    """Column with the position ``[x, y]`` last seen, from which the future ones are counted; null: they are predicted
    as they are."""
    history: str | None = "past_positions"
    """Column with the last positions seen, oldest first, ``[[x, y], ...]``, three at least: from it come the baselines
    constant velocity and constant acceleration. Rows without the column have no such baselines."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Widths of hidden layers; none: linear."""
    dropout: float = Field(0.0, ge=0, lt=1, json_schema_extra=tunable(0.0, 0.5))
    """Dropout before every linear layer."""


class PublishedConfig(HeadConfig):
    """Options of ``published``. All but ``label_map`` and ``column`` are filled in from the extractor."""

    column: str = "label"
    """Column of the manifest that holds the labels."""
    classes: str | tuple[str, ...] = Field(
        json_schema_extra={
            "examples": [
                ["kick", "push", "hug", "point", "wave", "run"],
                ["run", "hug", "kick", "push", "wave", "point"],
            ]
        }
    )
    """Label set of the classifier, or its class names in order."""
    averages: Literal["logits", "probabilities"] = "logits"
    """What the features are: mean logits, or mean probabilities."""
    label_map: dict[str, str | tuple[str, ...]] | None = Field(
        None, json_schema_extra={"examples": [{"kick": ["run", "wave"]}]}
    )
    """Label of the data -> published class, or several that stand for it; a YAML file in its place. Labels that are not
    in it stand for themselves."""
