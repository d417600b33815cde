"""Exchange parameters of a loaded model for edited ones, and keep the base model's readable meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock

from torch import Tensor, nn

from guardedit.models.integrity import tensor_of
from guardedit.models.matrices import write


class ParameterSwap:
    """Exchanges parameters of one model for the length of a `with` block. Blocks can be nested.

    The caller must make sure that only one thread at a time is in such a block. `base_tensor` is safe in any
    thread.

    Args:
        model: the model whose parameters are exchanged.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._lock = Lock()  # held while a parameter and `_base` change together
        self._base: dict[str, Tensor] = {}  # parameters that the outermost block replaced

    def base_tensor(self, name: str) -> Tensor:
        """The base model's parameter or buffer as stored, even inside a `swapped` block."""
        with self._lock:
            return self._base[name] if name in self._base else tensor_of(self._model, name)

    @contextmanager
    def swapped(self, matrices: Mapping[str, Tensor]) -> Iterator[None]:
        """Let parameters point at other tensors.

        Pointers are exchanged and no byte is copied. However the block ends, the previous tensors are
        restored.

        Args:
            matrices: parameter name -> stored tensor that takes its place.

        Raises:
            EditError: when a name, shape or dtype is not the model's; nothing is changed then.
        """
        previous: dict[str, Tensor] = {}
        outermost: set[str] = set()
        try:
            for name, stored in {**matrices, **self._biases(matrices)}.items():
                with self._lock:
                    previous[name] = write(self._model, name, stored)
                    if name not in self._base:
                        self._base[name] = previous[name]
                        outermost.add(name)
            yield
        finally:
            for name, stored in previous.items():
                with self._lock:
                    write(self._model, name, stored)
                    if name in outermost:
                        del self._base[name]

    def _biases(self, matrices: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The biases of modules whose matrix gets another dtype, in that dtype: they run in one dtype."""
        found = {}
        for name, stored in matrices.items():
            module = name.removesuffix(".weight")
            bias = f"{module}.bias"
            if name != module and bias not in matrices and self._has(bias):
                base = self.base_tensor(bias)
                if base.dtype != stored.dtype:
                    found[bias] = base.to(stored.dtype)
        return found

    def _has(self, name: str) -> bool:
        path, _, last = name.rpartition(".")
        try:
            return isinstance(getattr(self._model.get_submodule(path), last, None), Tensor)
        except AttributeError:  # not a name of this model; `write` refuses it
            return False
