"""What is checked of every component that is a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_model, save_model
from torch.nn.modules.batchnorm import _BatchNorm

from vidcore.testing._tensors import apply, awaken, difference, leaves, rows, same
from vidcore.testing.component import fail
from vidcore.testing.variation import VariationConformance

# Float32 sums of a different order (another batch size, another kernel) differ by about 1e-6 relative.
CLOSE = 1e-4
# Kernels add in another order where the batch has another size, and a deep network of random weights amplifies that.
OTHER_SIZE = 1e-3


class FirstRun(NamedTuple):
    """One pass of a network."""

    module: Any
    before: Any
    inputs: Any
    outputs: Any


class ModuleConformance(VariationConformance):
    """Base of the suites of networks: how one is built, fed and run, and the checks all share."""

    def build(self, **options: Any) -> Any:
        """The network in eval mode, as it is initialised."""
        return super().build(**options).eval()

    def ready(self, **options: Any) -> Any:
        """The network in eval mode, its parameters moved off their initial values: zeros hide nothing.

        Batch normalisations get the statistics of one batch. With those they are built with, a deep network
        shrinks its signal at every layer, until nothing of the input is left for a check to see.
        """
        module = awaken(self.build(**options))
        norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
        if not norms:
            return module
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        self._seeded(module.train(), self.inputs(module))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        return module.eval()

    def inputs(self, module: Any, seed: int = 0) -> Any:
        """What ``run`` takes: a batch of at least two rows."""
        raise TypeError(f"{type(self).__name__} does not say what its component takes")

    def run(self, module: Any, inputs: Any) -> Any:
        """One pass: tensors, feature maps, or mappings of them."""
        return module(inputs)

    def observe(self, module: Any) -> Iterator[Any]:
        """State, what asks for gradients, and outputs in eval and in training mode."""
        state = module.state_dict()
        yield [(name, tuple(tensor.shape)) for name, tensor in state.items()]
        yield [(name, parameter.requires_grad) for name, parameter in module.named_parameters()]
        yield {name: tensor.clone() for name, tensor in state.items()}
        inputs = self.inputs(module)
        yield self._seeded(awaken(module.eval()), inputs)
        # Twice, because dropout and running statistics show in the second pass too.
        yield [self._seeded(module.train(), inputs), self._seeded(module, inputs)]
        yield module.state_dict()

    def _seeded(self, module: Any, inputs: Any) -> Any:
        torch.manual_seed(1)
        with torch.no_grad():
            return apply(torch.clone, self.run(module, inputs))

    def first_run(self) -> FirstRun:
        """The network, its input before and after one pass, and the output: shared by the checks that need no more."""
        return self.remembered("first run", self._first_run)

    def _first_run(self) -> FirstRun:
        module = self.ready()
        inputs = self.inputs(module)
        before = apply(torch.clone, inputs)
        return FirstRun(module, before, inputs, self._seeded(module, inputs))

    def test_finite(self) -> None:
        """Outputs hold no NaN and no infinity."""
        for path, tensor in leaves(self.first_run().outputs):
            if not bool(tensor.isfinite().all()):
                fail(f"{path} has {int((~tensor.isfinite()).sum())} values that are not finite")

    def test_input_unchanged(self) -> None:
        """The input is not written to."""
        run = self.first_run()
        for (path, a), (_, b) in zip(leaves(run.before), leaves(run.inputs), strict=True):
            if not same(a, b):
                fail(f"the input {path} was changed in place")

    def test_deterministic(self) -> None:
        """In eval mode the same input gives the same output, whatever the state of the random generator."""
        run = self.first_run()
        with torch.no_grad():
            torch.manual_seed(2)
            second = self.run(run.module, apply(torch.clone, run.before))
        for (path, a), (_, b) in zip(leaves(run.outputs), leaves(second), strict=True):
            if difference(b, a) > 1e-6:
                fail(f"{path} differs by {difference(b, a):.1e} between two runs on the same input in eval mode")

    def test_batch_rows(self) -> None:
        """A row's output does not depend on the other rows of its batch."""
        run = self.first_run()
        for place in range(2):
            twice = self._seeded(run.module, rows(run.before, place, place))
            for (path, a), (_, b) in zip(leaves(rows(run.outputs, place)), leaves(rows(twice, place)), strict=True):
                if difference(a, b) > CLOSE:
                    fail(f"row {place} of {path} differs by {difference(a, b):.1e} beside another row: rows mix")
        alone = self._seeded(run.module, rows(run.before, 0))
        for (path, a), (_, b) in zip(leaves(rows(run.outputs, 0)), leaves(alone), strict=True):
            if difference(a, b) > OTHER_SIZE:
                fail(f"row 0 of {path} differs by {difference(a, b):.1e} in a batch and alone: rows mix")

    def test_gradients(self) -> None:
        """A gradient that is not zero reaches every parameter that asks for one."""
        module = self.ready()
        total = torch.zeros(())
        generator = torch.Generator().manual_seed(3)
        for _, tensor in leaves(self.run(module, self.inputs(module))):
            if tensor.requires_grad:
                # Random weights: a plain sum is constant behind a normalisation, and its gradient zero.
                weight = torch.randn(tensor.shape, generator=generator).to(tensor)
                total = total + (tensor * weight).sum() / tensor.numel() ** 0.5
        if total.requires_grad:
            total.backward()
        wanted = {name: p for name, p in module.named_parameters() if p.requires_grad}
        unreached = [name for name, p in wanted.items() if p.grad is None or not bool(p.grad.any())]
        if unreached:
            fail(f"no gradient reaches {len(unreached)} of {len(wanted)} parameters: {', '.join(unreached)}")

    def test_meta_device(self) -> None:
        """It can be constructed and run on the meta device: no tensor is created elsewhere, none is read."""
        with torch.device("meta"):
            module = self.build()
        stray = [name for name, tensor in module.state_dict().items() if tensor.device.type != "meta"]
        if stray:
            fail(f"built under the meta device, yet not on it: {', '.join(stray)}")
        on_meta = self.run_on_meta(module)
        for (path, a), (_, b) in zip(leaves(on_meta), leaves(self.first_run().outputs), strict=True):
            if a.shape != b.shape:
                fail(f"{path} is {tuple(a.shape)} on the meta device and {tuple(b.shape)} on the CPU")

    def run_on_meta(self, module: Any) -> Any:
        """One pass of a module that lives on the meta device."""
        with torch.no_grad():
            return self.run(module, apply(lambda tensor: tensor.to("meta"), self.inputs(module)))

    def test_safetensors(self, tmp_path: Path) -> None:
        """Saved and loaded into a module with other weights, it gives the same output."""
        run = self.first_run()
        save_model(run.module, str(tmp_path / "model.safetensors"))
        torch.manual_seed(4)
        other = self.construct(self.config()).eval()
        load_model(other, tmp_path / "model.safetensors")
        after = self._seeded(other, apply(torch.clone, run.before))
        for (path, a), (_, b) in zip(leaves(run.outputs), leaves(after), strict=True):
            if difference(b, a) > CLOSE:
                fail(f"{path} differs by {difference(b, a):.1e} after saving and loading: some state is not saved")
