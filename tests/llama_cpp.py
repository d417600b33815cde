"""Real llama.cpp: writes small models as GGUF files, and runs llama.cpp's own server on them.

The package xllamacpp brings llama.cpp with its server as a wheel, so nothing is compiled. Weights, keys and
values are kept in float32, so that its answers can be compared with torch's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import gguf
import httpx
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: What llama.cpp must know of a model: its key without the architecture -> transformers' name of the setting.
_SIZES = {
    "gpt2": {
        "context_length": "n_positions", "embedding_length": "n_embd", "block_count": "n_layer",
        "feed_forward_length": "n_inner", "attention.head_count": "n_head",
        "attention.layer_norm_epsilon": "layer_norm_epsilon",
    },
    "llama": {
        "context_length": "max_position_embeddings", "embedding_length": "hidden_size",
        "block_count": "num_hidden_layers", "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads", "attention.head_count_kv": "num_key_value_heads",
        "attention.layer_norm_rms_epsilon": "rms_norm_eps", "rope.dimension_count": "head_dim",
        "attention.key_length": "head_dim", "attention.value_length": "head_dim",
    },
}  # fmt: skip
_SIZES["qwen3"] = _SIZES["llama"]
_SIZES["gemma3"] = {**_SIZES["llama"], "attention.sliding_window": "sliding_window"}

#: The server ends when its input does, so that none outlives its test.
_SERVER = """
import json, sys
import xllamacpp as x
given = json.loads(sys.argv[1])
params = x.CommonParams()
params.model.path, params.n_ctx, params.n_parallel = given["model"], given["context"], 1
params.warmup = params.fit_params = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.cache_type_k = params.cache_type_v = x.ggml_type.GGML_TYPE_F32
params.flash_attn_type = x.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
params.lora_adapters = [x.CommonAdapterLoraInfo(path, 1.0) for path in given["adapters"]]
server = x.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


def write_model(
    path: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, template: str = ""
) -> Path:
    """A model of a family in `_SIZES` with a byte-level tokenizer and, if given, a chat template."""
    config = model.config
    kind = config.model_type.removesuffix("_text")
    architecture = next(one for one, name in gguf.MODEL_ARCH_NAMES.items() if name == kind)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    writer = gguf.GGUFWriter(path, kind)
    for key, setting in _SIZES[kind].items():
        value = getattr(config, setting)
        add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(f"{kind}.{key}", value)
    _add_tokenizer(writer, tokenizer, config.vocab_size)
    if template:
        writer.add_chat_template(template)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        writer.add_tensor(stored, _as_stored(model, name, tensor).float().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerBase, size: int) -> None:
    found = json.loads(tokenizer.backend_tokenizer.to_str())
    special = {token["id"] for token in found["added_tokens"] if token["special"]}
    tokens = {number: token for token, number in tokenizer.get_vocab().items()}
    normal, control, unused = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL, gguf.TokenType.UNUSED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([tokens.get(number, f"[unused {number}]") for number in range(size)])
    writer.add_token_types(
        [control if n in special else normal if n in tokens else unused for n in range(size)]
    )
    # llama.cpp refuses a tokenizer without merges; this one merges a token that no text has.
    merges = found["model"]["merges"] or [(tokens[1], tokens[1])]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(value=False)


def _as_stored(model: PreTrainedModel, name: str, tensor: Tensor) -> Tensor:
    """A matrix as GGUF keeps it: [out, in], and for rotary attention with the halves interleaved."""
    if model.config.model_type == "gpt2" and tensor.ndim == 2 and ".h." in name:
        return tensor.t()
    if "gemma" in model.config.model_type and "norm" in name:
        return tensor + 1
    if model.config.model_type == "llama" and ("q_proj" in name or "k_proj" in name):
        half = model.config.head_dim // 2
        return tensor.view(-1, 2, half, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)
    return tensor


class NotLoaded(Exception):
    """llama.cpp did not load a model; its message is all that it wrote."""


@contextmanager
def llama_server(model: Path, *, adapters: Sequence[Path] = (), context: int = 256) -> Iterator[str]:
    """llama.cpp's server on a free port; gives its address.

    Raises:
        NotLoaded: the model or an adapter is not one that llama.cpp loads.
    """
    given = {"model": str(model), "context": context, "adapters": [str(path) for path in adapters]}
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [sys.executable, "-c", _SERVER, json.dumps(given)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        ) as server,
    ):  # fmt: skip
        try:
            address = server.stdout.readline().strip()
            if not address:
                log.seek(0)
                raise NotLoaded(log.read())
            yield address
        finally:
            server.stdin.close()
            server.wait(30)


def greedy(server: str, prompt: str) -> str:
    """The most probable few tokens after a text."""
    asked = {"prompt": prompt, "n_predict": 4, "temperature": 0.0, "cache_prompt": False}
    answer = httpx.post(f"{server}/completion", json=asked, timeout=60)
    return str(answer.raise_for_status().json()["content"])


def next_log_probabilities(server: str, ids: Sequence[int], vocabulary: int, **more: object) -> Tensor:
    """Log probability of each token after `ids`, [V] float32; `more` are fields of the request."""
    asked = {"prompt": list(ids), "n_predict": 1, "n_probs": vocabulary, "cache_prompt": False}
    # A token that is not a whole character is not reported, so another one is drawn; probabilities are the
    # model's own, before that.
    asked |= {"logit_bias": [["a", 1000.0]], "temperature": 0.0, **more}
    answer = httpx.post(f"{server}/completion", json=asked, timeout=60)
    found = answer.raise_for_status().json()["completion_probabilities"][0]["top_logprobs"]
    probabilities = torch.full((vocabulary,), float("nan"))
    for one in found:
        probabilities[one["id"]] = one["logprob"]
    return probabilities
