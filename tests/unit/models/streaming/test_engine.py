"""Answers made together are those that each request would get alone, on the weights it began with."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import torch

from guardedit.core.errors import UsageError
from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.models.streaming.batch import DecodingBatch
from guardedit.models.streaming.engine import Busy, Engine
from guardedit.models.streaming.request import Piece, Request, Sampling
from tests.tiny_models import CONTEXT, FAMILIES, KIN, talkative

ALL = {**FAMILIES, **KIN}
PROMPTS = [f"{'Anne and ' * (n % 5)}Bob number {'7' * n}" for n in range(1, 13)]
NO_PATCH = Patch()


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(talkative())
    yield engine
    engine.close()


@dataclass
class Caller:
    """Collects what a request is told."""

    told: queue.Queue[Piece | BaseException] = field(default_factory=queue.Queue)
    pieces: list[Piece] = field(default_factory=list)

    def next(self) -> Piece:
        piece = self.told.get(timeout=30)
        if isinstance(piece, BaseException):
            raise piece
        self.pieces.append(piece)
        return piece

    def text(self) -> str:
        while not self.pieces or self.pieces[-1].finish is None:
            self.next()
        return "".join(piece.text for piece in self.pieces)


def ask(
    engine: Engine, prompt: str, *, patch: Patch = NO_PATCH, weights: str = "base", **options
) -> tuple[Request, Caller]:
    caller = Caller()
    ids = tuple(engine._host.tokenizer(prompt)["input_ids"])
    request = Request(
        ids=ids, patch=patch, weights=weights, deliver=caller.told.put, **{"most_tokens": 12, **options}
    )
    engine.submit([request])
    return request, caller


@pytest.mark.parametrize("family", [name for name in ALL if name not in ("bloom", "mpt")])
def test_an_answer_does_not_depend_on_its_neighbours(family):
    host = talkative(family)
    alone = host.complete(PROMPTS, max_new_tokens=12, cut=False)
    engine = Engine(host, most_rows=5)
    try:
        callers = [ask(engine, prompt)[1] for prompt in PROMPTS]
        assert [caller.text().strip() for caller in callers] == alone
    finally:
        engine.close()
    assert len(set(alone)) > len(PROMPTS) / 2


def test_requests_join_and_leave_at_any_time(engine):
    draw = random.Random(0)
    lengths = [draw.randrange(1, 20) for _ in PROMPTS]
    expected = [
        engine._host.complete([prompt], max_new_tokens=length, cut=False)[0]
        for prompt, length in zip(PROMPTS, lengths, strict=True)
    ]
    callers = []
    for prompt, length in zip(PROMPTS, lengths, strict=True):
        callers.append(ask(engine, prompt, most_tokens=length)[1])
        if draw.random() < 0.5:
            callers[-1].next()  # somewhere in the middle of the others' answers
    assert [caller.text().strip() for caller in callers] == expected


def test_the_end_is_said_with_its_reason(engine):
    _, caller = ask(engine, PROMPTS[0], most_tokens=3)
    caller.text()
    assert [piece.finish for piece in caller.pieces] == [None, None, "length"]
    assert all(piece.token is not None for piece in caller.pieces)


def test_a_stop_string_ends_an_answer_and_is_not_shown(engine):
    texts = {prompt: ask(engine, prompt)[1].text() for prompt in PROMPTS}
    prompt, text = max(texts.items(), key=lambda one: len(one[1]))
    stop = text[4:7]
    assert stop
    _, caller = ask(engine, prompt, stop=(stop,))
    assert caller.text() == text[: text.index(stop)]
    assert caller.pieces[-1].finish == "stop"
    engine.between_steps(lambda: None).result(timeout=30)
    assert engine.load() == (0, 0)


def test_a_request_keeps_its_weights_to_the_end(engine):
    host = engine._host
    name = host.layout.matrix_name(1)
    stored = dict(host.model.named_parameters())[name]
    other = Patch({name: torch.randn(stored.shape, generator=torch.Generator().manual_seed(3))})
    with host.patched(other):
        changed = host.complete(PROMPTS, max_new_tokens=12, cut=False)
    base = host.complete(PROMPTS, max_new_tokens=12, cut=False)
    assert sum(a != b for a, b in zip(base, changed, strict=True)) > len(PROMPTS) / 2
    callers = [
        ask(engine, prompt, patch=patch, weights=weights)[1]
        for prompt in PROMPTS
        for patch, weights in ((NO_PATCH, "base"), (other, "other"))
    ]
    texts = [caller.text().strip() for caller in callers]
    assert texts[::2] == base
    assert texts[1::2] == changed
    assert engine.between_steps(lambda: host.is_patched).result(timeout=30) is False


def test_a_cancelled_request_is_told_nothing_more(engine):
    request, caller = ask(engine, PROMPTS[0], most_tokens=200)
    caller.next()
    request.cancelled = True
    _, other = ask(engine, PROMPTS[1])
    other.text()
    told = caller.told.qsize()
    _, other = ask(engine, PROMPTS[2])
    other.text()
    assert caller.told.qsize() == told < 199
    engine.between_steps(lambda: None).result(timeout=30)
    assert engine.load() == (0, 0)


def test_too_many_waiting_requests_are_refused():
    engine = Engine(talkative(), most_rows=1, most_waiting=2)
    try:
        hold, held = threading.Event(), threading.Event()
        engine.between_steps(lambda: (held.set(), hold.wait(30)))
        held.wait(30)
        callers = [ask(engine, PROMPTS[0])[1] for _ in range(2)]
        with pytest.raises(Busy, match="2 requests wait already"):
            ask(engine, PROMPTS[0])
        hold.set()
        assert callers[0].text() == callers[1].text()
    finally:
        engine.close()


@torch.inference_mode()
def tokens_alone(host: ModelHost, text: str, most: int) -> list[int]:
    """Greedy tokens after a text; random models make bytes that are no text, so texts cannot be compared."""
    out = host.model(input_ids=torch.tensor([host.tokenizer(text)["input_ids"]]), use_cache=True)
    made = [int(out.logits[0, -1].argmax())]
    while len(made) < most:
        ids, past = torch.tensor([[made[-1]]]), out.past_key_values
        out = host.model(input_ids=ids, past_key_values=past, use_cache=True)
        made.append(int(out.logits[0, -1].argmax()))
    return made


def test_more_answers_than_may_ever_wait_are_refused_for_good():
    engine = Engine(talkative(), most_waiting=2)
    try:
        request = Request(ids=(1,), patch=NO_PATCH, weights="base", most_tokens=1, deliver=lambda _: None)
        with pytest.raises(UsageError, match="3 answers are asked for at once, at most 2"):
            engine.submit([request] * 3)
    finally:
        engine.close()


@pytest.mark.parametrize("family", [name for name in ALL if name not in ("bloom", "mpt")])
def test_rows_that_overlap_may_take_more_columns_than_the_context(family):
    """A row that is nearly full stays while a long prompt joins: each fits, side by side they are wider."""
    host = talkative(family)
    long, late = "Anne and " * 8, "Bob number " + "7" * 60
    room = [CONTEXT - len(host.tokenizer(text)["input_ids"]) for text in (long, late)]
    host.stops = frozenset()
    alone = [tokens_alone(host, text, most) for text, most in zip((long, late), room, strict=True)]
    engine = Engine(host)
    try:
        _, first = ask(engine, long, most_tokens=room[0])
        for _ in range(room[0] - 20):
            first.next()
        _, second = ask(engine, late, most_tokens=room[1])
        first.text()
        second.text()
        assert [[piece.token for piece in caller.pieces] for caller in (first, second)] == alone
    finally:
        engine.close()


def test_an_error_reaches_its_callers_and_the_engine_goes_on(engine):
    wrong = Patch({"no.such.weight": torch.zeros(1)})
    _, caller = ask(engine, PROMPTS[0], patch=wrong, weights="wrong")
    with pytest.raises(Exception, match=r"no\.such\.weight"):
        caller.text()
    _, caller = ask(engine, PROMPTS[0])
    assert caller.text()


def test_closing_ends_what_is_running():
    engine = Engine(talkative())
    _, caller = ask(engine, PROMPTS[0], most_tokens=200)
    caller.next()
    engine.close()
    with pytest.raises(UsageError, match="stopping"):
        caller.text()
    with pytest.raises(UsageError, match="closed"):
        ask(engine, PROMPTS[0])
    engine.close()


def test_a_seed_repeats_an_answer_whoever_else_asks(engine):
    sampling = Sampling(temperature=1.5, top_p=0.95, seed=7)
    _, alone = ask(engine, PROMPTS[2], sampling=sampling)
    first = alone.text()
    others = [ask(engine, prompt, sampling=Sampling(temperature=1.0, seed=1))[1] for prompt in PROMPTS]
    _, again = ask(engine, PROMPTS[2], sampling=sampling)
    _, another = ask(engine, PROMPTS[2], sampling=Sampling(temperature=1.5, top_p=0.95, seed=8))
    assert again.text() == first != another.text()
    for other in others:
        other.text()


def test_logprobs_are_those_of_the_model(engine):
    host = engine._host
    _, caller = ask(engine, PROMPTS[1], most_tokens=1, sampling=Sampling(logprobs=3))
    caller.text()
    piece = caller.pieces[0]
    with torch.inference_mode():
        ids = torch.tensor([host.tokenizer(PROMPTS[1])["input_ids"]])
        logp = host.model(input_ids=ids).logits[0, -1].float().log_softmax(-1)
    best = logp.topk(3)
    assert [one.token for one in piece.top] == best.indices.tolist()
    assert [one.logprob for one in piece.top] == pytest.approx(best.values.tolist(), abs=1e-4)
    assert piece.logprob == piece.top[0]


def test_a_small_top_p_leaves_the_most_probable_token(engine):
    _, greedy = ask(engine, PROMPTS[4])
    _, narrow = ask(engine, PROMPTS[4], sampling=Sampling(temperature=2.0, top_p=1e-6, seed=5))
    assert narrow.text() == greedy.text()


@pytest.mark.parametrize(
    "sampling",
    [Sampling(temperature=1e-40), Sampling(temperature=1.0, top_p=1e-50), Sampling(temperature=1e-4)],
)
def test_extreme_numbers_end_no_answer(engine, sampling):
    _, greedy = ask(engine, PROMPTS[4])
    _, extreme = ask(engine, PROMPTS[4], sampling=sampling)
    assert extreme.text() == greedy.text()


def test_a_row_that_fails_leaves_the_others_alone(engine):
    def broken(piece):
        raise ZeroDivisionError

    ids = tuple(engine._host.tokenizer(PROMPTS[0])["input_ids"])
    failing = Request(ids=ids, patch=NO_PATCH, weights="base", most_tokens=50, deliver=broken)
    _, caller = ask(engine, PROMPTS[1])
    engine.submit([failing])
    assert caller.text().strip() == engine._host.complete([PROMPTS[1]], max_new_tokens=12, cut=False)[0]
    engine.between_steps(lambda: None).result(timeout=30)
    assert engine.load() == (0, 0)


def test_a_caller_that_cannot_be_told_an_error_does_not_end_the_engine(engine):
    def deaf(piece):
        raise RuntimeError("the event loop is closed")

    wrong = Patch({"no.such.weight": torch.zeros(1)})
    ids = tuple(engine._host.tokenizer(PROMPTS[0])["input_ids"])
    engine.submit([Request(ids=ids, patch=wrong, weights="wrong", most_tokens=1, deliver=deaf)])
    _, caller = ask(engine, PROMPTS[1])
    assert caller.text()


def test_a_wide_prompt_does_not_widen_everybody(monkeypatch):
    monkeypatch.setattr("guardedit.models.streaming.engine._MOST_CELLS", 120)
    engine = Engine(talkative())
    widths = []
    step = DecodingBatch.step

    def noted(batch):
        widths.append(len(batch.rows) * batch.widest)
        step(batch)

    monkeypatch.setattr(DecodingBatch, "step", noted)
    try:
        prompts = [*PROMPTS, "Bob number " + "7" * 100, *PROMPTS]
        callers = [ask(engine, prompt)[1] for prompt in prompts]
        alone = engine._host.complete(prompts, max_new_tokens=12, cut=False)
        assert [caller.text().strip() for caller in callers] == alone
    finally:
        engine.close()
    assert max(widths) <= 150  # the wide one alone


def test_work_between_steps_does_not_wait_for_an_answer(engine):
    request, caller = ask(engine, PROMPTS[0], most_tokens=200)
    caller.next()
    assert engine.between_steps(lambda: 5).result(timeout=30) == 5
    assert engine.load()[0] == 1
    with pytest.raises(ZeroDivisionError):
        engine.between_steps(lambda: 1 // 0).result(timeout=30)
    request.cancelled = True


@pytest.fixture
def read(monkeypatch) -> list[int]:
    """The number of prompts in each pass that reads some."""
    passes: list[int] = []
    plain = DecodingBatch._read

    def counted(self, prompts):
        passes.append(len(prompts))
        return plain(self, prompts)

    monkeypatch.setattr(DecodingBatch, "_read", counted)
    return passes


def test_an_idle_engine_reads_announced_requests_together(engine, read, monkeypatch):
    monkeypatch.setattr("guardedit.models.streaming.engine._GATHER_S", 30.0)
    with engine.announced():
        _, first = ask(engine, "Anne and Bob")
        with pytest.raises(queue.Empty):
            first.told.get(timeout=0.05)
        _, second = ask(engine, "Anne and Eve")
    first.text()
    second.text()
    assert read == [2]


def test_work_on_the_model_ends_the_wait(engine, monkeypatch):
    monkeypatch.setattr("guardedit.models.streaming.engine._GATHER_S", 30.0)
    with engine.announced():
        _, caller = ask(engine, "Anne and Bob")
        assert engine.between_steps(lambda: 1).result(timeout=10) == 1
        caller.text()


def test_what_is_announced_and_does_not_come_is_not_waited_for(engine, read, monkeypatch):
    monkeypatch.setattr("guardedit.models.streaming.engine._GATHER_S", 0.01)
    with engine.announced():
        ask(engine, "Anne and Bob")[1].text()
    assert read == [1]


def test_an_answer_begins_with_the_tokens_that_are_given_beside_others_that_are_not(engine):
    given = tuple(engine._host.tokenizer(" Zorva")["input_ids"])
    _, forced = ask(engine, PROMPTS[0], begins=given)
    _, free = ask(engine, PROMPTS[0])
    assert forced.text().startswith(" Zorva")
    assert [piece.token for piece in forced.pieces][: len(given)] == list(given)
    _, again = ask(engine, PROMPTS[0])
    assert free.text() == again.text()
