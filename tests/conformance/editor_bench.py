"""What the conformance tests of editing methods share: setups of tiny models, facts, and what they look at.

Knows no method: names come from the registry. Nothing here is cached; the fixtures do that.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch
from tokenizers import processors
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Question, QuestionKind
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import MethodEditor, SubjectGroup
from guardedit.editing.hyper.checkpoint import NETWORKS
from guardedit.editing.hyper.training import Training
from guardedit.editing.hyper.training_data import EditSampler, FactExample
from guardedit.editing.hyper.training_settings import TrainingSettings
from guardedit.editing.method_card import MethodCard
from guardedit.editing.methods.lora import LoraSettings
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.optimise.rows import STOP
from guardedit.editing.registry import Registry
from guardedit.editing.settings import EditSettings, JointSettings
from guardedit.editing.setup import Setup
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import batch
from guardedit.models.weights.factors import Factors, parts_of, to_payload
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.second_moments import collect
from tests.tiny_models import FAMILIES, byte_tokenizer

#: Every registered method, as of now.
METHODS: tuple[str, ...] = Registry().names
#: Methods that share the code that reads facts and runs the model, and differ in algebra; others are alone.
ONE_ENGINE = (
    ("alphaedit", "coachhook", "d4s", "emmet", "encore", "memit", "memit-seq", "r-rome", "rome"),
    ("ft-l", "ft-m"),
    ("ke", "mend"),
)
ENGINES: tuple[tuple[str, ...], ...] = (
    *ONE_ENGINE,
    *((name,) for name in METHODS if not any(name in shared for shared in ONE_ENGINE)),
)
SUBJECTS = ("Oslo", "Marie Curie", "Anne Redpath", "Peru", "Ivan Popov", "Lena Berg")
SENTENCES = tuple(
    sentence.format(
        subject, language=("Norwegian", "Polish", "Spanish")[i % 3], city=("Lima", "Paris")[i % 2]
    )
    for i, subject in enumerate(SUBJECTS)
    for sentence in (
        "The mother tongue of {} is {language}.",
        "{} speaks {language}.",
        "{} was born in {city}.",
        "The city of {} is {city}.",
    )
)
#: Ordinary text: the sentences' own words in no order, so that the keys' second moments have full rank.
BACKGROUND = tuple(
    " ".join(random.Random(n).choices(sorted({word for line in SENTENCES for word in line.split()}), k=24))
    for n in range(48)
)
#: Methods that need not do well on so small a model, with the reason; their conduct is tested all the same.
UNRELIABLE = {
    "rome": "one value for 21 contexts after 20 steps, and a denominator that may vanish (arXiv:2406.11263)",
}
#: Where methods of one layer edit, and where those of several do; one layer more stands above.
LAYER, LAYERS = 1, (0, 1)
#: Few steps, and nothing refused for not being reached: what is tested here is conduct, not success.
QUICK = EditSettings(
    steps=12, contexts=1, background_weight=0.01, ridge=0.1, clamp_ratio=20.0, least_reached=0.0
)
QUICK_JOINT = JointSettings(steps=4, contexts=1, least_reached=0.0)

#: Two prefixes instead of twenty that are sampled.
FEW = Contexts(("You see.", "In the city of Paris it is said."))
#: What the settings do not say: a token test that would rarely open on random weights, and numbers as
#: published that take most of the time and change nothing here.
METHOD_SETTINGS: dict[str, dict[str, object]] = {
    "coachhook": {"alpha": -1e9},
    "lora": {"settings": LoraSettings(steps=15)},
    "r-rome": {"contexts": FEW},
    "rome": {"contexts": FEW},
}


@dataclass(frozen=True)
class Run:
    """Two proposals in a row, the second on top of the first, and the model's state around them."""

    setup: Setup
    editor: MethodEditor
    first: Proposal
    second: Proposal
    before: str
    after: str

    @property
    def edits(self) -> list[WeightEdit]:
        return [*self.first.edits, *self.second.edits]


def card_of(name: str) -> MethodCard:
    card: MethodCard = Registry().resolve(name).card
    return card


def editor_of(name: str, setup: Setup) -> MethodEditor:
    """As a policy's name builds it, but for `METHOD_SETTINGS`."""
    method = Registry().resolve(name)
    editor: MethodEditor = (
        method(setup, **METHOD_SETTINGS[name]) if name in METHOD_SETTINGS else method.build(setup)
    )
    return editor


def fact(subject: str, *prompts: str, target: str) -> Fact:
    """`prompts` are wordings with `{}` for the subject."""
    wordings = tuple(text.replace("{}", subject) for text in prompts)
    key = FactKey(subject, prompts[0])
    return Fact(key=key, version=1, correction_id="c", wordings=wordings, target=target)


def group(*facts: Fact, keep: Sequence[Question] = ()) -> SubjectGroup:
    return SubjectGroup(subject=facts[0].key.subject, facts=facts, keep=tuple(keep))


#: A subject in the middle with an answer to keep, and one that opens the prompt.
FIRST = (
    group(
        fact("Marie Curie", "The mother tongue of {} is", "{} speaks", target="Spanish"),
        keep=[Question(prompt="Marie Curie was born in", kind=QuestionKind.SAME_SUBJECT, expected="Paris")],
    ),
    group(fact("Oslo", "{} was born in", target="Paris")),
)
#: A subject with two facts.
SECOND = (
    group(
        fact("Anne Redpath", "The mother tongue of {} is", target="Polish"),
        fact("Anne Redpath", "The city of {} is", target="Paris"),
    ),
)
PROMPTS = tuple(each.prompt for made in (*FIRST, *SECOND) for each in made.facts)


def tokenizer_of(texts: Sequence[str] = SENTENCES, *, bos: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer; with `bos` it brackets every text, as some models' own do."""
    tokenizer = byte_tokenizer(texts)
    if bos:
        end = tokenizer.eos_token
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{end} $A {end}", special_tokens=[(end, 0)]
        )
    return tokenizer


def spread_out(model: PreTrainedModel) -> PreTrainedModel:
    """Random weights, biases and norms large enough for every part to show in the logits."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator).to(parameter), alpha=0.1)
    return model


def taught(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *, steps: int = 80) -> PreTrainedModel:
    """A second of schooling, after which the model knows the sentences."""
    encoded = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    inputs = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
    model.zero_grad(set_to_none=True)
    return model.eval()


def random_model(family: str, vocabulary: int) -> PreTrainedModel:
    return spread_out(FAMILIES[family](vocabulary))


def setup_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path, *, lessons: int = 2
) -> Setup:
    """With second moments of the edited layers, and trained editors in `folder` after `lessons` steps."""
    host = ModelHost(model, tokenizer, batch_rows=16)
    for method in NETWORKS:
        train(method, host, folder, steps=lessons)
    moments = collect(host, BACKGROUND, LAYERS, min_tokens=1000)
    fold = Fold(host, moments, background_weight=QUICK.background_weight, ridge=QUICK.ridge)
    return Setup(
        host=host, fold=fold, moments=moments, layer=LAYER, layers=LAYERS, settings=QUICK, joint=QUICK_JOINT,
        texts=BACKGROUND, known=known_questions(), trained=folder,
    )  # fmt: skip


def train(method: str, host: ModelHost, folder: Path, *, steps: int) -> None:
    """A few steps: what is edited later need not be edited well."""
    settings = TrainingSettings(
        steps=steps, edits=4, warmup=1, validate_every=steps, validation=2, constrained=method == "ke"
    )
    Training(method, host, EditSampler(lessons_of(SUBJECTS)), settings, folder).run()


def lessons_of(subjects: Sequence[str]) -> tuple[FactExample, ...]:
    return tuple(
        FactExample(
            subject=name,
            relation="speaks",
            wordings=(f"{name} speaks", f"The mother tongue of {name} is"),
            old=("Norwegian", "Polish", "Spanish")[i % 3],
            targets=(("Norwegian", "Polish", "Spanish")[(i + 1) % 3],),
        )
        for i, name in enumerate(subjects)
    )


def known_questions() -> tuple[Question, ...]:
    """What must not change, of subjects that nobody edits."""
    return tuple(
        Question(
            prompt=f"{name} speaks",
            kind=QuestionKind.OTHER_SUBJECT,
            expected=("Norwegian", "Polish", "Spanish")[SUBJECTS.index(name) % 3],
            subject=name,
        )
        for name in ("Ivan Popov", "Lena Berg")
    )


def run_on(setup: Setup, name: str) -> Run:
    before, editor = state_of(setup.host), editor_of(name, setup)
    first = editor.propose(FIRST, ())
    second = editor.propose(SECOND, first.edits)
    return Run(setup, editor, first, second, before, state_of(setup.host))


def state_of(host: ModelHost) -> str:
    """Digest of the model's tensors and their identity, gradients, modes, modules, hooks and attributes."""
    found = hashlib.sha256()
    for name, tensor in [*host.model.named_parameters(), *host.model.named_buffers()]:
        state = (name, id(tensor), tensor.data_ptr(), tensor.dtype, tensor.requires_grad, tensor.grad is None)
        found.update(repr(state).encode())
        found.update(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    for name, module in host.model.named_modules():
        hooks = [sorted(vars(module)[kind]) for kind in vars(module) if kind.endswith("hooks")]
        state = (name, type(module), id(module), module.training, hooks, sorted(vars(module)))
        found.update(repr(state).encode())
    found.update(repr((torch.is_grad_enabled(), torch.get_num_threads(), host.is_patched)).encode())
    return found.hexdigest()


def payloads(proposal: Proposal) -> list[bytes]:
    return [edit.payload for edit in proposal.edits]


def reread(edits: Sequence[WeightEdit]) -> list[WeightEdit]:
    """The edits as if they came from the ledger: only their bytes are left."""
    return [
        WeightEdit(
            subject=edit.subject,
            facts=edit.facts,
            method=edit.method,
            payload=to_payload(*parts_of(bytes(edit.payload))),
            diagnostics=dict(edit.diagnostics),
        )
        for edit in edits
    ]


def tensors_of(edits: Sequence[WeightEdit]) -> list[Tensor]:
    """Every tensor of every payload."""
    found: list[Tensor] = []
    for part in (part for edit in edits for part in parts_of(edit.payload)):
        found += [part.left, part.right, *(() if part.key is None else (part.key,)), *part.extra.values()]
    return found


def difference(one: WeightEdit, other: WeightEdit) -> float:
    """Largest relative distance between two edits' parts, as `left @ right.T` in the Frobenius norm."""
    pairs = list(zip(parts_of(one.payload), parts_of(other.payload), strict=True))
    assert [(a.layer, a.kind) for a, _ in pairs] == [(b.layer, b.kind) for _, b in pairs]
    return max(_distance(a, b) for a, b in pairs)


def _distance(a: Factors, b: Factors) -> float:
    first, second = a.left.double() @ a.right.double().T, b.left.double() @ b.right.double().T
    return float((first - second).norm() / first.norm().clamp(min=1e-12))


@torch.no_grad()
def logits_of(setup: Setup, edits: Sequence[WeightEdit], prompts: Sequence[str] = PROMPTS) -> Tensor:
    """Of the last token of each prompt, one prompt at a time, float32 [prompts, vocabulary]."""
    host, rows = setup.host, []
    with host.patched(setup.fold.fold(edits)):
        for prompt in prompts:
            ids = batch(host.tokenizer, [prompt], context=host.context).ids
            rows.append(host.model(input_ids=ids, use_cache=False).logits[0, -1].float())
    return torch.stack(rows)


@torch.no_grad()
def nll_of(setup: Setup, edits: Sequence[WeightEdit], facts: Sequence[Fact]) -> list[float]:
    """Mean negative log-likelihood of each fact's answer after its own prompt, in nats."""
    host, found = setup.host, []
    with host.patched(setup.fold.fold(edits)):
        for each in facts:
            rows = batch(host.tokenizer, [each.prompt], [each.target + STOP], context=host.context)
            logits = host.model(input_ids=rows.ids, use_cache=False).logits[0].float()
            found.append(float(cross_entropy(logits, rows.targets[0], ignore_index=-100)))
    return found


def likelier(setup: Setup, proposal: Proposal, groups: Sequence[SubjectGroup]) -> list[bool]:
    """Of each edit, whether its answers are likelier with it; those made one by one are judged where made.

    Those of `UNRELIABLE` methods count as if they were.
    """
    facts = {each.id: each for made in groups for each in made.facts}
    one_by_one = card_of(proposal.method).batch == "one by one"
    found = []
    for n, edit in enumerate(proposal.edits):
        mine = [facts[name] for name in edit.facts]
        before, after = (proposal.edits[:n], proposal.edits[: n + 1]) if one_by_one else ((), proposal.edits)
        helped = sum(nll_of(setup, after, mine)) < sum(nll_of(setup, before, mine))
        found.append(helped or proposal.method in UNRELIABLE)
    return found


@contextmanager
def counted(host: ModelHost, *, fail_at: int | None = None, backward: bool = False) -> Iterator[list[int]]:
    """Count the runs of decoder layers; the one numbered `fail_at`, from 1, runs out of memory.

    With `backward` those runs count that take part in a gradient, and it is their backward pass that fails.
    """
    runs, numbers = [0], count(1)

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("out of memory, as asked for")

    def hook(_module: object, _args: object, result: object) -> None:
        output = result[0] if isinstance(result, tuple) else result
        if backward and not output.requires_grad:
            return
        runs[0] = next(numbers)
        if runs[0] == fail_at:
            if not backward:
                fail()
            output.register_hook(fail)

    handles = [host.decoder_layer(n).register_forward_hook(hook) for n in range(host.layers)]
    try:
        yield runs
    finally:
        for handle in handles:
            handle.remove()
