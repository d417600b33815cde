"""Writes the edits as one LoRA adapter of the base model, for PEFT, vLLM and llama.cpp, and checks it.

The whole stack of edits is one adapter, because servers apply one adapter to a request. Its scale is 1:
alpha equals the rank. Rows of zeros fill matrices of lower rank, because servers take one rank for all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from guardedit.core.errors import EditError
from guardedit.models.bypass import Patch
from guardedit.models.export.folder import whole_folder, write_records
from guardedit.models.export.low_rank import LowRank, low_rank_changes, rank_of
from guardedit.models.host import ModelHost
from guardedit.models.matrices import is_transposed, read_matrix, to_stored
from guardedit.models.text.tokens import encode

#: Files that PEFT reads.
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
#: The file that llama.cpp reads.
GGUF = "adapter.gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterCheck:
    """How far a model with the adapter is from the edited model, over all tokens of some texts.

    Attributes:
        tokens: number of tokens.
        logit_difference: largest difference of a logit, with the adapter in float32.
        logit_difference_16: the same with the adapter in bfloat16.
        same_best_16: share of tokens with the same most probable next one, with the adapter in bfloat16.
    """

    tokens: int
    logit_difference: float
    logit_difference_16: float
    same_best_16: float


def adapter_of(host: ModelHost, patch: Patch) -> dict[str, LowRank]:
    """Module name -> its change, all of one rank.

    Raises:
        EditError: the patch changes something that an adapter cannot hold.
    """
    changes = low_rank_changes(host, patch)
    odd = [name for name in changes if not name.endswith(".weight")]
    if odd:
        raise EditError(f"{odd[0]} is not the weight of a module and cannot become an adapter")
    rank = rank_of(changes)
    return {name.removesuffix(".weight"): change.padded(rank) for name, change in changes.items()}


def write_peft(
    host: ModelHost,
    adapter: Mapping[str, LowRank],
    folder: Path,
    *,
    base: str,
    manifest: Mapping[str, Any],
    memory_facts: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write an adapter that PEFT and vLLM load: all of it or nothing.

    Args:
        host: the base model.
        adapter: from `adapter_of`.
        folder: must be missing or empty.
        base: name or folder of the base model, for programs that load it by the adapter.
        manifest: plain JSON data for `guardedit.json`.
        memory_facts: JSON objects, one per line of `memory_facts.jsonl`.

    Raises:
        EditError: there is no edit, so there is nothing to write.
        UsageError: the folder is not empty, or is a file.
        StorageFull: the folder cannot be written.
    """
    with whole_folder(folder) as made:
        write_adapter_files(host, adapter, made, base=base)
        write_records(made, manifest, memory_facts)


def write_adapter_files(host: ModelHost, adapter: Mapping[str, LowRank], folder: Path, *, base: str) -> None:
    """Write only the two files that PEFT reads, into an existing folder. Arguments as for `write_peft`.

    Raises:
        EditError: there is no edit, so there is nothing to write.
    """
    _require_edits(adapter)
    tensors: dict[str, Tensor] = {}
    for module, change in adapter.items():
        tensors[f"base_model.model.{module}.lora_A.weight"] = change.A.contiguous()
        tensors[f"base_model.model.{module}.lora_B.weight"] = change.B.contiguous()
    rank = next(iter(adapter.values())).rank
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(is_transposed(host.model, f"{module}.weight") for module in adapter),
        "target_modules": sorted(adapter),
        "inference_mode": True,
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def write_gguf(
    adapter: Mapping[str, LowRank],
    folder: Path,
    *,
    architecture: str,
    layers: int,
    manifest: Mapping[str, Any],
    memory_facts: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write an adapter that llama.cpp loads with `--lora`.

    Args:
        adapter: from `adapter_of`.
        folder: must be missing or empty.
        architecture: as llama.cpp calls it, such as `llama`, `qwen3` or `gemma3`.
        layers: number of decoder layers of the model.
        manifest: plain JSON data for `guardedit.json`.
        memory_facts: JSON objects, one per line of `memory_facts.jsonl`.

    Raises:
        EditError: there is no edit, or llama.cpp has no name for the architecture or for a matrix.
        UsageError: the folder is not empty, or is a file; or the package gguf is missing.
        StorageFull: the folder cannot be written.
    """
    from guardedit.models.export.gguf_names import gguf_names, open_writer

    _require_edits(adapter)
    names = gguf_names(architecture, layers, list(adapter))
    rank = next(iter(adapter.values())).rank
    with whole_folder(folder) as made:
        with open_writer(made / GGUF, architecture, alpha=float(rank)) as writer:
            for module, change in adapter.items():
                writer.add_tensor(f"{names[module]}.lora_a", change.A.contiguous().numpy())
                writer.add_tensor(f"{names[module]}.lora_b", change.B.contiguous().numpy())
        write_records(made, manifest, memory_facts)


def check_adapter(
    host: ModelHost, patch: Patch, adapter: Mapping[str, LowRank], texts: Sequence[str]
) -> AdapterCheck:
    """Compare the base model with the adapter to the edited model, on texts.

    With bfloat16, only the adapter's factors are rounded: the base model runs as it is loaded.
    """
    rows = [ids for text in texts if len(ids := encode(host.tokenizer, text)[: host.context]) > 1]
    edited = _logits(host, patch, rows)
    whole, rounded = (
        _logits(host, _applied(host, adapter, dtype), rows) for dtype in (torch.float32, torch.bfloat16)
    )
    best = torch.cat([row.argmax(-1) for row in edited])
    best_16 = torch.cat([row.argmax(-1) for row in rounded])
    return AdapterCheck(
        tokens=len(best),
        logit_difference=_largest(edited, whole),
        logit_difference_16=_largest(edited, rounded),
        same_best_16=float((best == best_16).float().mean()),
    )


def _applied(host: ModelHost, adapter: Mapping[str, LowRank], dtype: torch.dtype) -> Patch:
    """The base model with the adapter added to its matrices, as servers compute it."""
    matrices = {}
    for module, change in adapter.items():
        name = f"{module}.weight"
        W = read_matrix(host.model, name).float().cpu()
        delta = change.B.to(dtype).float() @ change.A.to(dtype).float()
        matrices[name] = to_stored(host.model, name, W + delta)
    return Patch(matrices)


@torch.inference_mode()
def _logits(host: ModelHost, patch: Patch, rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """Logits [T, V] of each row."""
    with host.patched(patch):
        return [
            host.model(input_ids=torch.tensor([list(ids)], device=host.device)).logits[0].float().cpu()
            for ids in rows
        ]


def _largest(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


def _require_edits(adapter: Mapping[str, LowRank]) -> None:
    if not adapter:
        raise EditError("the serving epoch has no edits: every fact is in memory, so there is no adapter")
