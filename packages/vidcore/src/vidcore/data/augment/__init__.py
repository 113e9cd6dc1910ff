"""Random changes of training clips, and the several views of a clip in testing.

    augment = Augment(config, classes=classes, kind="class")          once a run; ``augment.notes`` is to be shown
    frames, target = augment(frames, generator, target)               in the loader, before ``fit_frames``
    mixed = mix_batch(clips, targets, generator, config, classes=5)   in the trainer, on a batch of uint8 clips
    looks = views(frames, form, crops=3)                              in testing, instead of ``fit_frames``
    answer = over_views(predict, looks, chunk=4)                      their mean, so many at a time

All draws come from the ``numpy`` generator that is handed in: ``default_rng((seed, epoch, row))`` for a clip and
``default_rng((seed, epoch, step))`` for a batch make them independent of workers, order and resuming.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidcore.data.augment._clip import Augment
    from vidcore.data.augment._mix import Mixed, mix_batch
    from vidcore.data.augment._views import over_views, views

__all__ = ["Augment", "Mixed", "mix_batch", "over_views", "views"]

_HOMES = {"Augment": "_clip", "Mixed": "_mix", "mix_batch": "_mix", "over_views": "_views", "views": "_views"}


def __getattr__(name: str) -> Any:
    # Lazy: who only tests imports no augmentation, and nobody torchvision before it is used.
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"vidcore.data.augment.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
