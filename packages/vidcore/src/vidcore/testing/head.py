"""The conformance suite of heads that are trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from vidcore.catalog import Kind, load_target
from vidcore.errors import VidcoreError, WiringError
from vidcore.features import ReadoutInfo
from vidcore.heads.base import Head, TargetInfo
from vidcore.testing._targets import TARGET_KINDS, numbers, target_info
from vidcore.testing.component import fail
from vidcore.testing.module import ModuleConformance

# Updates in which a head must fit sixteen rows whose features may move as well; a linear one needs about 30.
UPDATES = 300


class HeadConformance(ModuleConformance):
    """Every check of a head; ``class TestClassification(HeadConformance): name = "classification"`` is enough.

    ``features`` is what the readout gives, by default one vector per clip, or one per step where the head
    refuses that. Heads for counts also say how their targets look: ``right_targets``.
    """

    kind: ClassVar[Kind] = "head"
    base: ClassVar[str] = "vidcore.heads.base.Head"
    features: ClassVar[ReadoutInfo | None] = None
    rows: ClassVar[int] = 16
    steps: ClassVar[int] = 6

    def construct(self, config: Any) -> Head:
        """The head of the class's features, for the first kind of targets that it takes with these options."""
        shapes = [self.features] if self.features else [ReadoutInfo(32), ReadoutInfo(32, per_step=True)]
        kinds = [self.spec.targets, *(kind for kind in TARGET_KINDS if kind != self.spec.targets)]
        refused: WiringError | None = None
        for kind in kinds:
            for shape in shapes:
                try:
                    return self._head(config, shape, target_info(kind))
                except WiringError as exc:
                    refused = refused or exc
        raise refused or TypeError("no features to build a head for")

    def _head(self, config: Any, features: ReadoutInfo, targets: TargetInfo) -> Head:
        head: Head = load_target(self.spec)(self.spec, config, features, targets)
        return head

    def inputs(self, module: Head, seed: int = 0) -> Tensor:
        """What a readout would give: (rows, K) or (rows, steps, K)."""
        steps = (self.steps,) if module.features.per_step else ()
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(self.rows, *steps, module.features.dim, generator=generator)

    def right_targets(self, module: Head) -> Tensor:
        """The targets of the rows: class indices (rows,), {0, 1} (rows, C) for several labels a clip, or numbers
        (rows, *shape) of a head that is told the shape of its targets.
        """
        classes = len(module.targets.classes)
        if module.targets.shape:
            return numbers(module.targets, self.rows)
        if module.targets.kind not in ("class", "multilabel"):
            fail(f"the suite of a head for {module.targets.kind} targets defines right_targets(self, module)")
        if module.targets.kind == "class":
            return torch.arange(self.rows) % classes
        return (torch.arange(self.rows)[:, None] >> torch.arange(classes)) & 1

    def wrong_targets(self, module: Head) -> Tensor:
        """Targets that are wrong for every row."""
        right = self.right_targets(module)
        if module.targets.kind == "class":
            return (right + 1) % len(module.targets.classes)
        return 1 - right if module.targets.kind == "multilabel" else right + 1 + right.abs().amax()

    def observe(self, module: Head) -> Iterator[Any]:
        """Also the loss, the predictions and the metrics."""
        yield module.targets.kind
        yield from super().observe(module)
        for training in (False, True):
            torch.manual_seed(1)
            outputs = module.train(training)(self.inputs(module))
            yield module.loss(outputs, self.right_targets(module)).detach()
            yield module.predictions(outputs).detach()
        yield [(name, repr(metric)) for name, metric in module.metrics().items()]

    def test_loss(self) -> None:
        """The loss is one finite number, and lower for the right answer than for a wrong one."""
        module, outputs = self.fitted()
        right = module.loss(outputs, self.right_targets(module))
        wrong = module.loss(outputs, self.wrong_targets(module))
        for label, loss in (("right", right), ("wrong", wrong)):
            if loss.dim() != 0 or not bool(loss.isfinite()):
                fail(f"the loss for {label} targets is {loss.detach()!r}; expected one finite number")
        if not float(right.detach()) < float(wrong.detach()):
            fail(
                f"fitted to its targets, the loss is {float(right):.4f} for them and {float(wrong):.4f} for wrong ones"
            )

    def test_loss_gradients(self) -> None:
        """A gradient of the loss reaches every parameter and the features."""
        module = self.ready()
        features = self.inputs(module).requires_grad_()
        module.loss(module(features), self.right_targets(module)).backward()
        tensors = {"(the features)": features, **dict(module.named_parameters())}
        unreached = [n for n, t in tensors.items() if t.requires_grad and (t.grad is None or not bool(t.grad.any()))]
        if unreached:
            fail(f"no gradient of the loss reaches {', '.join(unreached)}")

    def test_metrics(self) -> None:
        """Perfect on perfect predictions, worse on wrong targets, and fresh at every call."""
        module, outputs = self.fitted()
        predictions = module.predictions(outputs).detach()
        right = self._scores(module, predictions, self.right_targets(module))
        wrong = self._scores(module, predictions, self.wrong_targets(module))
        for name, metric in module.metrics().items():
            if not bool(right[name].isfinite().all()):
                fail(f"metric {name!r} of perfect predictions is {right[name]}")
            if metric.higher_is_better and metric.plot_upper_bound == 1.0 and float(right[name].mean()) < 0.99:
                fail(f"metric {name!r} of perfect predictions is {float(right[name].mean()):.4f}; expected 1")
            if metric.higher_is_better is None:
                fail(f"metric {name!r} does not say whether higher is better")
            sign = 1 if metric.higher_is_better else -1
            if sign * float(right[name].mean()) <= sign * float(wrong[name].nan_to_num().mean()):
                fail(f"metric {name!r} is {right[name]} for perfect predictions and {wrong[name]} for wrong ones")

    def test_score(self) -> None:
        """The score by which the best epoch is chosen is one of the metrics."""
        module = self.ready()
        names = list(module.metrics().keys())
        if module.score not in names:
            fail(f"score is {module.score!r}; the metrics are {', '.join(names)}")

    def _scores(self, module: Head, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        metrics = module.metrics()
        if not isinstance(metrics, MetricCollection) or not len(metrics):
            fail(f"metrics() gave {metrics!r}; expected a MetricCollection of at least one metric")
        metrics.update(predictions, targets)
        return {name: torch.as_tensor(value) for name, value in metrics.compute().items()}

    def test_wrong_targets_refused(self) -> None:
        """Data with targets of another kind is refused when the head is built, naming both kinds."""
        config, built = self.config(), self.build()
        for kind in TARGET_KINDS:
            if kind == built.targets.kind:
                continue
            try:
                self._head(config, built.features, target_info(kind))
            except VidcoreError as exc:
                if kind not in str(exc) or self.spec.name not in str(exc):
                    fail(f"the refusal of {kind} targets does not name them and {self.spec.name!r}: {exc}")
            else:
                fail(f"{kind} targets are accepted; the spec says {self.spec.targets}")

    def fitted(self) -> tuple[Any, dict[str, Tensor]]:
        """The head and its outputs after fitting parameters and features to the right targets."""
        module = self.ready()
        features = self.inputs(module).requires_grad_()
        targets = self.right_targets(module)
        optimiser = torch.optim.Adam([features, *module.parameters()], lr=0.05)
        for _ in range(UPDATES):
            optimiser.zero_grad()
            module.loss(module(features), targets).backward()
            optimiser.step()
        with torch.no_grad():
            return module, module(features)
