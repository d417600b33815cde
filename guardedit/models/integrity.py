"""Digest a model, and detect and undo changes of its tensors in memory.

Edits are unknown here: the caller must pass the tensors of the base model, not those of a patched one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol
from weakref import WeakSet

import torch
from torch import Tensor, nn

from guardedit.core.errors import WrongBaseModel
from guardedit.models.matrices import tensor_sha256

#: Kinds of rotary embedding that recompute their buffers for every text; these buffers are not checked.
_RECOMPUTED = ("dynamic", "longrope")


class Cache(Protocol):
    """Keeps numbers that depend on a model's tensors."""

    def forget(self) -> None:
        """Drop them; called in any thread."""


@dataclass(frozen=True, slots=True)
class LoadedTensors:
    """Digests of a model's tensors when it was loaded, and a way to load it again.

    Attributes:
        sha256: tensor name -> digest.
        reload: loads the model again; None if it does not come from a folder.
        caches: what was computed with the tensors, of all models that share them.
    """

    sha256: Mapping[str, str]
    reload: Callable[[], nn.Module] | None = None
    caches: WeakSet[Cache] = field(default_factory=WeakSet, compare=False, repr=False)

    @staticmethod
    def of(model: nn.Module, *, reload: Callable[[], nn.Module] | None = None) -> LoadedTensors:
        """Digest the tensors as they are now."""
        digests = {name: tensor_sha256(tensor_of(model, name)) for name in tensor_names(model)}
        return LoadedTensors(digests, reload)

    def changed(self, now: Callable[[str], Tensor]) -> list[str]:
        """Names of the tensors whose bytes have changed; `now` gives the current tensor of a name."""
        return [name for name, sha256 in self.sha256.items() if tensor_sha256(now(name)) != sha256]

    def reloaded(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Load the model again; returns name -> tensor for those that are bit for bit as they were."""
        if self.reload is None:
            return {}
        model = self.reload()
        found = {name: tensor_of(model, name) for name in names}
        return {name: part for name, part in found.items() if tensor_sha256(part) == self.sha256[name]}

    def repair(
        self,
        model: nn.Module,
        now: Callable[[str], Tensor],
        *,
        lock: AbstractContextManager[object],
    ) -> list[str]:
        """Compare every tensor with what was loaded, and restore those that changed in memory.

        All caches then forget: they may hold what was computed with the changed bytes.

        Args:
            model: the one that was loaded.
            now: gives the base model's tensor of a name.
            lock: held for one tensor at a time.

        Returns:
            One sentence for each tensor that was restored.

        Raises:
            WrongBaseModel: when a tensor cannot be restored; the others are.
        """
        changed = self.changed(now)
        good = self.reloaded(changed) if changed else {}
        for name, tensor in good.items():
            with lock:
                restore_tensor(model, name, tensor)
        for cache in list(self.caches) if good else ():
            cache.forget()
        if lost := [name for name in changed if name not in good]:
            raise WrongBaseModel(
                f"{', '.join(lost)} changed in memory and cannot be loaded again as it was: "
                "restore the model folder and restart this process"
            )
        return [f"{name} was changed in memory; it was loaded again" for name in changed]


def model_sha256(model: Any, sha256: Mapping[str, str]) -> str:
    """Digest of a model: its architecture, and names and digests of its parameters.

    Args:
        model: a Hugging Face causal language model.
        sha256: digests of its tensors by name.
    """
    architecture = type(model).__name__
    parts = {name: sha256[name] for name, _ in model.named_parameters()}
    body = json.dumps([architecture, model.config.model_type, dict(sorted(parts.items()))])
    return hashlib.sha256(body.encode()).hexdigest()


def tensor_names(model: nn.Module) -> list[str]:
    """Names of the parameters (tied ones once) and of the buffers that a forward pass does not change."""
    recomputed = {
        name for name, module in model.named_modules() if _is_recomputed(getattr(module, "rope_type", ""))
    }
    buffers = [name for name, _ in model.named_buffers() if name.rpartition(".")[0] not in recomputed]
    return sorted([*(name for name, _ in model.named_parameters()), *buffers])


def tensor_of(model: nn.Module, name: str) -> Tensor:
    """A parameter or buffer as it is now."""
    module = model.get_submodule(name.rpartition(".")[0])
    found: Tensor = getattr(module, name.rpartition(".")[2])
    return found.data


@torch.no_grad()
def restore_tensor(model: nn.Module, name: str, good: Tensor) -> None:
    """Copy the bytes of `good` into a tensor of the model.

    This is the only code that writes into a tensor's memory. So every other user of the tensor, such as a
    twin of the model, is repaired too. If shape or dtype differ, the tensor is replaced instead.
    """
    now = tensor_of(model, name)
    if now.shape == good.shape and now.dtype == good.dtype:
        now.copy_(good)
        return
    module = model.get_submodule(name.rpartition(".")[0])
    getattr(module, name.rpartition(".")[2]).data = good.to(now.device)


def _is_recomputed(rope_type: object) -> bool:
    return any(word in str(rope_type) for word in _RECOMPUTED)
