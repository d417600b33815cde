"""Measures how the default editor's speed depends on batch size, model width and text length.

Every measurement is compared with the plain editor on the same model and facts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2LMHeadModel

from guardedit.core.proposal import Proposal
from guardedit.core.protocols import MethodEditor, SubjectGroup
from guardedit.editing.registry import Registry
from guardedit.editing.setup import Setup
from guardedit.lab.editors.alone import group_of
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.plain import PlainEditor
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import encode
from guardedit.models.threads import one_thread
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.second_moments import collect

#: Facts per batch where width or length varies, and facts for the plain editor.
BATCH, PLAIN = 16, 2
#: Operations are counted for at most this many facts: counting takes more than twice as long as editing.
COUNTED = 64
#: Decoder layers of the random models, and the width of an attention head.
LAYERS, HEAD = 6, 64
#: The text that is repeated before a wording until it is long enough.
FILLER = "Much has been written about this, and more will be."
#: Called with the name of the current measurement.
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedPoint:
    """One measurement.

    Attributes:
        varied: `batch`, `width` or `tokens before`.
        at: its value.
        edits_per_second: rate of the default editor.
        plain_edits_per_second: rate of the plain editor.
        ratio: ratio of the two rates.
        gigaflops_per_edit: counted matrix operations of the default editor; NaN for more than `COUNTED`
            facts.
    """

    varied: str
    at: int
    edits_per_second: float
    plain_edits_per_second: float
    ratio: float
    gigaflops_per_edit: float


def with_batch(
    setup: Setup, cases: Sequence[EditCase], sizes: Sequence[int], *, tell: Tell = lambda _: None
) -> Iterator[SpeedPoint]:
    """Vary the batch. The plain editor makes one edit at a time, so it is measured once.

    Sizes above the number of cases are left out.
    """
    feasible = [size for size in sizes if size <= len(cases)]
    if not feasible:
        return
    tell("plain")
    plain = _plain_rate(setup, cases[:PLAIN])
    for size in feasible:
        tell(f"batch of {size}")
        yield _measure("batch", size, _joint_editor(setup), cases[:size], plain)


def with_width(
    setup: Setup, cases: Sequence[EditCase], widths: Sequence[int], *, tell: Tell = lambda _: None
) -> Iterator[SpeedPoint]:
    """Vary the width of models with random weights and the demo model's tokenizer.

    Their answers are meaningless, so the editor does not retry facts whose target it did not reach.
    """
    without_retries = replace(setup, joint=replace(setup.joint, least_reached=0.0))
    for width in widths:
        tell(f"width of {width}")
        random_setup = random_model(without_retries, width)
        plain = _plain_rate(random_setup, cases[:1])
        yield _measure("width", width, _joint_editor(random_setup), cases[:BATCH], plain)


def with_length(
    setup: Setup, cases: Sequence[EditCase], lengths: Sequence[int], *, tell: Tell = lambda _: None
) -> Iterator[SpeedPoint]:
    """Vary the number of tokens before every wording."""
    for length in lengths:
        tell(f"{length} tokens before")
        longer = [with_prefix(setup.host, case, length) for case in cases[:BATCH]]
        plain = _plain_rate(setup, longer[:PLAIN])
        yield _measure("tokens before", length, _joint_editor(setup), longer, plain)


def with_prefix(host: ModelHost, case: EditCase, tokens: int) -> EditCase:
    """The case with at least `tokens` tokens of text before every wording."""
    text = ""
    while len(encode(host.tokenizer, text)) < tokens:
        text += FILLER + " "
    wordings = tuple(text + wording for wording in case.fact.wordings)
    return replace(case, fact=replace(case.fact, wordings=wordings))


def random_model(setup: Setup, width: int) -> Setup:
    """The setup with a randomly initialised GPT-2 of this width, seeded by `setup.seed`."""
    tokenizer = setup.host.tokenizer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setup.seed)
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=len(tokenizer),
                n_positions=setup.host.context,
                n_embd=width,
                n_layer=LAYERS,
                n_head=max(n for n in range(1, max(1, width // HEAD) + 1) if width % n == 0),
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=0,
                eos_token_id=0,
            )
        )
    host = ModelHost(model, tokenizer)
    moments = collect(host, setup.texts, setup.layers, min_tokens=1)
    settings = setup.settings
    fold = Fold(host, moments, background_weight=settings.background_weight, ridge=settings.ridge)
    return replace(setup, host=host, moments=moments, fold=fold, known=())


def _joint_editor(setup: Setup) -> MethodEditor:
    return Registry().build("joint", setup)


def _plain_rate(setup: Setup, cases: Sequence[EditCase]) -> float:
    """Edits per second of the plain editor."""
    return len(cases) / _propose(PlainEditor(setup), cases).seconds


def _measure(
    varied: str, at: int, editor: MethodEditor, cases: Sequence[EditCase], plain: float
) -> SpeedPoint:
    _propose(editor, cases[:1])  # computes the statistics; the first call is slower anyway
    rate = len(cases) / _propose(editor, cases).seconds
    return SpeedPoint(
        varied=varied,
        at=at,
        edits_per_second=rate,
        plain_edits_per_second=plain,
        ratio=rate / plain,
        gigaflops_per_edit=_gigaflops(editor, cases) / len(cases) if len(cases) <= COUNTED else math.nan,
    )


def _gigaflops(editor: MethodEditor, cases: Sequence[EditCase]) -> float:
    with one_thread(), FlopCounterMode(display=False) as counter:  # the counter sees one thread only
        _propose(editor, cases)
    return float(counter.get_total_flops()) / 1e9


def _propose(editor: MethodEditor, cases: Sequence[EditCase]) -> Proposal:
    groups: list[SubjectGroup] = [group_of(case) for case in cases]
    return editor.propose(groups, ())
