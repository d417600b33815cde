"""Every tensor that an answer depends on, and bringing one back that was changed in memory.

Knows modules. Does not know edits: whoever asks hands over the model as it was loaded, not as it is patched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from guardedit.models.matrices import tensor_sha256

#: Rotary embeddings that are worked out anew for every text, so that their buffers are no part of a model.
_MOVING = ("dynamic", "longrope")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a model's tensors were when they were loaded.

    Attributes:
        sha256: by tensor name.
        reload: gives the model once more; None where it came from no folder.
    """

    sha256: Mapping[str, str]
    reload: Callable[[], nn.Module] | None = None

    @staticmethod
    def of(model: nn.Module, *, reload: Callable[[], nn.Module] | None = None) -> Kept:
        """The tensors as they are now."""
        return Kept({name: tensor_sha256(tensor_of(model, name)) for name in tensor_names(model)}, reload)

    def changed(self, now: Callable[[str], Tensor]) -> list[str]:
        """Names of the tensors that `now` shows with other bytes."""
        return [name for name, sha256 in self.sha256.items() if tensor_sha256(now(name)) != sha256]

    def again(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Those of the tensors that can be loaded once more, bit for bit."""
        if self.reload is None:
            return {}
        model = self.reload()
        found = {name: tensor_of(model, name) for name in names}
        return {name: part for name, part in found.items() if tensor_sha256(part) == self.sha256[name]}


def tensor_names(model: nn.Module) -> list[str]:
    """Parameters, tied ones once, and the buffers that stay as they were loaded."""
    moving = {
        name for name, module in model.named_modules() if _names_one_of(getattr(module, "rope_type", ""))
    }
    buffers = [name for name, _ in model.named_buffers() if name.rpartition(".")[0] not in moving]
    return sorted([*(name for name, _ in model.named_parameters()), *buffers])


def tensor_of(model: nn.Module, name: str) -> Tensor:
    """A parameter or buffer as it is now."""
    module = model.get_submodule(name.rpartition(".")[0])
    found: Tensor = getattr(module, name.rpartition(".")[2])
    return found.data


@torch.no_grad()
def bring_back(model: nn.Module, name: str, good: Tensor) -> None:
    """Write a tensor's bytes where the changed ones are.

    The one place that changes bytes: whoever else points at them, as a twin of the model does, is mended too.
    A tensor that was exchanged for one of another kind is exchanged again.
    """
    now = tensor_of(model, name)
    if now.shape == good.shape and now.dtype == good.dtype:
        now.copy_(good)
        return
    module = model.get_submodule(name.rpartition(".")[0])
    getattr(module, name.rpartition(".")[2]).data = good.to(now.device)


def _names_one_of(rope_type: object) -> bool:
    return any(word in str(rope_type) for word in _MOVING)
