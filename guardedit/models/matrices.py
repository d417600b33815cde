"""Read, exchange and digest single weight matrices. `write` is the only function that exchanges weights.

"Math orientation" is [d, f], as in W @ k. "Stored" is the parameter's own orientation: [f, d] for Conv1D
(GPT-2), [d, f] for Linear.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from guardedit.core.errors import EditError


def read_matrix(model: nn.Module, name: str) -> Tensor:
    """The parameter `name` in math orientation [d, f]: a view of the parameter, do not change it."""
    stored = _parameter(model, name).detach()
    return stored.t() if is_transposed(model, name) else stored


def to_stored(model: nn.Module, name: str, matrix: Tensor) -> Tensor:
    """A matrix [d, f] in the orientation, device and dtype of the parameter `name`; cast only once."""
    parameter = _parameter(model, name)
    turned = matrix.t() if is_transposed(model, name) else matrix
    return turned.to(device=parameter.device, dtype=parameter.dtype).contiguous()


def write(model: nn.Module, name: str, stored: Tensor) -> Tensor:
    """Let the parameter `name` point at `stored`, [d, f] or [f, d]; returns the tensor it pointed at before.

    Nothing is copied and the previous tensor is not changed, so writing it back restores every bit.

    Raises:
        EditError: when shape or dtype differ from the parameter's.
    """
    parameter = _parameter(model, name)
    if stored.shape != parameter.shape or stored.dtype != parameter.dtype:
        raise EditError(
            f"{name} is {tuple(parameter.shape)} {parameter.dtype}, "
            f"got {tuple(stored.shape)} {stored.dtype}: fold for this model"
        )
    previous = parameter.data
    parameter.data = stored.to(parameter.device)
    return previous


def is_transposed(model: nn.Module, name: str) -> bool:
    """Whether the parameter is stored as [f, d]. The module's class decides: shapes may be square."""
    return isinstance(model.get_submodule(name.rpartition(".")[0]), Conv1D)


def tensor_sha256(tensor: Tensor) -> str:
    """Digest of dtype, shape and bytes."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    digest = hashlib.sha256(f"{tensor.dtype}{list(tensor.shape)}".encode())
    digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _parameter(model: nn.Module, name: str) -> nn.Parameter:
    try:
        return model.get_parameter(name)
    except AttributeError as error:
        raise EditError(
            f"the model has no parameter {name!r}: was the edit made for another model?"
        ) from error
