"""The conformance suite of heads that are fitted in one go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from vidcore.catalog import Kind, load_target
from vidcore.errors import VidcoreError
from vidcore.heads.base import FittedHead
from vidcore.testing._targets import target_info
from vidcore.testing.component import fail
from vidcore.testing.variation import VariationConformance

Array = npt.NDArray[Any]


class FittedHeadConformance(VariationConformance):
    """Every check of a fitted head; its ``name`` is enough. It is fitted to 100 rows of four classes."""

    kind: ClassVar[Kind] = "head"
    base: ClassVar[str] = "vidcore.heads.base.FittedHead"

    def construct(self, config: Any) -> FittedHead:
        """The head for the spec's kind of targets, not fitted yet."""
        head: FittedHead = load_target(self.spec)(self.spec, config, target_info(self.spec.targets))
        return head

    def rows(self, apart: float = 1.0) -> tuple[Array, Array]:
        """Features (100, 6) float32 and class indices (100,): clouds whose centres lie ``apart``, on uneven scales.

        Classes are as frequent as the head was told, unequally: balancing them makes a difference.
        """
        generator = np.random.default_rng(0)
        counts = target_info("class").counts
        targets = generator.permutation(np.repeat(np.arange(len(counts)), counts))
        centres = apart * generator.standard_normal((len(counts), 6))
        features = (centres[targets] + generator.standard_normal((len(targets), 6))) * 10.0 ** np.arange(-2, 4)
        return features.astype(np.float32), targets

    def fitted(self, apart: float = 1.0, **options: Any) -> FittedHead:
        """The head, fitted to ``rows``."""
        head: FittedHead = self.build(**options)
        head.fit(*self.rows(apart))
        return head

    def observe(self, built: FittedHead) -> Iterator[Any]:
        """What was fitted, and the probabilities."""
        features, targets = self.rows()
        built.fit(features, targets)
        yield {name: array.tolist() for name, array in built.state().items()}
        yield built.predict(features).tolist()

    def test_fit_predict(self) -> None:
        """Probabilities (N, C) that sum to one and find the classes of clouds that lie apart."""
        features, targets = self.rows(apart=20)
        got = self.fitted(apart=20).predict(features)
        if got.shape != (100, 4):
            fail(f"predict gave {got.shape} for 100 rows of 4 classes; expected (100, 4)")
        if not (np.isfinite(got).all() and (got >= 0).all() and np.allclose(got.sum(1), 1, atol=1e-4)):
            fail("predict gave rows that are not probabilities: finite, not negative, summing to 1")
        score = float((got.argmax(1) == targets).mean())
        if score < 0.95:
            fail(
                f"fitted to clouds that lie 20 standard deviations apart, {score:.0%} of them are found; expected 95 %"
            )

    def test_deterministic(self) -> None:
        """Fitted twice to the same rows, it gives the same probabilities."""
        features, _ = self.rows()
        if not np.array_equal(self.fitted().predict(features), self.fitted().predict(features)):
            fail("two fits to the same rows give different probabilities")

    def test_rows(self) -> None:
        """A row's probabilities do not depend on the other rows asked for."""
        features, _ = self.rows()
        head = self.fitted()
        if not np.allclose(head.predict(features)[7:8], head.predict(features[7:8]), atol=1e-5):
            fail("a row's probabilities differ in a batch and alone")

    def test_input_unchanged(self) -> None:
        """Neither fit nor predict writes to its input."""
        features, targets = self.rows()
        before = features.copy(), targets.copy()
        head = self.build()
        head.fit(features, targets)
        head.predict(features)
        if not (np.array_equal(before[0], features) and np.array_equal(before[1], targets)):
            fail("fit or predict changed its input in place")

    def test_safetensors(self, tmp_path: Path) -> None:
        """What was fitted, saved as safetensors and loaded into a fresh head, gives the same probabilities."""
        features, _ = self.rows()
        head = self.fitted()
        state = {name: np.ascontiguousarray(array) for name, array in head.state().items()}
        save_file(state, tmp_path / "head.safetensors")
        other: FittedHead = self.build()
        other.load_state(load_file(tmp_path / "head.safetensors"))
        if not np.allclose(other.predict(features), head.predict(features), atol=1e-6):
            fail("after saving and loading the state the probabilities differ: some of what is fitted is not in it")

    def test_missing_class(self) -> None:
        """A class without a row keeps its column, or is refused with a readable error."""
        features, targets = self.rows()
        head = self.build()
        try:
            head.fit(features[targets != 2], targets[targets != 2])
        except VidcoreError:
            return
        got = head.predict(features)
        if got.shape != (100, 4):
            fail(f"fitted to rows without one of 4 classes, predict gave {got.shape}; expected (100, 4) or a refusal")
        if not (got.argmax(1) != 2).all():
            fail("a class that no row had is predicted")
