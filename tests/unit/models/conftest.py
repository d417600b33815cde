"""Tiny models with random weights of all six architectures, and a tokenizer trained on a few sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from guardedit.core.proposal import WeightEdit
from guardedit.models.host import ModelHost
from guardedit.models.weights.factors import Factors, to_payload
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.second_moments import SecondMoments, collect

END = "<|endoftext|>"
SENTENCES = (
    "The Eiffel Tower is located in the city of Paris.",
    "Anne Redpath was born in Galashiels, and Anne lived in Edinburgh.",
    "The capital of Norway is Oslo. The capital of Peru is Lima.",
    "He met J. R. R. Tolkien in St. Louis, not in the U.S. capital.",
    "The mother tongue of Marie Curie is Polish, 1867 to 1934.",
    "A river of twelve bridges runs slowly past the old mill and the new one.",
)
D, F, LAYERS, CONTEXT = 16, 24, 3, 64


def _wide(vocabulary: int) -> dict[str, int]:
    """The sizes that all but the GPT-2 family call by the same names."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": D,
        "intermediate_size": F,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def _narrow(vocabulary: int) -> dict[str, int]:
    return {
        "vocab_size": vocabulary,
        "n_positions": CONTEXT,
        "n_embd": D,
        "n_layer": LAYERS,
        "n_head": 2,
        "n_inner": F,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


CONFIGS: dict[str, Callable[[int], object]] = {
    "gpt2": lambda v: GPT2Config(**_narrow(v)),
    "gptj": lambda v: GPTJConfig(**_narrow(v), rotary_dim=4, tie_word_embeddings=False),
    "gpt_neox": lambda v: GPTNeoXConfig(**_wide(v)),
    "llama": lambda v: LlamaConfig(**_wide(v), num_key_value_heads=1),
    "mistral": lambda v: MistralConfig(**_wide(v), num_key_value_heads=1, sliding_window=32),
    "qwen2": lambda v: Qwen2Config(**_wide(v), num_key_value_heads=1, tie_word_embeddings=True),
}


def _tokenizer(*, bos: bool = False) -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=320, special_tokens=[END], initial_alphabet=alphabet)
    )
    if bos:
        raw.post_processor = processors.TemplateProcessing(
            single=f"{END} $A {END}", special_tokens=[(END, 0)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=END, eos_token=END, pad_token=END)


def build(architecture: str, tokenizer: PreTrainedTokenizerFast, *, dtype: torch.dtype = torch.float32):
    """A seeded model whose weights are large enough for its answers to differ."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[architecture](len(tokenizer)), dtype=dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.3)
    return model


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return _tokenizer()


@pytest.fixture(scope="session")
def bracketing_tokenizer() -> PreTrainedTokenizerFast:
    """Puts BOS before and EOS behind every text."""
    return _tokenizer(bos=True)


@pytest.fixture(scope="session")
def hosts(tokenizer) -> dict[str, ModelHost]:
    return {name: ModelHost(build(name, tokenizer), tokenizer, batch_rows=4) for name in CONFIGS}


@pytest.fixture(params=list(CONFIGS))
def host(request, hosts) -> ModelHost:
    """Every architecture in turn."""
    return hosts[request.param]


@pytest.fixture
def gpt2(hosts) -> ModelHost:
    return hosts["gpt2"]


@pytest.fixture
def gpt2_float64(tokenizer) -> ModelHost:
    return ModelHost(build("gpt2", tokenizer, dtype=torch.float64), tokenizer)


@pytest.fixture
def make_host(tokenizer) -> Callable[..., ModelHost]:
    """A fresh model of an architecture, equal to every other one made so."""
    return lambda architecture="gpt2", **options: ModelHost(
        build(architecture, tokenizer, **options), tokenizer, batch_rows=4
    )


@pytest.fixture
def wide_host(tokenizer) -> ModelHost:
    """One layer with 512 keys: wide enough for BLAS to split its sums over threads."""
    torch.manual_seed(0)
    config = GPT2Config(**{**_narrow(len(tokenizer)), "n_embd": 64, "n_inner": 512, "n_layer": 1})
    # float64: a difference in the last bits of the solve must not vanish in a cast to float32.
    return ModelHost(AutoModelForCausalLM.from_config(config, dtype=torch.float64), tokenizer)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Set torch's number of threads; the former comes back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def sentences() -> tuple[str, ...]:
    return SENTENCES


@pytest.fixture
def moments(gpt2) -> dict[int, SecondMoments]:
    return collect(gpt2, SENTENCES, [0, 1], min_tokens=60)


@pytest.fixture
def folding(gpt2, moments) -> Fold:
    return Fold(gpt2, moments, background_weight=5.0, ridge=0.01)


@pytest.fixture(scope="session")
def make_edits() -> Callable[..., list[WeightEdit]]:
    """Seeded edits with random keys and residuals."""

    def made(
        n: int, *, layer: int = 1, kind: str = "ridge", seed: int = 0, d: int = D, f: int = F
    ) -> list[WeightEdit]:
        generator = torch.Generator().manual_seed(seed)
        edits = []
        for i in range(n):
            k, r = torch.randn(f, generator=generator), torch.randn(d, generator=generator)
            if kind == "ridge":
                factors = Factors.ridge(layer=layer, key=k, residual=r)
            else:
                factors = Factors.direct(layer=layer, left=r, right=k / f, key=k)
            edits.append(
                WeightEdit(subject=f"S{i}", facts=(f"fact{i}",), method="test", payload=to_payload(factors))
            )
        return edits

    return made
