"""LoRA adapters on a copy of the module tree, so that the model itself never meets them.

PEFT replaces modules inside the model it is given. It is given a copy here: the modules on the way from the
root to the adapted matrices are copied, all others and every tensor are shared. So the model keeps its
modules, its `requires_grad` flags and its bytes whatever happens, also where training breaks off. Knows
PEFT. Does not know facts or losses.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

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


def adapted(
    host: ModelHost, layers: Sequence[int], *, rank: int, alpha: int, generator: torch.Generator
) -> tuple[Any, list[Adapter]]:
    """A model that shares everything with the host's but has adapters on some down projections.

    A starts as PEFT starts it (uniform, variance 1 / 3 f), but drawn from `generator`; B starts at zero, so
    the model answers as before.

    Args:
        host: locked by the caller for as long as the copy is used.
        layers: decoder layers.
        rank: of each adapter; no more than the matrix has.
        alpha: PEFT's `lora_alpha`.
        generator: for A.
    """
    from peft import LoraConfig, inject_adapter_in_model

    names = {layer: host.layout.mlp_out_name(layer) for layer in layers}
    transposed = any(is_transposed(host.model, f"{name}.weight") for name in names.values())
    # A pattern, since a list of names would match their endings: `layers.2` in `layers.12`.
    pattern = "|".join(name.replace(".", r"\.") for name in names.values())
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=pattern, fan_in_fan_out=transposed
    )
    view = shared_copy(host.model, list(names.values()))
    with torch.random.fork_rng(devices=[]):  # PEFT draws a start of its own, from the global state
        inject_adapter_in_model(config, view)
    return view, [_adapter(view.get_submodule(name), layer, generator) for layer, name in names.items()]


def shared_copy(model: nn.Module, names: Sequence[str]) -> Any:
    """A copy of the modules above the named ones; everything else is the same object."""
    root = _opened(model)
    copies: dict[str, nn.Module] = {"": root}
    for name in names:
        path = name.split(".")[:-1]
        for depth in range(1, len(path) + 1):
            here = ".".join(path[:depth])
            if here not in copies:
                parent = copies[".".join(path[: depth - 1])]
                copies[here] = _opened(parent.get_submodule(path[depth - 1]))
                parent._modules[path[depth - 1]] = copies[here]  # noqa: SLF001  # as in `_opened`
    return root


def _opened(module: nn.Module) -> nn.Module:
    """A copy with a list of children of its own, so that one of them can be replaced."""
    found = copy.copy(module)
    found._modules = dict(module._modules)  # noqa: SLF001  # nn.Module has no public way to share all but one
    return found


def _adapter(module: Any, layer: int, generator: torch.Generator) -> Adapter:
    # Trained in float32 whatever the model's dtype: steps are smaller than bf16 can show.
    module.lora_A.float()
    module.lora_B.float()
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    with torch.no_grad():
        bound = a.shape[1] ** -0.5
        drawn = torch.empty(a.shape, dtype=torch.float32).uniform_(-bound, bound, generator=generator)
        a.copy_(drawn)
        b.zero_()
    return Adapter(layer=layer, A=a, B=b, scale=float(module.scaling["default"]))


def written(adapter: Adapter) -> tuple[Tensor, Tensor]:
    """Factors of what the adapter adds to W: left [d, rank], right [f, rank]."""
    return adapter.scale * adapter.B.detach(), adapter.A.detach().t()
