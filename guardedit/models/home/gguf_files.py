"""Converts a GGUF file to a folder in Hugging Face format, in float32. Needs the package `gguf`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from guardedit.core.errors import UsageError
from guardedit.models.home.fetching import Report

#: First bytes of every GGUF file.
MAGIC = b"GGUF"


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_gguf(path: Path | None = None) -> None:
    """Check that GGUF files can be read, and that `path` is one.

    Raises:
        UsageError: the package `gguf` is not installed, or the file is another one.
    """
    if find_spec("gguf") is None:
        raise UsageError("GGUF files need the package gguf: pip install 'guardedit[gguf]'")
    if path is None:
        return
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; give a readable GGUF file") from error
    if magic != MAGIC:
        raise UsageError(f"{path} is not a GGUF file: it does not begin with {MAGIC.decode()}")


def convert(file: Path, folder: Path, report: Report) -> str:
    """Write the model and the tokenizer of a GGUF file into a folder; the weights become float32.

    A quantised weight has no gradient and cannot be edited. In float32 every weight has the value that the
    file stands for.

    Returns:
        Name and version of the library that read the file.

    Raises:
        UsageError: the library cannot read the file.
        UnknownLayout: the model is of a kind that is not edited, such as a mixture of experts.
    """
    require_gguf(file)
    import transformers

    from guardedit.models.layouts.refused import refuse_unfit
    from guardedit.models.loading import no_progress_bar

    where = {"gguf_file": file.name, "local_files_only": True}
    with no_progress_bar(), _quiet():
        try:
            report(f"reading {file.name}", 0, None)
            refuse_unfit(transformers.AutoConfig.from_pretrained(file.parent, **where))
            tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, **where)
            report(f"converting {file.name} to float32", 0, None)
            model = _read_model(file, where)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, NotImplementedError) as error:
            raise UsageError(
                f"transformers {transformers.__version__} cannot read {file}: "
                f"{str(error) or type(error).__name__:.300}; convert it to a folder with safetensors"
            ) from error
        report("writing the model", 0, None)
        model.save_pretrained(folder, safe_serialization=True)
        tokenizer.save_pretrained(folder)
    return f"transformers {transformers.__version__}"


def stated_licence(file: Path) -> str:
    """The licence in a GGUF file's metadata; empty where there is none."""
    from gguf import GGUFReader

    field = GGUFReader(file).fields.get("general.license")
    return str(field.contents()) if field else ""


def _read_model(file: Path, where: dict[str, Any]) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    model, report = cast(
        "tuple[Any, Any]",
        AutoModelForCausalLM.from_pretrained(
            file.parent, dtype=torch.float32, output_loading_info=True, **where
        ),
    )
    if lacking := sorted(report["missing_keys"]):  # they would be random numbers
        raise UsageError(f"{file} has no weights for {', '.join(lacking[:3])}: get a complete GGUF file")
    # The weights are plain numbers now, but transformers refuses to save a model that it holds quantised.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized, model.hf_quantizer = False, None
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' bar of single tensors and its hints off the terminal for a `with` block."""
    from transformers import modeling_gguf_pytorch_utils
    from transformers.utils import logging

    reading, messages = cast("Any", modeling_gguf_pytorch_utils), cast("Any", logging)
    bar, level = reading.tqdm, messages.get_verbosity()
    reading.tqdm = lambda items, **_: items
    messages.set_verbosity_error()
    try:
        yield
    finally:
        reading.tqdm = bar
        messages.set_verbosity(level)
