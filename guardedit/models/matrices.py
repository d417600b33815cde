"""Read, exchange and digest single weight matrices. `write` is the only function that exchanges weights.

"Math orientation" is [d, f], as in W @ k. "Stored" is the parameter's own orientation: [f, d] for Conv1D
(GPT-2), [d, f] for Linear.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from guardedit.core.errors import EditError


def read_matrix(model: nn.Module, name: str) -> Tensor:
    """The parameter `name` in math orientation [d, f]: a view of the parameter, do not change it."""
    stored = _parameter(model, name).detach()
    return stored.t() if is_transposed(model, name) else stored


def to_stored(model: nn.Module, name: str, matrix: Tensor) -> Tensor:
    """A matrix [d, f] in the orientation and device of the parameter `name` and in its `edited_dtype`.

    It is cast only once.
    """
    parameter = _parameter(model, name)
    turned = matrix.t() if is_transposed(model, name) else matrix
    return turned.to(device=parameter.device, dtype=edited_dtype(parameter.dtype)).contiguous()


def edited_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of an edited matrix: float32 for a parameter of 16 bits, else that of the parameter.

    Edits are small beside the matrix: of a change by a thousandth, bf16 with its 8 bits would keep nothing.
    """
    return torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype


def let_edited_run(module: nn.Module) -> None:
    """Let a module with a matrix of 16 bits run with one in `edited_dtype` too.

    Its input and output are cast while it has one. With its own matrix nothing changes.
    """
    assert isinstance(module.weight, Tensor)
    dtype = module.weight.dtype
    edited = edited_dtype(dtype)
    if edited == dtype:
        return

    def before(matrix: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(_cast(part, dtype, edited) for part in args) if _is(matrix, edited) else args

    def after(matrix: nn.Module, _: Any, output: Any) -> Any:
        return _cast(output, edited, dtype) if _is(matrix, edited) else output

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after)


def write(model: nn.Module, name: str, stored: Tensor) -> Tensor:
    """Let the parameter `name` point at `stored`, [d, f] or [f, d]; returns the tensor it pointed at before.

    Nothing is copied and the previous tensor is not changed, so writing it back restores every bit.

    Raises:
        EditError: when the shape differs from the parameter's, or the `edited_dtype` does.
    """
    parameter = _parameter(model, name)
    alike = {edited_dtype(part.dtype) for part in (stored, parameter)}
    if stored.shape != parameter.shape or len(alike) != 1:
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


def _is(module: nn.Module, dtype: torch.dtype) -> bool:
    weight = module.weight
    return isinstance(weight, Tensor) and weight.dtype == dtype


def _cast(part: Any, given: torch.dtype, wanted: torch.dtype) -> Any:
    return part.to(wanted) if isinstance(part, Tensor) and part.dtype == given else part


def _parameter(model: nn.Module, name: str) -> nn.Parameter:
    try:
        return model.get_parameter(name)
    except AttributeError as error:
        raise EditError(
            f"the model has no parameter {name!r}: was the edit made for another model?"
        ) from error
