"""The embedded model; tiny models of two families, trained on some sentences; made-up facts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from guardedit import assembly
from guardedit.assembly import LoadedModel
from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Question, QuestionKind
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.settings import EditSettings
from guardedit.editing.setup import Setup
from guardedit.models.host import ModelHost
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.second_moments import SecondMoments, collect
from guardedit.settings import Settings

SUBJECTS = (
    "Oslo", "Marie Curie", "Anne Redpath", "Peru", "Ivan Popov", "Lena Berg", "Old Mill", "River", "Ann Lee",
)  # fmt: skip
LANGUAGES = ("Norwegian", "Polish", "Spanish")
CITIES = ("Lima", "Paris", "New York")
#: Every combination of language and city has one subject, so that each can be changed by itself.
SENTENCES = tuple(
    sentence.format(subject, language=LANGUAGES[i % 3], city=CITIES[i // 3])
    for i, subject in enumerate(SUBJECTS)
    for sentence in (
        "The mother tongue of {} is {language}.",
        "{} speaks {language}.",
        "{} was born in {city}.",
        "{} is a name.",
        "The city of {} is {city}.",
    )
)
D, F, LAYERS, LAYER = 32, 128, 3, 0


def _gpt2(vocabulary: int) -> GPT2Config:
    return GPT2Config(
        vocab_size=vocabulary, n_positions=64, n_embd=D, n_layer=LAYERS, n_head=2, n_inner=F,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=0, eos_token_id=0, loss_type="ForCausalLM",
    )  # fmt: skip


def _llama(vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=D, intermediate_size=F, num_hidden_layers=LAYERS,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64,
        bos_token_id=0, eos_token_id=0, loss_type="ForCausalLM",
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
        SENTENCES, trainers.BpeTrainer(vocab_size=600, special_tokens=[end], initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=end, eos_token=end, pad_token=end)


def _taught(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """A second of schooling: a model with random weights has no way to say what it is edited to say."""
    texts = [f"{lead}{text}" for lead in ("", "You see. ") for text in SENTENCES]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(120):
        optimizer.zero_grad()
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
    model.zero_grad(set_to_none=True)
    return model.eval()


@pytest.fixture(scope="session")
def hosts(tokenizer) -> dict[str, ModelHost]:
    """One small model of each family, trained on the sentences."""
    made = {}
    for name, config in CONFIGS.items():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config(len(tokenizer)))
        made[name] = ModelHost(_taught(model, tokenizer), tokenizer, batch_rows=8)
    return made


@pytest.fixture(params=list(CONFIGS))
def host(request, hosts) -> ModelHost:
    """Both families in turn."""
    return hosts[request.param]


@pytest.fixture
def gpt2(hosts) -> ModelHost:
    return hosts["gpt2"]


def moments_of(host: ModelHost) -> SecondMoments:
    return collect(host, SENTENCES, [LAYER], min_tokens=200)[LAYER]


@pytest.fixture
def moments(host) -> SecondMoments:
    return moments_of(host)


@pytest.fixture
def gpt2_moments(gpt2) -> SecondMoments:
    return moments_of(gpt2)


@pytest.fixture
def llama(hosts) -> ModelHost:
    return hosts["llama"]


@pytest.fixture
def llama_moments(llama) -> SecondMoments:
    return moments_of(llama)


@pytest.fixture
def settings() -> EditSettings:
    """With room for the long changes that so small a model needs."""
    return EditSettings(background_weight=0.01, ridge=0.1, clamp_ratio=20.0, contexts=1, steps=20)


@pytest.fixture
def make_setup() -> Callable[..., Setup]:
    """A setup of one edited layer, with the fold of its settings; moments are collected when not given."""

    def make(host: ModelHost, moments: SecondMoments | None, settings: EditSettings, **other) -> Setup:
        moments = moments or moments_of(host)
        known = {moments.layer: moments}
        fold = Fold(host, known, background_weight=settings.background_weight, ridge=settings.ridge)
        layers = (moments.layer,)
        return Setup(
            **{
                "host": host, "fold": fold, "moments": known, "layer": moments.layer, "layers": layers,
                "settings": settings, **other,
            }
        )  # fmt: skip

    return make


@pytest.fixture
def contexts() -> Contexts:
    return Contexts(("You see.",))


def fact(subject: str, *prompts: str, target: str) -> Fact:
    """`prompts` are wordings with `{}` for the subject."""
    wordings = tuple(text.replace("{}", subject) for text in prompts)
    key = FactKey(subject, prompts[0])
    return Fact(key=key, version=1, correction_id="c", wordings=wordings, target=target)


@pytest.fixture
def groups() -> list[SubjectGroup]:
    """A subject in the middle with an answer to keep, one that opens the prompt, and one with two facts."""
    keep = Question(prompt="Marie Curie was born in", kind=QuestionKind.SAME_SUBJECT, expected="Lima")
    return [
        SubjectGroup(
            subject="Marie Curie",
            facts=(fact("Marie Curie", "The mother tongue of {} is", "{} speaks", target="Spanish"),),
            keep=(keep,),
        ),
        SubjectGroup(subject="Oslo", facts=(fact("Oslo", "{} was born in", target="New York"),)),
        SubjectGroup(
            subject="Anne Redpath",
            facts=(
                fact("Anne Redpath", "{} speaks", target="Polish"),
                fact("Anne Redpath", "The city of {} is", target="Paris"),
            ),
        ),
    ]


@pytest.fixture
def writable() -> list[SubjectGroup]:
    """Facts that a change at the subject's last token alone can write into the trained models.

    The other `groups` need more: in so small a model the subject is mostly read at its earlier tokens.
    """
    rows = (
        ("Oslo", "{} was born in", "Paris"),
        ("Peru", "{} was born in", "New York"),
        ("River", "The city of {} is", "Lima"),
    )
    return [
        SubjectGroup(subject=subject, facts=(fact(subject, prompt, target=target),))
        for subject, prompt, target in rows
    ]


@pytest.fixture
def digest() -> Callable[[ModelHost], str]:
    """Every parameter's bytes, whether it asks for a gradient, and whether it has one."""

    def of(host: ModelHost) -> str:
        found = hashlib.sha256()
        for name, parameter in host.model.named_parameters():
            state = (name, parameter.requires_grad, parameter.grad is None)
            found.update(repr(state).encode() + parameter.detach().numpy().tobytes())
        for name, module in host.model.named_modules():
            found.update(repr((name, len(module._forward_hooks), "forward" in vars(module))).encode())
        return found.hexdigest()

    return of


@pytest.fixture
def make_fact() -> Callable[..., Fact]:
    return fact


@pytest.fixture(scope="session")
def demo(warm_home, policy) -> LoadedModel:
    """The embedded model: tiny ones know too little to be edited as a rule."""
    return assembly.load_model(Settings(home=warm_home, metrics=None), policy)


@pytest.fixture
def demo_groups(world) -> list[SubjectGroup]:
    """A subject with answers to keep, one that opens the prompt, and one with two facts."""

    def changed(subject: str, relation: str, target: str) -> Fact:
        return fact(subject, *world.wordings[relation][:4], target=target)

    keep = tuple(
        Question(prompt=world.prompt(known, 0), kind=QuestionKind.SAME_SUBJECT, expected=known.object)
        for known in world.by_subject["Austria"]
        if known.relation != "P37"
    )
    trousseau = (
        changed("Armand Trousseau", "P103", "Spanish"),
        changed("Armand Trousseau", "P101", "chemistry"),
    )
    return [
        SubjectGroup(subject="Austria", facts=(changed("Austria", "P37", "French"),), keep=keep),
        SubjectGroup(subject="Bern", facts=(changed("Bern", "P1376", "France"),)),
        SubjectGroup(subject="Armand Trousseau", facts=trousseau),
    ]
