"""The heads' own arithmetic gives scikit-learn's probabilities, and what they refuse they refuse in words."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidcore.errors import DataError, ShapeError, VidcoreError, WeightsError
from vidcore.heads.base import TargetInfo


def build(name: str, classes: int, **options):
    spec = installed().find("head", name)[0].spec
    names = tuple(f"class{i}" for i in range(classes))
    return load_target(spec)(spec, component_config(spec, options), TargetInfo("class", names))


def rows(classes: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(classes)
    # 20 rows of the first class, 40 of the second, 60 of the third.
    targets = np.repeat(np.arange(classes), 20 * (1 + np.arange(classes)))
    centres = generator.standard_normal((classes, 5))
    return (centres[targets] + generator.standard_normal((len(targets), 5))) * [1, 100, 0.01, 5, 1], targets


@pytest.mark.parametrize("name", ["logistic_regression", "linear_svm"])
def test_balancing_favours_the_rare_class(name):
    features, targets = rows(3)
    shares = {}
    for weights in ("none", "balanced"):
        head = build(name, 3, class_weights=weights)
        head.fit(features, targets)
        shares[weights] = head.predict(features)[:, 0].mean()
    assert shares["balanced"] > shares["none"] + 1e-3


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_scikit_learn_s(classes):
    features, targets = rows(classes)
    logistic = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.3, max_iter=1000, tol=1e-6, class_weight="balanced")
    )
    svm = CalibratedClassifierCV(
        make_pipeline(StandardScaler(), LinearSVC(C=0.3, random_state=0, max_iter=20_000, class_weight="balanced")),
        method="sigmoid",
        cv=5,
        ensemble=False,
    )
    for name, model in (("logistic_regression", logistic), ("linear_svm", svm)):
        head = build(name, classes, inverse_regularisation=0.3, class_weights="balanced")
        head.fit(features, targets)
        expected = model.fit(features, targets).predict_proba(features)
        assert np.abs(head.predict(features) - expected).max() < 1e-9, name
        other = build(name, classes)
        other.load_state(head.state())
        assert np.array_equal(other.predict(features), head.predict(features))


def test_state_is_plain_arrays():
    for name in ("logistic_regression", "linear_svm"):
        head = build(name, 3)
        head.fit(*rows(3))
        for array in head.state().values():
            assert isinstance(array, np.ndarray) and array.dtype == np.float64


def test_a_constant_feature_is_harmless():
    features, targets = rows(2)
    features[:, 0] = 7
    for name in ("logistic_regression", "linear_svm"):
        head = build(name, 2)
        head.fit(features, targets)
        assert np.isfinite(head.predict(features)).all()


@pytest.mark.parametrize("name", ["logistic_regression", "linear_svm"])
def test_refusals_name_what_is_wrong(name):
    features, targets = rows(3)
    head = build(name, 3)
    with pytest.raises(VidcoreError, match=rf"head '{name}' is not fitted; call fit"):
        head.predict(features)
    with pytest.raises(DataError, match="of every class; too few of: class1"):
        head.fit(features[targets != 1], targets[targets != 1])
    head.fit(features, targets)
    with pytest.raises(ShapeError, match=r"was fitted on 5 features; got an array \(120, 4\)"):
        head.predict(features[:, :4])
    state = head.state()
    del state["scale"]
    with pytest.raises(WeightsError, match=f"the state of head '{name}' lacks scale"):
        head.load_state(state)
