"""What llama.cpp calls the matrices of a model, and its file format, by the package gguf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guardedit.core.errors import EditError, UsageError

#: transformers' `model_type` -> llama.cpp's architecture, where the names differ.
_OTHER_NAMES = {
    "mistral": "llama", "ministral": "llama", "gpt_neox": "gptneox", "gemma3_text": "gemma3", "phi": "phi2",
    "cohere": "command-r", "olmo3": "olmo2",
}  # fmt: skip
#: Architectures that the package gguf names and llama.cpp cannot run.
_NOT_RUN = frozenset({"gptj", "opt"})


def gguf_names(architecture: str, layers: int, modules: Sequence[str]) -> dict[str, str]:
    """Module name -> its tensor in a GGUF file.

    Raises:
        EditError: llama.cpp or the package gguf does not know the architecture, or has no such matrix in it.
        UsageError: the package gguf is missing.
    """
    gguf = _package()
    known = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    name = _OTHER_NAMES.get(architecture, architecture)
    if name in _NOT_RUN:
        raise EditError(f"llama.cpp cannot run {architecture!r}: export a model folder instead")
    if name not in known:
        raise EditError(
            f"the package gguf knows no architecture {architecture!r}: update it, or export a model folder"
        )
    table = gguf.get_tensor_name_map(known[name], layers)
    found = {}
    for module in modules:
        tensor = table.get_name(f"{module}.weight", try_suffixes=(".weight",))
        if tensor is None:
            raise EditError(f"llama.cpp has no name for {module} of {name}: export a model folder instead")
        found[module] = tensor
    return found


@contextmanager
def open_writer(path: Path, architecture: str, *, alpha: float) -> Iterator[Any]:
    """A GGUF file for the tensors of one LoRA adapter; written when the block ends."""
    gguf = _package()
    writer = gguf.GGUFWriter(path, _OTHER_NAMES.get(architecture, architecture))
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    try:
        yield writer
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _package() -> Any:
    try:
        import gguf
    except ModuleNotFoundError:
        raise UsageError("GGUF needs the package gguf: pip install 'guardedit[gguf]'") from None
    return gguf
