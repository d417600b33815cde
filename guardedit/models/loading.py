"""Load a model folder: safetensors only, no code from the folder, no network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from guardedit.core.errors import UnknownLayout, UsageError
from guardedit.models.layouts.refused import refuse_unfit

_LOCAL = {"local_files_only": True, "trust_remote_code": False}


def load_model(folder: Path, *, device: str, dtype: torch.dtype | None) -> tuple[Any, Any]:
    """The model, in `dtype` on `device`, and its tokenizer; `dtype` None is that of the files.

    Raises:
        UnknownLayout: when the model is of a kind that is not edited; no weights are read then.
        UsageError: when the folder cannot be loaded, naming it.
    """
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder} is not a model folder: it has no config.json")
    try:
        with no_progress_bar():
            refuse_unfit(AutoConfig.from_pretrained(folder, **_LOCAL))
            tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype or "auto", use_safetensors=True, **_LOCAL
            )
        return model.to(device), tokenizer
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise UsageError(
            f"cannot load the model in {folder}: {str(error) or type(error).__name__:.500}; "
            "it must hold config.json, model.safetensors and a fast tokenizer"
        ) from error


def load_tokenizer(path: str | Path) -> tuple[Any, int]:
    """The fast tokenizer of a model folder and the model's context in tokens, without its weights.

    Raises:
        UsageError: when the folder cannot be loaded, naming it.
        UnknownLayout: when the configuration does not state the longest input.
    """
    folder = Path(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
        config = AutoConfig.from_pretrained(folder, **_LOCAL)
        return tokenizer, context_of(config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"cannot load the tokenizer in {folder}: {error!s:.500}") from error


def context_of(config: Any) -> int:
    """Longest input in tokens, from a model's configuration.

    Raises:
        UnknownLayout: when the configuration does not state it. Some architectures have no limit.
    """
    for name in ("max_position_embeddings", "max_seq_len"):
        if getattr(config, name, None) is not None:
            return int(getattr(config, name))
    raise UnknownLayout(
        f"{type(config).__name__} does not say the longest input: set max_position_embeddings in config.json"
    )


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Switch transformers' progress bars off for the length of a `with` block."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers has no types
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # as above
