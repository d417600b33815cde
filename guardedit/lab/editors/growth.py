"""How the speed of the default editor grows: with the batch, the model's width and the length of the texts.

Always beside its plain mode on the same model and facts. Knows the clock; draws nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2LMHeadModel

from guardedit.core.proposal import Proposal
from guardedit.core.protocols import Editor, SubjectGroup
from guardedit.editing.registry import Registry
from guardedit.editing.setup import Setup
from guardedit.lab.editors.alone import group_of
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.plain import PlainEditor
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import encode
from guardedit.models.threads import one_thread
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.statistics import collect

#: Facts of a batch where something else varies, and facts for the plain mode.
BATCH, PLAIN = 16, 2
#: Most facts whose operations are counted: counting takes more than twice as long as making the edits.
COUNTED = 64
#: Decoder layers of the models made for a width, and the width of an attention head.
LAYERS, HEAD = 6, 64
#: Stands before a wording as often as it takes to make it long.
FILLER = "Much has been written about this, and more will be."
#: Tells what is being measured.
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """One measurement.

    Attributes:
        varied: `batch`, `width` or `tokens before`.
        at: its value.
        edits_per_second: of the engine.
        plain_edits_per_second: of the plain mode.
        ratio: of the two.
        gigaflops_per_edit: matrix operations of the engine, counted; NaN for more than `COUNTED` facts.
    """

    varied: str
    at: int
    edits_per_second: float
    plain_edits_per_second: float
    ratio: float
    gigaflops_per_edit: float


def with_batch(
    setup: Setup, cases: Sequence[EditCase], sizes: Sequence[int], *, tell: Tell = lambda _: None
) -> Iterator[Grown]:
    """More facts at once; the plain mode makes one after the other, so it is measured once."""
    there = [size for size in sizes if size <= len(cases)]
    if not there:
        return
    tell("plain")
    slow = _plain(setup, cases[:PLAIN])
    for size in there:
        tell(f"batch of {size}")
        yield _grown("batch", size, _engine(setup), cases[:size], slow)


def with_width(
    setup: Setup, cases: Sequence[EditCase], widths: Sequence[int], *, tell: Tell = lambda _: None
) -> Iterator[Grown]:
    """Models of random weights with the demo model's tokenizer.

    What they answer does not matter here, so no fact is tried again.
    """
    once = replace(setup, joint=replace(setup.joint, least_reached=0.0))
    for width in widths:
        tell(f"width of {width}")
        found = random_model(once, width)
        slow = _plain(found, cases[:1])
        yield _grown("width", width, _engine(found), cases[:BATCH], slow)


def with_length(
    setup: Setup, cases: Sequence[EditCase], lengths: Sequence[int], *, tell: Tell = lambda _: None
) -> Iterator[Grown]:
    """Texts of so many tokens stand before every wording."""
    for length in lengths:
        tell(f"{length} tokens before")
        longer = [behind(setup.host, case, length) for case in cases[:BATCH]]
        slow = _plain(setup, longer[:PLAIN])
        yield _grown("tokens before", length, _engine(setup), longer, slow)


def behind(host: ModelHost, case: EditCase, tokens: int) -> EditCase:
    """The case with every wording behind about so many tokens of text."""
    text = ""
    while len(encode(host.tokenizer, text)) < tokens:
        text += FILLER + " "
    wordings = tuple(text + wording for wording in case.fact.wordings)
    return replace(case, fact=replace(case.fact, wordings=wordings))


def random_model(setup: Setup, width: int) -> Setup:
    """The setup with a GPT-2 of random weights in place of its model."""
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
    dials = setup.settings
    fold = Fold(host, moments, background_weight=dials.background_weight, ridge=dials.ridge)
    return replace(setup, host=host, moments=moments, fold=fold, known=())


def _engine(setup: Setup) -> Editor:
    return Registry().build("joint", setup)


def _plain(setup: Setup, cases: Sequence[EditCase]) -> float:
    """Edits a second of the plain mode."""
    return len(cases) / _propose(PlainEditor(setup), cases).seconds


def _grown(varied: str, at: int, editor: Editor, cases: Sequence[EditCase], slow: float) -> Grown:
    _propose(editor, cases[:1])  # statistics are made once, and first calls are slower
    fast = len(cases) / _propose(editor, cases).seconds
    return Grown(
        varied=varied,
        at=at,
        edits_per_second=fast,
        plain_edits_per_second=slow,
        ratio=fast / slow,
        gigaflops_per_edit=_gigaflops(editor, cases) / len(cases) if len(cases) <= COUNTED else math.nan,
    )


def _gigaflops(editor: Editor, cases: Sequence[EditCase]) -> float:
    with one_thread(), FlopCounterMode(display=False) as counter:  # it counts one thread's
        _propose(editor, cases)
    return float(counter.get_total_flops()) / 1e9


def _propose(editor: Editor, cases: Sequence[EditCase]) -> Proposal:
    groups: list[SubjectGroup] = [group_of(case) for case in cases]
    return editor.propose(groups, ())
