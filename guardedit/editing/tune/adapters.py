"""LoRA adapters (PEFT) on a copy of the module tree, so that the model itself is not changed.

PEFT replaces modules of the model that it is given. Here it is given a copy in which only the parents of the
adapted matrices are copied; all other modules and every tensor are shared. So the model keeps its modules,
its `requires_grad` flags and its bytes, even when training fails.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from guardedit.core.errors import UsageError
from guardedit.models.host import ModelHost
from guardedit.models.matrices import is_transposed


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One adapter: the matrix of `layer` becomes W + scale B A.

    Attributes:
        layer: decoder layer.
        A: [rank, f] float32, trainable.
        B: [d, rank] float32, trainable.
        scale: alpha / rank.
    """

    layer: int
    A: nn.Parameter
    B: nn.Parameter
    scale: float


def load_peft() -> ModuleType:
    """Import PEFT, which is an optional dependency.

    Raises:
        UsageError: when it is not installed.
    """
    try:
        return importlib.import_module("peft")
    except ImportError as error:
        raise UsageError(
            f"editing method 'lora' needs the package peft ({error}): pip install 'guardedit[lora]'"
        ) from error


def with_adapters(
    host: ModelHost, layers: Sequence[int], *, rank: int, alpha: int, generator: torch.Generator
) -> tuple[Any, list[Adapter]]:
    """A copy of the host's model with adapters on some down projections; everything else is shared.

    A is initialised with PEFT's distribution (uniform, variance 1 / (3 f)), but drawn from `generator`. B is
    zero, so the copy initially answers like the model.

    Args:
        host: locked by the caller for as long as the copy is used.
        layers: decoder layers.
        rank: of each adapter; at most that of the matrix.
        alpha: PEFT's `lora_alpha`.
        generator: for A.

    Raises:
        UsageError: when PEFT is not installed.
    """
    peft = load_peft()
    names = {layer: host.layout.mlp_out_name(layer) for layer in layers}
    transposed = any(is_transposed(host.model, f"{name}.weight") for name in names.values())
    # A regular expression, since PEFT compares the names in a list with the ends of paths: `layers.2` would
    # match `layers.12`.
    pattern = "|".join(name.replace(".", r"\.") for name in names.values())
    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=pattern, fan_in_fan_out=transposed
    )
    view = shared_copy(host.model, list(names.values()))
    with torch.random.fork_rng(devices=[]):  # PEFT draws initial weights from the global generator
        peft.inject_adapter_in_model(config, view)
    return view, [_adapter(view.get_submodule(name), layer, generator) for layer, name in names.items()]


def shared_copy(model: nn.Module, names: Sequence[str]) -> Any:
    """A copy of the model in which only the parents of the named modules are copied."""
    root = _shallow_copy(model)
    copies: dict[str, nn.Module] = {"": root}
    for name in names:
        path = name.split(".")[:-1]
        for depth in range(1, len(path) + 1):
            here = ".".join(path[:depth])
            if here not in copies:
                parent = copies[".".join(path[: depth - 1])]
                copies[here] = _shallow_copy(parent.get_submodule(path[depth - 1]))
                parent._modules[path[depth - 1]] = copies[here]  # noqa: SLF001  # as in `_shallow_copy`
    return root


def _shallow_copy(module: nn.Module) -> nn.Module:
    """A copy of the module with its own dict of children, so that one of them can be replaced."""
    found = copy.copy(module)
    found._modules = dict(module._modules)  # noqa: SLF001  # nn.Module has no public way to share all but one
    return found


def _adapter(module: Any, layer: int, generator: torch.Generator) -> Adapter:
    # Trained in float32 whatever the dtype of the model, because bf16 is too coarse for the steps.
    module.lora_A.float()
    module.lora_B.float()
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    with torch.no_grad():
        bound = a.shape[1] ** -0.5
        drawn = torch.empty(a.shape, dtype=torch.float32).uniform_(-bound, bound, generator=generator)
        a.copy_(drawn)
        b.zero_()
    return Adapter(layer=layer, A=a, B=b, scale=float(module.scaling["default"]))


def adapter_factors(adapter: Adapter) -> tuple[Tensor, Tensor]:
    """Factors of the adapter's change of W: left [d, rank], right [f, rank]."""
    return adapter.scale * adapter.B.detach(), adapter.A.detach().t()
