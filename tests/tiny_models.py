"""Tiny decoder models with random weights, one of each family, built from transformers' own configurations.

Every model has `LAYERS` layers, d = `D`, two heads, no dropout and a context of `CONTEXT` tokens; the MLP's
inner width is f = `F` but for those in `SQUARE`, where f = d. Token 0 begins and ends a text. Nothing is
read from disk or network; building one takes milliseconds and leaves torch's own random state as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MinistralConfig,
    MistralConfig,
    Olmo2Config,
    Olmo3Config,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
    StableLmConfig,
)

from guardedit.models.host import ModelHost

END = "<|endoftext|>"
D, F, LAYERS, HEADS, CONTEXT = 32, 128, 3, 2, 256

#: From the number of tokens to a model in eval mode; equal arguments give equal weights.
Builder = Callable[[int], PreTrainedModel]


def _narrow(vocabulary: int) -> dict[str, object]:
    """Sizes as GPT-2 and GPT-J call them."""
    return {
        "vocab_size": vocabulary, "n_positions": CONTEXT, "n_embd": D, "n_layer": LAYERS, "n_head": HEADS,
        "n_inner": F, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
        "bos_token_id": 0, "eos_token_id": 0, "loss_type": "ForCausalLM",
    }  # fmt: skip


def _wide(vocabulary: int) -> dict[str, object]:
    """Sizes as nearly all others call them."""
    return {
        "vocab_size": vocabulary, "hidden_size": D, "intermediate_size": F, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "max_position_embeddings": CONTEXT,
        "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None, "loss_type": "ForCausalLM",
    }  # fmt: skip


def _grouped(vocabulary: int) -> dict[str, object]:
    """As `_wide`, with keys and values shared between the heads."""
    return {**_wide(vocabulary), "num_key_value_heads": 1}


def _gemma2(vocabulary: int) -> PreTrainedConfig:
    return Gemma2Config(**_grouped(vocabulary), head_dim=D // HEADS, query_pre_attn_scalar=D // HEADS)


def _gemma3(vocabulary: int) -> PreTrainedConfig:
    """With local attention in all layers but the last; both see whole texts of the tests."""
    return Gemma3TextConfig(
        **_grouped(vocabulary), head_dim=D // HEADS, query_pre_attn_scalar=D // HEADS, sliding_window=CONTEXT,
        layer_types=["sliding_attention"] * (LAYERS - 1) + ["full_attention"],
    )  # fmt: skip


def _opt(vocabulary: int) -> PreTrainedConfig:
    return OPTConfig(
        vocab_size=vocabulary, hidden_size=D, ffn_dim=F, word_embed_proj_dim=D, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, max_position_embeddings=CONTEXT, dropout=0.0,
        bos_token_id=0, eos_token_id=0, pad_token_id=None, loss_type="ForCausalLM",
    )  # fmt: skip


def _falcon(vocabulary: int) -> PreTrainedConfig:
    sizes = _wide(vocabulary)
    del sizes["intermediate_size"]
    return FalconConfig(**sizes, ffn_hidden_size=F, parallel_attn=True)


#: Families with a layout card.
CARDED_CONFIGS: dict[str, Callable[[int], PreTrainedConfig]] = {
    "gpt2": lambda v: GPT2Config(**_narrow(v)),
    "gptj": lambda v: GPTJConfig(**_narrow(v), rotary_dim=4, tie_word_embeddings=False),
    "gpt_neox": lambda v: GPTNeoXConfig(**_wide(v)),
    "llama": lambda v: LlamaConfig(**_grouped(v)),
    "mistral": lambda v: MistralConfig(**_grouped(v)),
    "qwen2": lambda v: Qwen2Config(**_grouped(v), tie_word_embeddings=True),
    "qwen3": lambda v: Qwen3Config(**_grouped(v), head_dim=D // HEADS),
    "gemma2": _gemma2,
    "olmo2": lambda v: Olmo2Config(**_grouped(v)),
    "phi": lambda v: PhiConfig(**_wide(v)),
    "phi3": lambda v: Phi3Config(**_grouped(v)),
}
#: Families with a card whose layers are built as those of a family above.
KIN_CONFIGS: dict[str, Callable[[int], PreTrainedConfig]] = {
    "gemma3": _gemma3,
    "smollm3": lambda v: SmolLM3Config(**_grouped(v)),
    "olmo3": lambda v: Olmo3Config(**_grouped(v)),
    "ministral": lambda v: MinistralConfig(**_grouped(v), head_dim=D // HEADS),
}
#: Families without one: layers without an MLP module (OPT), tuples and sums in place (Falcon), parallel
#: attention (Falcon, Cohere).
CARDLESS_CONFIGS: dict[str, Callable[[int], PreTrainedConfig]] = {
    "opt": _opt,
    "falcon": _falcon,
    "stablelm": lambda v: StableLmConfig(**_grouped(v)),
    "cohere": lambda v: CohereConfig(**_grouped(v)),
}
#: f = d: no shape tells the MLP's matrices from each other or from attention's.
SQUARE_CONFIGS: dict[str, Callable[[int], PreTrainedConfig]] = {
    "gpt2_square": lambda v: GPT2Config(**{**_narrow(v), "n_inner": D}),
    "llama_square": lambda v: LlamaConfig(**{**_wide(v), "intermediate_size": D}),
    "gemma2_square": lambda v: Gemma2Config(**{**_grouped(v), "intermediate_size": D}, head_dim=D // HEADS),
}


def build(config: PreTrainedConfig, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A seeded model in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return model.eval()


def _builder(config: Callable[[int], PreTrainedConfig]) -> Builder:
    return lambda vocabulary: build(config(vocabulary))


CARDED: dict[str, Builder] = {name: _builder(config) for name, config in CARDED_CONFIGS.items()}
KIN: dict[str, Builder] = {name: _builder(config) for name, config in KIN_CONFIGS.items()}
CARDLESS: dict[str, Builder] = {name: _builder(config) for name, config in CARDLESS_CONFIGS.items()}
SQUARE: dict[str, Builder] = {name: _builder(config) for name, config in SQUARE_CONFIGS.items()}
#: What an editing method has to work on.
FAMILIES: dict[str, Builder] = {**CARDED, **CARDLESS}
#: The families by how a layer is built: what an editing method may trip over.
WAYS: dict[str, tuple[str, ...]] = {
    "a plain MLP behind attention": ("gpt2", "opt"),
    "a gated MLP": ("llama", "mistral", "qwen2", "qwen3", "phi3", "stablelm"),
    "attention and MLP side by side": ("gptj", "gpt_neox", "phi", "falcon", "cohere"),
    "a norm behind the MLP": ("gemma2", "olmo2"),
}


def byte_tokenizer(texts: Sequence[str] = (), *, size: int = 600) -> PreTrainedTokenizerFast:
    """A fast byte-level tokenizer of at most `size` tokens, its merges learnt from `texts`.

    Without texts it has one token for each byte and `END`, which is token 0: beginning, end and padding.
    """
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=END, eos_token=END, pad_token=END)


def talkative(family: str = "llama") -> ModelHost:
    """A loaded model whose weights are large enough for different prompts to get different answers."""
    tokenizer = byte_tokenizer()
    model = {**FAMILIES, **KIN}[family](len(tokenizer))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                # Gemma's layers say little beside its embeddings, which it scales up.
                parameter.normal_(std=0.02 if "gemma" in family and "embed" in name else 0.3)
    return ModelHost(model, tokenizer)
