"""Published parameter names -> timm's, by timm's own rules."""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor


def timm_names(published: dict[str, Tensor], network: Any) -> dict[str, Tensor]:
    """Tensors under the names of ``network``.

    Files that timm publishes hold its names. Files of the authors that timm refers to (OpenCLIP, DINOv2,
    DeiT, ...) go through the ``checkpoint_filter_fn`` of the architecture's module, as in timm's own loading.
    """
    if network.state_dict().keys() <= published.keys():
        return published
    rules = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    return published if rules is None else dict(rules(published, network))
