"""Prompts that are decoded together are answered as if each were alone."""

from __future__ import annotations

import pytest

from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.models.text import generation
from guardedit.models.text.decoding import can_pad, greedy, loops
from guardedit.models.text.passes import DECODED_TOKENS, shared_beginning, similar_lengths
from tests.tiny_models import CONTEXT, FAMILIES, KIN, byte_tokenizer, talkative

PROMPTS = [f"{'Anne and ' * (n % 3)}Bob number {'7' * n}" for n in range(1, 9)]
CHATS = [f"<system>You are a helpful assistant.</system>{prompt}?" for prompt in [*PROMPTS, "Oslo", "Peru"]]
ALL = {**FAMILIES, **KIN}


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """The number of rows of each loop."""
    found: list[int] = []

    def recorded(model, rows, append, **options):
        found.append(len(rows))
        return greedy(model, rows, append, **options)

    monkeypatch.setattr(generation, "greedy", recorded)
    return found


@pytest.mark.parametrize("family", ALL)
@pytest.mark.parametrize("prompts", [PROMPTS, CHATS], ids=["different", "one beginning"])
def test_together_is_as_alone(family, prompts, decoded):
    host = talkative(family)
    together = host.complete(prompts)
    loops_together = len(decoded)
    assert together == [host.complete([prompt])[0] for prompt in prompts]
    assert len(set(together)) > len(prompts) / 2
    if can_pad(host.model):
        assert loops_together < len(prompts) / 2
    assert sum(decoded[:loops_together]) == len(prompts)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "opt", "falcon"])
def test_most_families_share_loops(family):
    assert can_pad(talkative(family).model)


@pytest.mark.parametrize("window", [8, 48])
def test_a_window_that_is_shorter_than_the_texts_counts_no_padding(window):
    tokenizer = byte_tokenizer()
    model = talkative("mistral").model
    model.config.sliding_window = window
    host = ModelHost(model, tokenizer)
    for prompts in (PROMPTS, CHATS):
        assert host.complete(prompts) == [host.complete([prompt])[0] for prompt in prompts]


def test_complete_answers_leave_the_batch(monkeypatch):
    host = talkative("llama")
    sizes = []
    forward = type(host.model).forward

    def recorded(model, input_ids=None, **arguments):
        sizes.append(len(input_ids))
        return forward(model, input_ids=input_ids, **arguments)

    rows = [[1 + n, 2, 3 + n] for n in range(8)]
    limit = {1 + n: 1 + n for n in range(8)}
    seen: dict[int, int] = {}

    def append(row: list[int], token: int) -> str | None:
        place = seen.setdefault(id(row), len(seen) + 1)
        row.append(token)
        return str(row) if len(row) >= limit[place] else None

    def seven(row: list[int], token: int) -> str | None:
        row.append(token)
        return str(row) if len(row) >= 7 else None

    plain = greedy(host.model, rows, seven, most=8, device="cpu")
    monkeypatch.setattr(host.model, "forward", recorded.__get__(host.model))
    assert all(text.startswith("[") for text in plain)
    greedy(host.model, rows, append, most=8, device="cpu")
    assert sizes[0] == 8
    assert sizes[-1] < 3
    assert sizes == sorted(sizes, reverse=True)


def test_a_bypass_gets_no_padding(decoded):
    host = talkative("llama")

    class Doubled:
        layer, sha256 = 1, "0"

        def __call__(self, keys, values, past=0):
            return 2 * values

    with host.patched(Patch(bypasses=[Doubled()])):
        host.complete(PROMPTS)
    assert decoded == [1] * len({len(prompt) for prompt in PROMPTS})


def test_a_model_without_positions_gets_no_padding(monkeypatch, decoded):
    host = talkative("llama")
    monkeypatch.setattr(generation, "can_pad", lambda model: False)
    host.complete(PROMPTS)
    assert len(decoded) == len({len(prompt) for prompt in PROMPTS})


def test_lengths_share_a_loop_only_where_padding_is_possible():
    rows = [[0] * 4] * 8 + [[0] * 5, [0] * 6]
    assert loops(rows, at_most=64, padded=True) == [list(range(10))]
    assert loops(rows, at_most=64, padded=False) == [list(range(8)), [8], [9]]


def test_groups_are_bounded_by_padding_rows_and_tokens():
    rows = [[0] * n for n in (1, 1, 8, 9, 90)]
    assert similar_lengths(rows, at_most=64) == [[0, 1], [2, 3], [4]]
    assert similar_lengths(rows[2:4], at_most=1) == [[0], [1]]
    long = [[0] * DECODED_TOKENS, [0] * DECODED_TOKENS]
    assert similar_lengths(long, at_most=2) == [[0], [1]]


def test_a_beginning_leaves_a_token_of_every_row():
    assert shared_beginning([[1] * 9, [1] * 12]) == 8
    assert shared_beginning([[1] * 8, [1] * 12]) == 0
    assert shared_beginning([[*[1] * 10, 2, 3], [*[1] * 10, 4, 3]]) == 10


def test_prompts_as_long_as_the_context_allows_are_answered():
    host = talkative("gpt2")
    prompts = ["a" * (CONTEXT - 12 - n) for n in range(3)]
    assert host.complete(prompts) == [host.complete([prompt])[0] for prompt in prompts]
