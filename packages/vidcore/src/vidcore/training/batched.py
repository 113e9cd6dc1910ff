"""Many models of one architecture as one computation: their parameters stacked, one call for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from vidcore.errors import TrainingError
from vidcore.features import FeatureMap
from vidcore.heads.base import Head
from vidcore.model import VideoModel
from vidcore.training.lockstep import Group
from vidcore.training.settled import vectors

_DATA, _TIMES, _MASK = "/data", "/times", "/mask"


class NotStackableError(Exception):
    """Why these models cannot be one computation. No error of a person: they can be trained one after the other."""


class MixedPrecision(Protocol):
    """The part of Fabric's precision plugin that a forward needs."""

    def forward_context(self) -> AbstractContextManager[Any]:
        """Autocast, or nothing."""
        ...

    def convert_output(self, data: Any) -> Any:
        """Outputs in the default type."""
        ...


class ModelStack:
    """K models as one: row k of ``flat`` (K, P) is what member k trains.

    What is decayed comes first in a row (matrices and more; vectors and scalars are not, as in
    ``optimisation.adamw``), so that it is one slice. Buffers, and parameters that are not trained, are stacked
    beside it in ``fixed``.

    Follows "Model ensembling" of the PyTorch documentation (``torch.func.stack_module_state``), with all parameters
    of a member in one row: clipping is then a norm per row and AdamW a dozen calls, whatever the number of tensors.

    Args:
        models: fresh and on one device; the modules of the first one are what is called.
        precision: Fabric's precision plugin.

    Raises:
        TrainingError: nothing is trained.
        NotStackableError: the members differ in names, shapes or types of their tensors, or mix types.
    """

    def __init__(self, models: Sequence[VideoModel], precision: MixedPrecision) -> None:
        probes = [_Probe(model, precision) for model in models]
        self._base = probes[0]
        self._mode: bool | None = None
        trained = {name: p for name, p in self._base.named_parameters() if p.requires_grad}
        if not trained:
            raise TrainingError("the model has no parameter to train: every part is frozen or has none")
        _check_alike(probes, trained)
        self._names = sorted(trained, key=lambda name: trained[name].ndim <= 1)
        self._shapes = [trained[name].shape for name in self._names]
        self._sizes = [shape.numel() for shape in self._shapes]
        self.decayed = sum(trained[name].numel() for name in self._names if trained[name].ndim > 1)
        tensors = [dict(probe.named_parameters()) | dict(probe.named_buffers()) for probe in probes]
        rows = [torch.cat([member[name].detach().flatten() for name in self._names]) for member in tensors]
        self.flat = torch.stack(rows).requires_grad_()
        self.fixed = {
            name: torch.stack([member[name].detach() for member in tensors])
            for name in tensors[0]
            if name not in trained
        }
        kept = self._base.state_dict()
        # What a head changes besides its parameters would be lost.
        self._head_computes = not self.fixed and _computes_many(models[0].head)
        self.averaged = {name for name, t in self.fixed.items() if name in kept and t.is_floating_point()}
        """Which of ``fixed`` a moving average of the weights is taken of: running statistics."""

    def losses(
        self, group: Group, maps: Mapping[str, FeatureMap], targets: Tensor, *, train: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The loss of every member of ``group`` on its batch, its weight, and predictions where not ``train``.

        Args:
            group: who computes, (U, M).
            maps: {stream: FeatureMap} of the U*B clips, U-major.
            targets: (U*B, ...).
            train: dropout on, and running statistics updated.

        Returns:
            (U, M) losses; (U, M) what each mean divides by (``Head.loss_weight``); (U, M, B, ...) predictions, or
            ``None``.
        """
        if self._mode is not train:
            self._base.train(train)
            self._mode = train
        flat, fixed = self.flat, self.fixed
        if group.index is not None:
            flat, fixed = flat[group.index], {name: tensor[group.index] for name, tensor in fixed.items()}
        if found := self._at_once(group, flat, maps, targets):
            return found
        loss, weight, *answers = self._call(group.shape, flat, fixed, maps, targets)
        if train and group.index is not None:
            for name, tensor in fixed.items():
                self.fixed[name].index_copy_(0, group.index, tensor)
        stacked = sum(size > 1 for size in group.shape)
        said = answers[0].reshape(*group.shape, *answers[0].shape[stacked:]) if answers else None
        return loss.reshape(group.shape), weight.reshape(group.shape), said

    @torch.no_grad()
    def alone(self, model: VideoModel, maps: Mapping[str, FeatureMap], targets: Tensor) -> Tensor:
        """The loss of one of the models by itself in eval mode."""
        probe = _Probe(model, self._base.precision).eval()
        # The first model's modules are those that are called.
        self._mode = None
        loss: Tensor = probe(_as_tensors(maps)[0], targets)[0]
        return loss

    def states(self, members: Iterable[int]) -> dict[int, dict[str, Tensor]]:
        """Tensors of ``members`` on the CPU, named as in ``VideoModel.state_dict``."""
        members = list(members)
        if not members:
            return {}
        flat = self.flat.detach().cpu()
        fixed = {name: tensor.cpu() for name, tensor in self.fixed.items()}
        # A tied parameter is one tensor under several names.
        home = {id(tensor): name for name, tensor in [*self._base.named_parameters(), *self._base.named_buffers()]}
        kept = {name: home[id(tensor)] for name, tensor in self._base.state_dict(keep_vars=True).items()}
        states = {}
        for k in members:
            parts = zip(self._names, flat[k].split(self._sizes), self._shapes, strict=True)
            found = {name: part.reshape(shape) for name, part, shape in parts}
            found |= {name: tensor[k] for name, tensor in fixed.items()}
            states[k] = {name.removeprefix("model."): found[where].clone() for name, where in kept.items()}
        return states

    def _at_once(
        self,
        group: Group,
        flat: Tensor,
        maps: Mapping[str, FeatureMap],
        targets: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """What ``losses`` gives, from a head that computes many itself; ``None``: there is none, or more to compute."""
        model, train = self._base.model, self._base.training
        if not self._head_computes or (read := vectors(model, maps)) is None:
            return None
        parts = zip(self._names, flat.split(self._sizes, 1), self._shapes, strict=True)
        own = {name.removeprefix("model.head."): part.view(*group.shape, *size) for name, part, size in parts}
        units = group.shape[0]
        with self._base.precision.forward_context():
            found = model.head.losses_of_many(own, read.unflatten(0, (units, -1)), targets.unflatten(0, (units, -1)))
        if found is None:
            self._head_computes = False
            return None
        losses, outputs = found
        weights = torch.full_like(losses, len(targets) // units, requires_grad=False)
        return losses, weights, None if train else model.head.predictions(outputs)

    def _call(
        self,
        shape: tuple[int, int],
        flat: Tensor,
        fixed: Mapping[str, Tensor],
        maps: Mapping[str, FeatureMap],
        targets: Tensor,
    ) -> Any:
        units, readers = shape
        outer = tuple(size for size in shape if size > 1)
        parts = zip(self._names, flat.split(self._sizes, 1), self._shapes, strict=True)
        tensors = {name: part.view((*outer, *size)) for name, part, size in parts}
        # Views: what a member writes into its running statistics lands in the stack.
        tensors |= {name: tensor.view((*outer, *tensor.shape[1:])) for name, tensor in fixed.items()}
        clips, dims = _as_tensors(maps)
        compute: Any = self._compute
        if readers > 1:
            compute = vmap(compute, in_dims=(0, None, None), randomness="different")
        if units > 1:
            compute = vmap(compute, in_dims=(0, dims, 0), randomness="different")
            targets = targets.unflatten(0, (units, -1))
            clips = {
                key: tensor if dims[key] is None else tensor.unflatten(0, (units, -1)) for key, tensor in clips.items()
            }
        with _stackable_kernels():
            return compute(tensors, clips, targets)

    def _compute(self, tensors: dict[str, Tensor], clips: dict[str, Tensor | None], targets: Tensor) -> Any:
        return functional_call(self._base, tensors, (clips, targets))


class _Probe(nn.Module):
    """Fusion, readout and head of a model: from features to the loss and its weight, in eval mode to predictions."""

    def __init__(self, model: VideoModel, precision: MixedPrecision) -> None:
        super().__init__()
        self.model = VideoModel({}, model.fusion, model.readout, model.head)
        self.precision = precision

    def forward(self, clips: Mapping[str, Tensor | None], targets: Tensor) -> tuple[Tensor, ...]:
        names = [key.removesuffix(_DATA) for key in clips if key.endswith(_DATA)]
        maps = {name: _as_map(clips, name) for name in names}
        with self.precision.forward_context():
            outputs = self.precision.convert_output(self.model.decide(maps))
        head = self.model.head
        loss = head.loss(outputs, targets)
        weight = torch.as_tensor(head.loss_weight(targets), dtype=loss.dtype, device=loss.device)
        return (loss, weight) if self.training else (loss, weight, head.predictions(outputs))


def _computes_many(head: Head) -> bool:
    """Whether ``losses_of_many`` is of the class that says what the loss is, or of a more derived one."""
    names = {"forward", "loss", "loss_weight", "losses_of_many"}
    last = next(kind for kind in type(head).__mro__ if names & vars(kind).keys())
    return "losses_of_many" in vars(last)


@contextmanager
def _stackable_kernels() -> Iterator[None]:
    """The fused kernels of attention have no rule for stacked inputs: they would run member by member."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _as_tensors(maps: Mapping[str, FeatureMap]) -> tuple[dict[str, Any], dict[str, int | None]]:
    """Maps as plain tensors, which ``vmap`` takes, and the dimension of each that runs over the clips."""
    clips: dict[str, Any] = {}
    dims: dict[str, int | None] = {}
    for name, fmap in maps.items():
        clips |= {name + _DATA: fmap.data, name + _TIMES: fmap.times, name + _MASK: fmap.mask}
        dims |= {
            name + _DATA: 0,
            name + _TIMES: 0 if fmap.times.dim() == 2 else None,
            name + _MASK: None if fmap.mask is None else 0,
        }
    return clips, dims


def _as_map(clips: Mapping[str, Any], name: str) -> FeatureMap:
    return FeatureMap(clips[name + _DATA], clips[name + _TIMES], clips[name + _MASK])


def _check_alike(probes: Sequence[_Probe], trained: Iterable[str]) -> None:
    def outline(probe: _Probe) -> dict[str, Any]:
        tensors = [*probe.named_parameters(), *probe.named_buffers()]
        return {name: (tuple(tensor.shape), tensor.dtype, tensor.requires_grad) for name, tensor in tensors}

    first = outline(probes[0])
    if any(outline(probe) != first for probe in probes[1:]):
        raise NotStackableError("the members are of different architectures")
    types = {first[name][1] for name in trained}
    if len(types) > 1:
        raise NotStackableError(f"parameters of several types ({', '.join(sorted(map(str, types)))})")
