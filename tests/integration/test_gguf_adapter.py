"""The edits as a LoRA adapter in real llama.cpp, beside its base model as a GGUF file in float32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Gemma3TextConfig

from guardedit.core.errors import EditError
from guardedit.models.bypass import Patch
from guardedit.models.export.adapter import GGUF, adapter_of, write_gguf
from guardedit.models.export.low_rank import LowRank
from guardedit.models.host import ModelHost
from guardedit.models.matrices import read_matrix, to_stored
from tests.llama_cpp import NotLoaded, llama_server, next_log_probabilities, write_model
from tests.tiny_models import CONTEXT, FAMILIES, HEADS, KIN, LAYERS, D, F, build, byte_tokenizer

TEXT = "Oslo is the capital of Norway."


def gemma3(vocabulary: int) -> Gemma3TextConfig:
    """With local attention in all of its few layers, as llama.cpp has it in five of six."""
    return Gemma3TextConfig(
        vocab_size=vocabulary, hidden_size=D, intermediate_size=F, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=1, max_position_embeddings=CONTEXT,
        head_dim=D // HEADS, query_pre_attn_scalar=D // HEADS, sliding_window=CONTEXT,
        layer_types=["sliding_attention"] * LAYERS, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip


def edited(family: str) -> tuple[ModelHost, Patch]:
    """A model with a change of rank 3 in its first layer and one of rank 7 in its last."""
    tokenizer = byte_tokenizer()
    size = len(tokenizer)
    model = build(gemma3(size)) if family == "gemma3" else FAMILIES[family](size)
    host = ModelHost(model, tokenizer)
    random = torch.Generator().manual_seed(0)
    matrices = {}
    for layer, rank in ((0, 3), (LAYERS - 1, 7)):
        name = host.layout.matrix_name(layer)
        W = read_matrix(host.model, name).double()
        left, right = (torch.randn(n, rank, generator=random).double() for n in W.shape)
        matrices[name] = to_stored(host.model, name, W + 0.05 * left @ right.t())
    return host, Patch(matrices)


#: llama.cpp looks GELU up in a table of 16 bit, so models with it differ more, with and without the adapter.
@pytest.mark.parametrize(
    ("family", "tolerance"), [("llama", 5e-6), ("qwen3", 5e-6), ("gpt2", 5e-4), ("gemma3", 5e-4)]
)
def test_llama_cpp_computes_the_edited_models_probabilities(family: str, tolerance: float, tmp_path: Path):
    host, patch = edited(family)
    base = write_model(tmp_path / "base.gguf", host.model, host.tokenizer)
    kind = host.model.config.model_type
    write_gguf(adapter_of(host, patch), tmp_path / "lora", architecture=kind, layers=host.layers, manifest={})
    ids = host.tokenizer(TEXT)["input_ids"]
    with torch.inference_mode():
        before = host.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        with host.patched(patch):
            after = host.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    assert float((after - before).abs().max()) > 0.1
    with llama_server(base) as server:
        found = next_log_probabilities(server, ids, len(before))
    assert float((found - before).abs().max()) < tolerance
    with llama_server(base, adapters=[tmp_path / "lora" / GGUF]) as server:
        # Switched from request to request, with the prompt of the request before in the cache.
        for scale, wanted in ((1.0, after), (0.0, before), (1.0, after)):
            adapter = [{"id": 0, "scale": scale}]
            found = next_log_probabilities(server, ids, len(wanted), lora=adapter, cache_prompt=True)
            assert float((found - wanted).abs().max()) < tolerance


@pytest.mark.parametrize("family", sorted({**FAMILIES, **KIN}))
def test_an_adapter_is_written_only_for_an_architecture_that_llama_cpp_runs(family: str, tmp_path: Path):
    tokenizer = byte_tokenizer()
    host = ModelHost({**FAMILIES, **KIN}[family](len(tokenizer)), tokenizer)
    name = host.layout.matrix_name(1)
    change = LowRank(torch.ones(1, F), torch.ones(D, 1))
    adapter = {name.removesuffix(".weight"): change}
    kind = host.model.config.model_type
    try:
        write_gguf(adapter, tmp_path / "lora", architecture=kind, layers=LAYERS, manifest={})
    except EditError:
        assert family in ("gptj", "opt", "smollm3")  # the last one needs a newer gguf
        return
    # Loaded as a model, it lacks everything but its architecture, which is the first that is looked at.
    with pytest.raises(NotLoaded, match="key not found in model"), llama_server(tmp_path / "lora" / GGUF):
        pass
