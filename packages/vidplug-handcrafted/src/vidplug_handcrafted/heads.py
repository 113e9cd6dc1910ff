"""Linear classifiers of scikit-learn as fitted heads. What they learn is kept as plain arrays."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from vidcore.errors import DataError, ShapeError, VidcoreError, WeightsError
from vidcore.heads.base import FittedHead

from .config import LinearConfig

Array = npt.NDArray[Any]

_FOLDS = 5


class LinearHead(FittedHead):
    """A linear map of standardised features (N, K) to scores, one column per class (one in all for two classes)."""

    config: LinearConfig
    _state: dict[str, Array] | None = None

    def fit(self, features: Array, targets: Array) -> None:
        """Fit on features (N, K) and class indices (N,).

        Raises:
            DataError: a class has no row; or for the SVM, fewer than two.
        """
        counts = np.bincount(np.asarray(targets, dtype=np.int64), minlength=len(self.targets.classes))
        short = [name for name, count in zip(self.targets.classes, counts, strict=True) if count < self._fewest]
        if short:
            raise DataError(
                f"head {self.spec.name!r} needs at least {self._fewest} training row{'s' if self._fewest > 1 else ''} "
                f"of every class; too few of: {', '.join(short)}"
            )
        rows = np.asarray(features, dtype=np.float64)
        self._state = self._fitted(rows, np.asarray(targets), int(counts.min()))

    def predict(self, features: Array) -> Array:
        """Class probabilities (N, C) for features (N, K).

        Raises:
            VidcoreError: the head is not fitted.
            ShapeError: it was fitted on another number of features.
        """
        state = self.state()
        if features.ndim != 2 or features.shape[1] != len(state["mean"]):
            raise ShapeError(
                f"head {self.spec.name!r} was fitted on {len(state['mean'])} features; got an array {features.shape}"
            )
        standardised = (np.asarray(features, dtype=np.float64) - state["mean"]) / state["scale"]
        return self._probabilities(standardised @ state["coefficients"].T + state["intercepts"], state)

    def state(self) -> dict[str, Array]:
        """Mean and scale (K,), coefficients (C or 1, K), intercepts, and what the probabilities need."""
        if self._state is None:
            raise VidcoreError(f"head {self.spec.name!r} is not fitted; call fit(features, targets) or load_state")
        return dict(self._state)

    def load_state(self, state: dict[str, Array]) -> None:
        """Take back what ``state`` gave.

        Raises:
            WeightsError: an array is missing.
        """
        missing = sorted(set(self._names) - state.keys())
        if missing:
            raise WeightsError(f"the state of head {self.spec.name!r} lacks {', '.join(missing)}")
        self._state = {name: np.asarray(state[name]) for name in self._names}

    _names: tuple[str, ...] = ("mean", "scale", "coefficients", "intercepts")
    _fewest = 1

    @property
    def _weights(self) -> str | None:
        return "balanced" if self.config.class_weights == "balanced" else None

    @abstractmethod
    def _fitted(self, features: Array, targets: Array, smallest: int) -> dict[str, Array]:
        """The arrays of ``_names``; ``smallest`` is the number of rows of the rarest class."""

    @abstractmethod
    def _probabilities(self, scores: Array, state: dict[str, Array]) -> Array:
        """Scores (N, C or 1) -> (N, C)."""


class LogisticRegressionHead(LinearHead):
    """Multinomial logistic regression with an L2 penalty; probabilities are the softmax of the scores."""

    def _fitted(self, features: Array, targets: Array, smallest: int) -> dict[str, Array]:
        model = LogisticRegression(
            C=self.config.inverse_regularisation, class_weight=self._weights, max_iter=1000, tol=1e-6
        )
        return _linear(make_pipeline(StandardScaler(), model).fit(features, targets))

    def _probabilities(self, scores: Array, state: dict[str, Array]) -> Array:
        if scores.shape[1] == 1:
            # Two classes have one score, that of the second: the first one's is zero.
            scores = np.concatenate([np.zeros_like(scores), scores], 1)
        powers = np.exp(scores - scores.max(1, keepdims=True))
        found: Array = powers / powers.sum(1, keepdims=True)
        return found


class LinearSvmHead(LinearHead):
    """One-versus-rest linear SVM (squared hinge).

    Probabilities are Platt's: a sigmoid 1 / (1 + exp(a f + b)) per class, fitted to decision values of rows held
    out in five folds (fewer where a class has fewer rows), then normalised over classes. The SVM itself is
    fitted to all rows. The most probable class may therefore differ from that of the largest decision value.
    """

    _names = (*LinearHead._names, "slopes", "offsets")
    _fewest = 2

    def _fitted(self, features: Array, targets: Array, smallest: int) -> dict[str, Array]:
        svm = LinearSVC(
            C=self.config.inverse_regularisation, class_weight=self._weights, random_state=0, max_iter=20_000
        )
        pipeline = make_pipeline(StandardScaler(), svm)
        calibrated = CalibratedClassifierCV(pipeline, method="sigmoid", cv=min(_FOLDS, smallest), ensemble=False)
        fitted = calibrated.fit(features, targets).calibrated_classifiers_[0]
        return {
            **_linear(fitted.estimator),
            "slopes": np.array([sigmoid.a_ for sigmoid in fitted.calibrators]),
            "offsets": np.array([sigmoid.b_ for sigmoid in fitted.calibrators]),
        }

    def _probabilities(self, scores: Array, state: dict[str, Array]) -> Array:
        # The logistic function through tanh does not overflow for large decision values.
        found: Array = 0.5 * (1 - np.tanh((scores * state["slopes"] + state["offsets"]) / 2))
        if found.shape[1] == 1:
            return np.concatenate([1 - found, found], 1)
        total = found.sum(1, keepdims=True)
        uniform = np.full_like(found, 1 / found.shape[1])
        return np.divide(found, total, out=uniform, where=total > 0)


def _linear(pipeline: Any) -> dict[str, Array]:
    scaler, model = pipeline[0], pipeline[-1]
    return {
        "mean": scaler.mean_,
        "scale": scaler.scale_,
        "coefficients": np.ascontiguousarray(model.coef_),
        "intercepts": np.atleast_1d(model.intercept_),
    }
