"""What another way of computing features costs a classifier that reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidcore.errors import DataError
from vidcore.extractors.base import Extractor

_MOST_FOLDS = 5


@dataclass(frozen=True, slots=True)
class ProbeCost:
    """Cross-validated accuracy of the same linear probe on two versions of the same features.

    Attributes:
        reference: accuracy on the features of the plain extractor.
        other: accuracy on those of the other one.
        changed: clips on which the two probes answer differently.
        clips: clips tested, each once.
        folds: of the cross-validation; groups are kept together.
    """

    reference: float
    other: float
    changed: int
    clips: int
    folds: int


def probe_cost(
    reference: Extractor,
    other: Extractor,
    videos: Sequence[Tensor],
    labels: Sequence[str],
    groups: Sequence[str | None] | None = None,
) -> ProbeCost:
    """Compare two extractors by a logistic regression on the mean of their default output over time and space.

    Args:
        reference: the plain extractor.
        other: the same one computed in another way, for example in int8.
        videos: raw, uint8 (T, C, H, W) each.
        labels: one per video.
        groups: source video or subject of each; ``None``: each its own.

    Raises:
        DataError: fewer than two classes, or a class with a single group.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    names = [group if group is not None else f"#{place}" for place, group in enumerate(groups or [None] * len(videos))]
    per_class = Counter(label for label, _ in set(zip(labels, names, strict=True)))
    if len(per_class) < 2 or min(per_class.values()) < 2:
        raise DataError(
            f"a probe needs two classes with two source videos each; got {dict(per_class)} source videos a class"
        )
    folds = StratifiedGroupKFold(min(_MOST_FOLDS, *per_class.values()), shuffle=True, random_state=0)

    def answers(extractor: Extractor) -> NDArray[Any]:
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        said: NDArray[Any] = cross_val_predict(probe, _vectors(extractor, videos), labels, groups=names, cv=folds)
        return said

    plain, changed, true = answers(reference), answers(other), np.asarray(labels)
    return ProbeCost(
        float((plain == true).mean()),
        float((changed == true).mean()),
        int((plain != changed).sum()),
        len(true),
        folds.get_n_splits(),
    )


@torch.inference_mode()
def _vectors(extractor: Extractor, videos: Sequence[Tensor]) -> NDArray[np.float32]:
    device = next((value.device for value in extractor.parameters()), torch.device("cpu"))
    name = extractor.output_names[0]
    rows = [extractor.features(video[None].to(device))[name].sequence().mean(1)[0] for video in videos]
    return torch.stack(rows).float().cpu().numpy()
