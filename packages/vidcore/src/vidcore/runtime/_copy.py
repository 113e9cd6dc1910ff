"""Copies of an extractor that share its weights and may be rebuilt without touching it."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)

_OWN_DICTS = ("_parameters", "_buffers", "_forward_hooks", "_forward_pre_hooks", "_non_persistent_buffers_set")


def share(module: Module, done: dict[int, nn.Module] | None = None) -> Module:
    """The same tree of modules with the same tensors, in evaluation mode; no memory but that of the tree.

    A module that occurs twice in the tree occurs twice in the copy. What a module keeps outside its tree (plain
    lists, bound methods) is not copied, so replaced modules are not seen from there.
    """
    done = {} if done is None else done
    if id(module) not in done:
        copy: Any = type(module).__new__(type(module))
        copy.__dict__ = {**module.__dict__, "training": False}
        for name in _OWN_DICTS:
            copy.__dict__[name] = module.__dict__[name].copy()
        done[id(module)] = copy
        copy.__dict__["_modules"] = {
            name: None if child is None else share(child, done) for name, child in module._modules.items()
        }
    return done[id(module)]  # type: ignore[return-value]


def replace(root: nn.Module, name: str, module: nn.Module) -> None:
    """Put ``module`` in the place of the descendant called ``name``."""
    parent, _, last = name.rpartition(".")
    root.get_submodule(parent)._modules[last] = module
