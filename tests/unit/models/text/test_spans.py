"""A span is said exactly if greedy generation says it."""

from __future__ import annotations

import pytest
import torch

from guardedit.models.host import ModelHost
from guardedit.models.text.spans import Expected, score_spans
from tests.tiny_models import FAMILIES, byte_tokenizer

PROMPTS = ("The capital of Norway is", "Anne", "A river runs past the", "Bob sees")


@pytest.fixture(params=["gpt2", "llama", "gemma2", "gpt_neox", "opt", "qwen3"])
def host(request) -> ModelHost:
    tokenizer = byte_tokenizer()
    return ModelHost(FAMILIES[request.param](len(tokenizer)), tokenizer)


@torch.no_grad()
def greedy(host: ModelHost, prompt: str, tokens: int) -> list[int]:
    ids = host.tokenizer(prompt)["input_ids"]
    for _ in range(tokens):
        ids = [*ids, int(host.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())]
    return ids[-tokens:]


@torch.no_grad()
def test_a_span_is_said_exactly_if_each_of_its_tokens_is_generated(host):
    asked = [Expected(prompt, answer) for prompt in PROMPTS for answer in ("Oslo", "a mill", "x")]
    for one, span in zip(asked, score_spans(host, asked), strict=True):
        wanted = host.tokenizer(f" {one.answer}")["input_ids"]
        said = greedy(host, one.prompt, len(wanted)) == wanted
        ids = host.tokenizer(f"{one.prompt} {one.answer}")["input_ids"]
        logits = host.model(input_ids=torch.tensor([ids])).logits[0, -len(wanted) - 1 : -1]
        chosen = logits.gather(1, torch.tensor(wanted)[:, None])[:, 0]
        best = logits.scatter(1, torch.tensor(wanted)[:, None], -torch.inf).amax(1)
        assert span.said is said
        assert span.margin_nats == pytest.approx(float((chosen - best).min()), abs=1e-4)
        assert span.logprob_nats == pytest.approx(float((chosen - logits.logsumexp(1)).mean()), abs=1e-4)


def test_what_is_generated_is_said_and_anything_else_is_not():
    found = 0
    for build in FAMILIES.values():
        host = ModelHost(build(len(byte_tokenizer())), byte_tokenizer())
        for n in range(6):
            prompt = f"{PROMPTS[n % 4]} {n}?\n"
            text = host.tokenizer.decode(greedy(host, prompt, 2))
            answer = text[: next((i for i, c in enumerate(text) if not "!" <= c <= "~"), len(text))]
            if not answer:
                continue  # half a character is no answer
            other = answer[:-1] + ("z" if answer[-1] != "z" else "q")
            said, changed = score_spans(host, [Expected(prompt, answer), Expected(prompt, other)])
            following = host.tokenizer.decode(greedy(host, prompt, 5))[len(answer) :][:1]
            goes_on = following.isalnum() or (answer[-1].isdigit() and following in {".", ","})
            assert said.margin_nats > 0
            assert said.said is not goes_on
            assert not changed.said
            found += 1 + 100 * goes_on
    assert found % 100 >= 3
    assert found >= 100, "no answer goes on with the same word"


def test_a_lead_stands_between_prompt_and_answer(host):
    with_lead, joined = score_spans(
        host, [Expected("Q?\n", "Oslo", "The capital is"), Expected("Q?\nThe capital is", "Oslo")]
    )
    assert with_lead == pytest.approx(joined, abs=1e-5)


def test_of_nothing_asked_nothing_is_scored(host):
    assert score_spans(host, []) == []


@torch.no_grad()
@pytest.mark.parametrize("opener", ["(", '"', "\u201c", "Anglo-", "and/"])
def test_no_space_stands_behind_a_lead_that_opens(host, opener):
    (span,) = score_spans(host, [Expected("Q?\n", "Oslo", f"It is {opener}")])
    ids, wanted = host.tokenizer(f"Q?\nIt is {opener}Oslo")["input_ids"], host.tokenizer("Oslo")["input_ids"]
    logprobs = host.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)[-len(wanted) - 1 : -1]
    assert span.logprob_nats == pytest.approx(
        float(logprobs.gather(1, torch.tensor(wanted)[:, None]).mean()), abs=1e-4
    )
