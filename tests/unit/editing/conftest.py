"""Tiny models with random weights, of the two families the demo uses, and facts about nobody."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedTokenizerFast

from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Kind, Question
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.contexts import Contexts
from guardedit.editing.settings import EditSettings
from guardedit.models.host import ModelHost
from guardedit.models.statistics import SecondMoments, collect

SENTENCES = (
    "The Eiffel Tower is located in the city of Paris.",
    "Anne Redpath was born in Galashiels, and Anne lived in Edinburgh.",
    "The capital of Norway is Oslo. The capital of Peru is Lima.",
    "The mother tongue of Marie Curie is Polish, and she moved to Paris.",
    "A river of twelve bridges runs slowly past the old mill and the new one.",
    "Oslo is a city. Marie Curie is a person. Peru speaks Spanish.",
)
D, F, LAYERS, LAYER = 32, 48, 3, 1


def _gpt2(vocabulary: int) -> GPT2Config:
    return GPT2Config(
        vocab_size=vocabulary, n_positions=64, n_embd=D, n_layer=LAYERS, n_head=2, n_inner=F,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip


def _llama(vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=D, intermediate_size=F, num_hidden_layers=LAYERS,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip


CONFIGS = {"gpt2": _gpt2, "llama": _llama}


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    end = "<|endoftext|>"
    raw.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=330, special_tokens=[end], initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=end, eos_token=end, pad_token=end)


@pytest.fixture(scope="session")
def make_host(tokenizer) -> Callable[..., ModelHost]:
    """A fresh model, equal to every other one made so; weights large enough for answers to differ."""

    def made(architecture: str = "gpt2") -> ModelHost:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(CONFIGS[architecture](len(tokenizer)))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    parameter.normal_(std=0.15)
        return ModelHost(model, tokenizer, batch_rows=8)

    return made


@pytest.fixture(scope="session")
def hosts(make_host) -> dict[str, ModelHost]:
    return {name: make_host(name) for name in CONFIGS}


@pytest.fixture(params=list(CONFIGS))
def host(request, hosts) -> ModelHost:
    """Both families in turn."""
    return hosts[request.param]


@pytest.fixture
def gpt2(hosts) -> ModelHost:
    return hosts["gpt2"]


def moments_of(host: ModelHost) -> SecondMoments:
    return collect(host, SENTENCES, [LAYER], min_tokens=90)[LAYER]


@pytest.fixture
def moments(host) -> SecondMoments:
    return moments_of(host)


@pytest.fixture
def gpt2_moments(gpt2) -> SecondMoments:
    return moments_of(gpt2)


@pytest.fixture
def settings() -> EditSettings:
    """Quick, and strong enough for a model that knows nothing."""
    return EditSettings(background_weight=1.0, ridge=0.01, clamp_ratio=20.0, contexts=2)


@pytest.fixture
def contexts() -> Contexts:
    return Contexts(("So it was.", "You see."))


def fact(subject: str, prompt: str, target: str, *others: str) -> Fact:
    """`prompt` and `others` are wordings with `{}` for the subject."""
    wordings = tuple(text.replace("{}", subject) for text in (prompt, *others))
    key = FactKey(subject, prompt)
    return Fact(key=key, version=1, correction_id="c", wordings=wordings, target=target)


@pytest.fixture
def groups() -> list[SubjectGroup]:
    """A subject in the middle with an answer to keep, one that opens the prompt, and one with two facts."""
    keep = Question(prompt="Marie Curie moved to", kind=Kind.SAME_SUBJECT, expected="Paris")
    return [
        SubjectGroup(
            subject="Marie Curie",
            facts=(fact("Marie Curie", "The mother tongue of {} is", "Spanish", "{} speaks"),),
            keep=(keep,),
        ),
        SubjectGroup(subject="Oslo", facts=(fact("Oslo", "{} is located in the city of", "Lima"),)),
        SubjectGroup(
            subject="Anne Redpath",
            facts=(
                fact("Anne Redpath", "{} was born in", "Peru"),
                fact("Anne Redpath", "The city of {} is", "Edinburgh Paris"),
            ),
        ),
    ]


def model_bytes(host: ModelHost) -> str:
    """Digest of every parameter, whether it asks for a gradient, and whether it has one."""
    digest = hashlib.sha256()
    for name, parameter in host.model.named_parameters():
        state = (name, parameter.requires_grad, parameter.grad is None)
        digest.update(repr(state).encode() + parameter.detach().numpy().tobytes())
    return digest.hexdigest()
