"""A second model on the tensors of a first one."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn


def twin_of(model: Any) -> Any:
    """A second model that shares the tensors but has parameters, hooks and modes of its own; no gradients."""
    shared: dict[int, Any] = {id(p): nn.Parameter(p.data, requires_grad=False) for p in model.parameters()}
    shared |= {id(buffer): buffer for buffer in model.buffers()}
    return copy.deepcopy(model, shared)
