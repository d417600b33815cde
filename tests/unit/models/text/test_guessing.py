from __future__ import annotations

import pytest

from guardedit.core.errors import MalformedCorrection
from guardedit.models.text.guessing import complete_guessed

PROMPTS = ("The capital of Norway is", "Anne", "He met ", "The mother tongue of Marie Curie is", "A river")


def test_no_guess_changes_an_answer(host):
    plain = dict(zip(PROMPTS, host.complete(PROMPTS), strict=True))
    guesses = (
        {prompt: [] for prompt in PROMPTS},
        {prompt: ["Oslo", "a long way off the truth", ""] for prompt in PROMPTS},
        {prompt: [plain[prompt]] for prompt in PROMPTS},
        {prompt: ["Lima", plain[prompt][:9], plain[prompt]] for prompt in PROMPTS},
    )
    for given in guesses:
        assert complete_guessed(host, given) == plain


def test_an_empty_prompt_is_refused_as_without_guesses(gpt2):
    with pytest.raises(MalformedCorrection):
        complete_guessed(gpt2, {"": ["Oslo"]})


def test_a_prompt_that_fills_the_context_is_refused_as_without_guesses(gpt2):
    with pytest.raises(MalformedCorrection):
        complete_guessed(gpt2, {"river " * 60: ["Oslo"]})


def test_nothing_asked_is_nothing_answered(gpt2):
    assert complete_guessed(gpt2, {}) == {}
